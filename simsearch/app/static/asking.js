// What to look at next: a few suggestions whose answer would change most, with an answer each, and what was gained.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;

  /**
   * Options: about(), the active class; classes(); crop(item); refuse(items), assign(items, class) and visit(item), which
   * do it; above(), how many reach the threshold and are not flagged.
   */
  app.asking = ({ about, classes, crop, refuse, assign, visit, above }) => {
    const words = h("p", { class: "small quiet ask-words" });
    const gain = h("p", { class: "small ask-gain", role: "status" });
    const list = h("div", { class: "ask-cards" });
    const element = h("div", { class: "ask" }, words, gain, list);
    let cards = [];
    let made = "";
    const answered = new Map(); // by class: items that were asked and answered, and how many were above before

    function card(item) {
      const { name } = about();
      const yes = h("button", { type: "button", class: "small", onclick: () => assign([item], name) }, icon("check"), "Yes");
      const no = h("button", { type: "button", class: "small", onclick: () => refuse([item]) }, icon("close"), "No");
      const others = classes().map((each, at) => (each.name === name ? null : h("button", {
        type: "button", class: "small ask-other", title: `It is “${each.name}”`, "aria-label": `It is “${each.name}”`, style: { "--color": each.color },
        onclick: () => assign([item], each.name),
      }, h("span", { class: "swatch" }), at < 9 ? String(at + 1) : ""))).filter(Boolean);
      const place = h("span", { class: "label" });
      const made = h("article", { class: "ask-card" },
        h("button", { type: "button", class: "ask-picture", title: "Show in its image", "aria-label": `Show the suggestion of similarity ${item.score.toFixed(3)} in its image`, onclick: () => visit(item) },
          h("img", { src: crop(item), alt: "", decoding: "async", draggable: "false" }), place),
        h("div", { class: "ask-answers" }, yes, no, others));
      made.item = item;
      return { item, made, yes, no, place, others: others.map((button) => [button, button.title]) };
    }

    function draw(least) {
      if (!about()) return;
      words.textContent = cards.length ? `Is it “${about().name}”? These lie nearest to the threshold: your answers change most here.` : "Nothing to ask: all is judged.";
      for (const { item, made: each, yes, no, place, others } of cards) {
        const is = app.said(item);
        const to = app.movedTo(item);
        yes.setAttribute("aria-pressed", String(is === "confirmed"));
        no.setAttribute("aria-pressed", String(is === "flagged" && !to));
        for (const [button, title] of others) button.setAttribute("aria-pressed", String(to !== null && title === `It is “${to}”`));
        each.classList.toggle("answered", is !== "");
        place.textContent = `${item.score.toFixed(3)} ${item.score >= least ? "above" : "below"}`;
      }
      const { items, before } = answered.get(about().name) ?? { items: new Set(), before: 0 };
      const all = [...items].filter((item) => app.said(item));
      const n = (test) => all.filter(test).length;
      const [yes, moved] = [n((item) => app.said(item) === "confirmed"), n((item) => app.movedTo(item))];
      const now = above();
      const change = now === before ? `still ${before.toLocaleString("en")} above the threshold` : `${Math.abs(now - before).toLocaleString("en")} ${now > before ? "more" : "fewer"} above the threshold`;
      gain.hidden = !all.length;
      gain.textContent = `${all.length} answered: ${yes} yes, ${all.length - yes - moved} no${moved ? `, ${moved} of another class` : ""}; ${change}`;
    }

    return {
      element,
      /** Items that are shown or counted. */
      items: () => [...cards.map(({ item }) => item), ...[...answered.values()].flatMap(({ items }) => [...items])],
      /** Count other items in place of those of before. */
      replace(before, after) {
        const now = new Map(before.map((item, at) => [item, after[at]]));
        for (const each of answered.values()) each.items = new Set([...each.items].map((item) => now.get(item) ?? item));
      },
      /** Count what is about to be answered. */
      note(items) {
        const asked = items.filter((item) => cards.some((each) => each.item === item));
        const { name } = about();
        if (asked.length && !answered.has(name)) answered.set(name, { items: new Set(), before: above() });
        for (const item of asked) answered.get(name).items.add(item);
      },
      /** Ask of other items. */
      reset(items) {
        const wanted = JSON.stringify([items.map(app.keyOf), about()?.name, about()?.crop, classes()]);
        if (wanted === made) return;
        made = wanted;
        cards = items.map(card);
        list.replaceChildren(...cards.map((each) => each.made));
        element.scrollTop = 0;
      },
      draw,
    };
  };
})();
