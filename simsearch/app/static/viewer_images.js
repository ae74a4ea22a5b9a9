// The choice of the image in a viewer: a list that is searched.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const SEARCHED_FROM = 7; // images: fewer are seen at a glance

  /** place: the element that it is drawn in. choose(name), step(steps): called for another image. Gives { draw(names, current) }. */
  app.imageChoice = (place, { choose, step }) => {
    let [names, current, marked] = [[], "", 0];
    const wanted = h("input", { type: "search", role: "combobox", "aria-label": "Find an image", "aria-controls": "viewer-image-list", "aria-expanded": "true", "aria-autocomplete": "list", placeholder: "Find", autocomplete: "off" });
    const list = h("div", { id: "viewer-image-list", class: "image-list", role: "listbox", "aria-label": "Images", tabindex: "0" });
    const word = h("span", { class: "image-name" });
    const fold = app.fold({ id: "viewer-image", label: [word, icon("chevron")], opened() { wanted.value = ""; marked = Math.max(0, found().indexOf(current)); drawList(); (wanted.hidden ? list : wanted).focus(); } });
    const number = h("span", { class: "quiet small image-number" });
    const before = h("button", { class: "icon", type: "button", "aria-label": "Image before", "data-tip": "Image before (P)", "data-tip-side": "right", onclick: () => step(-1) }, icon("left"));
    const next = h("button", { class: "icon", type: "button", "aria-label": "Next image", "data-tip": "Next image (N)", onclick: () => step(1) }, icon("right"));
    fold.panel.append(wanted, list);
    place.replaceChildren(before, fold.element, next, number);

    const short = (name) => app.imageName(name, names);
    const words = (name) => (short(name) === name ? name : `${short(name)} ${name}`);
    function found() {
      const parts = wanted.value.toLowerCase().split(/\s+/);
      return names.filter((name) => parts.every((part) => words(name).toLowerCase().includes(part)));
    }
    function take(name) {
      fold.close();
      fold.button.focus();
      if (name && name !== current) choose(name);
    }
    function drawList() {
      const all = found();
      marked = Math.min(marked, Math.max(0, all.length - 1));
      const option = (name, index) => h("div", { role: "option", id: `viewer-image-${index}`, "aria-selected": String(name === current), class: index === marked ? "marked" : "", title: name, onclick: () => take(name) },
        h("strong", {}, short(name)), short(name) === name ? null : h("span", { class: "quiet small" }, name));
      list.replaceChildren(...(all.length ? all.map(option) : [h("div", { class: "quiet small", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No such image")]));
      for (const element of [wanted, list]) element.setAttribute("aria-activedescendant", all.length ? `viewer-image-${marked}` : "");
      list.children[marked]?.scrollIntoView({ block: "nearest" });
    }
    function onKey(event) {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
      if (steps) marked = Math.max(0, marked + steps);
      else if (event.key === "Enter") take(found()[marked]);
      else return;
      event.preventDefault();
      event.stopPropagation();
      if (steps) drawList();
    }
    for (const element of [wanted, list]) element.addEventListener("keydown", onKey);
    wanted.addEventListener("input", () => { marked = 0; drawList(); });

    return {
      draw(all, shown) {
        [names, current] = [all, shown];
        word.textContent = shown ? short(shown) : "";
        fold.button.setAttribute("aria-label", `Image ${shown}`);
        fold.button.title = shown;
        wanted.hidden = names.length < SEARCHED_FROM;
        for (const button of [before, next]) button.disabled = names.length < 2;
        number.textContent = names.length ? `${names.indexOf(current) + 1} of ${names.length.toLocaleString("en")}` : "";
        if (fold.element.open) drawList();
      },
    };
  };
})();
