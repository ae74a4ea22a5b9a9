// Pictures of what a run found, of which several are picked and answered at once. The table of the same is results_objects.js.
(() => {
  const app = window.simsearch;
  const { h, icon, fill } = app;
  const SIDE_PX = 104; // wished, of a picture
  const DIGITS = [..."123456789"];
  const MARKS = { right: "check", wrong: "close" };

  /**
   * Options: picture(row), its address; words(row); look(row) shows it in its image; isChosen(row), whether that is done;
   * color(name) of a class. Gives { element, draw(rows), under() }.
   */
  app.resultPictures = ({ picture, words, look, isChosen, color }) => {
    const [gridElement, bar] = [h("div", { class: "found-grid" }), h("div", { class: "found-bar" })];
    const element = h("div", { class: "found-pictures" }, gridElement, bar);
    let items = []; // rows, each the same object as long as it is shown
    const isShown = () => element.isConnected;
    const keyOf = (row) => `${row.image} ${row.y} ${row.x} ${row.class}`;

    const grid = app.pictureGrid(gridElement, {
      size: () => [SIDE_PX, SIDE_PX],
      label: "Pictures of objects",
      make: (at) => {
        const tile = h("button", { type: "button" }, h("img", { alt: "", decoding: "async", draggable: "false" }), h("span", { class: "label" }), h("span", { class: "found-mark" }));
        tile.dataset.key = keyOf(items[at]);
        return tile;
      },
      draw: (tile, at) => {
        const item = items[at];
        const [image, label, mark] = tile.children;
        const isPicked = picking.picked.has(item);
        if (image.getAttribute("src") !== picture(item)) image.src = picture(item);
        label.textContent = `${item.confidence.toFixed(2)}${item.is_object ? "" : " below"}`;
        tile.setAttribute("aria-pressed", String(isPicked));
        tile.setAttribute("aria-label", words(item));
        tile.title = words(item);
        tile.style.setProperty("--own-color", color(item.class));
        tile.style.setProperty("--mark-color", item.to ? color(item.to) : item.said === "right" ? "var(--good)" : "var(--bad)");
        tile.classList.toggle("said-wrong", item.said === "wrong");
        tile.classList.toggle("looked-at", isChosen(item));
        if (mark.dataset.said !== `${item.said} ${item.to}`) {
          mark.dataset.said = `${item.said} ${item.to}`;
          mark.replaceChildren(...(item.said ? [icon(MARKS[item.said])] : []));
        }
      },
      act: (at, event) => {
        if (event.altKey) look(items[at]);
        else if (!picking.click(items[at], event)) picking.click(items[at], { ctrlKey: true }); // a plain click begins to pick
      },
    });
    const picking = app.picking(gridElement, {
      items: () => items,
      canPick: (item) => item.place !== null,
      changed: () => { grid.redraw(); drawBar(); },
    });
    gridElement.addEventListener("dblclick", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      picking.clear();
      look(items[tile.dataset.index]);
    });

    // Answering

    /** Say of all that are picked that they are of a class; with "" that they are not of theirs, with null that they are. */
    function answer(to) {
      const places = [...picking.picked].map(({ place, y, x, class: of }) => ({ image: place, y, x, class: of }));
      if (!isShown() || !places.length) return false;
      app.judge.send("together", { to, places });
      picking.clear();
      return true;
    }
    const button = (name, glyph, key, act) => h("button", { type: "button", class: "small", onclick: act }, icon(glyph), name, h("kbd", {}, key));
    function drawBar() {
      const n = picking.picked.size;
      if (!n) return fill(bar, h("span", { class: "small quiet" }, "Click some, or drag over them; Shift for all between. Double-click shows one in its image."));
      const classes = app.viewer.classes();
      return fill(bar,
        h("strong", { role: "status" }, `${n.toLocaleString("en")} picked`),
        h("span", { class: "segmented", role: "group", "aria-label": "Are they right?" }, button("Right", "check", "Y", () => answer(null)), button("Wrong", "close", "X", () => answer(""))),
        h("span", { class: "found-classes", role: "group", "aria-label": "They are of class" }, classes.map((name, at) => h("button", { type: "button", class: "small", onclick: () => answer(name) },
          h("span", { class: "swatch", style: { "--color": color(name) } }), name, at < DIGITS.length ? h("kbd", {}, at + 1) : null))),
        h("span", { class: "grow" }),
        h("button", { type: "button", class: "text small", onclick: () => picking.set(items) }, `All ${items.length}`),
        h("button", { type: "button", class: "text small", title: "Pick none (Esc)", onclick: () => picking.clear() }, "Cancel"));
    }

    // A tile that was clicked keeps the focus, and must not take the keys when the pointer has gone.
    let isByKeys = false;
    document.addEventListener("keydown", (event) => { if (/^(Tab|Arrow|Home|End|Page)/.test(event.key)) isByKeys = true; }, true);
    document.addEventListener("pointermove", () => { isByKeys = false; }, { capture: true, passive: true });
    const under = () => {
      const tile = isShown() ? gridElement.querySelector(isByKeys ? ".tile:focus" : ".tile:hover") : null;
      return tile ? items[tile.dataset.index] : null;
    };

    app.key(DIGITS, "", (event) => { const name = app.viewer.classes()[Number(event.key) - 1]; return name === undefined ? false : answer(name); });
    app.key("y", "", () => answer(null));
    app.key("x", "", () => answer(""));
    app.key("e", "pick all pictures from the one under the pointer", () => { const item = under(); if (item) picking.set(items.slice(items.indexOf(item))); return Boolean(item); });
    app.key("v", "show the object under the pointer in its image", () => { const item = under(); if (item) look(item); return Boolean(item); });
    app.key("Escape", "", () => { const had = isShown() && picking.picked.size > 0; if (had) picking.clear(); return had; });

    return {
      element,
      under,
      redraw: () => { if (isShown()) grid.redraw(); },
      draw(rows) {
        const known = new Map(items.map((item) => [keyOf(item), item]));
        items = rows.map((row) => Object.assign(known.get(keyOf(row)) ?? {}, row));
        const places = new Map(items.map((item, at) => [keyOf(item), at]));
        const gone = [...picking.picked].some((item) => !places.has(keyOf(item)));
        grid.reset(items.length, (tile) => places.get(tile.dataset.key));
        if (gone) picking.set([...picking.picked].filter((item) => places.has(keyOf(item))));
        drawBar();
      },
    };
  };
})();
