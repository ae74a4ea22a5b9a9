// What was done, the newest first: a click undoes one's own back to there, or redoes them. The other half is components/frame.py.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const TITLES = { done: "undo", undone: "redo" };

  const moment = (iso) => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}`;

  /** The rows that go with one: all of the person that lie between it and now. */
  const together = (rows, row) => rows.filter((each) => each.is === row.is && (row.is === "done" ? each.seq >= row.seq : each.seq <= row.seq));

  /** send(kind, values): tells the server. Gives { element, draw(rows) }. */
  app.past = (send) => {
    const fold = app.fold({ id: "past", label: icon("chevron"), tip: "History: undo several at once", side: "left" });
    fold.button.setAttribute("aria-label", "History");
    fold.button.classList.add("icon");
    const words = h("p", { class: "small quiet" });
    const list = h("ol", { class: "past-list" });
    fold.panel.append(h("div", { class: "past" }, h("h2", {}, "History"), words, list));

    function row(each, rows) {
      const time = h("span", { class: "number quiet" }, moment(each.time));
      if (!(each.is in TITLES)) return h("li", { class: "past-row" }, time, h("span", {}, sentence(each.words), h("span", { class: "quiet" }, ` · ${each.by}`)));
      const n = together(rows, each).length;
      const what = sentence(TITLES[each.is]);
      const tip = n === 1 ? `${what} this` : each.is === "done" ? `${what} this and the ${n - 1} that you did after it` : `${what} this and the ${n - 1} that you did before it`;
      return h("li", { class: `past-row ${each.is}` }, h("button", { type: "button", title: tip, "data-seq": String(each.seq), onclick: () => send(TITLES[each.is], { to: each.seq }) },
        time, h("span", { class: "past-words" }, sentence(each.words)), h("span", { class: "past-what small" }, n === 1 ? what : `${what} ${n}`)));
    }

    return {
      element: fold.element,
      draw(rows) {
        const focused = list.contains(document.activeElement) ? document.activeElement.dataset.seq : null;
        const { scrollTop } = list;
        words.textContent = rows.length ? "Click one of yours: it is undone, with what you did after it." : "Nothing was done yet.";
        list.replaceChildren(...rows.map((each) => row(each, rows)));
        list.scrollTop = scrollTop;
        if (focused) list.querySelector(`[data-seq="${focused}"]`)?.focus({ preventScroll: true });
      },
    };
  };
})();
