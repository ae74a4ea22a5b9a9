// Saying of regions what they are: a bar for those that are picked, a menu for one, and keys for that under the pointer.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const byId = (id) => document.getElementById(id);
  const DIGITS = [..."123456789"];

  /**
   * element: where they are. Options: about(), the active class; picking; refuse(items), assign(items, class), visit(item) and
   * fromHere(item), which do it; itemOf(element), of a tile or card; closed(), after the menu.
   */
  app.judging = (element, { about, picking, refuse, assign, visit, fromHere, itemOf, closed }) => {
    let classes = [];
    let opened = null; // the item that the menu is about
    let drawn = "";
    const menu = byId("region-menu");

    // A tile that was clicked keeps the focus, and must not take the keys when the pointer has gone.
    let isByKeys = false;
    document.addEventListener("keydown", (event) => { if (/^(Tab|Arrow|Home|End|Page)/.test(event.key)) isByKeys = true; }, true);
    document.addEventListener("pointermove", () => { isByKeys = false; }, { capture: true, passive: true });
    const under = () => element.querySelector(isByKeys ? ".tile:focus, .ask-card:focus-within" : ".tile:hover, .ask-card:hover");
    const itemUnder = () => { const tile = under(); return tile ? itemOf(tile) : null; };
    /** What is meant: those picked, or the one of the menu, or the one under the pointer. */
    const meant = () => {
      if (picking.picked.size) return [...picking.picked];
      const item = opened ?? itemUnder();
      return item ? [item] : [];
    };
    const close = () => { if (menu.matches(":popover-open")) menu.hidePopover(); };
    /** Do something about what is meant; false if nothing is. */
    function judgeMeant(act) {
      const items = meant();
      close();
      if (!items.length) return false;
      act(items);
      return true;
    }

    const classButton = (role) => (each, at) => h("button", { type: "button", role, class: "class-pick", style: { "--color": each.color },
      onclick: () => judgeMeant((items) => assign(items, each.name)) },
    h("span", { class: "swatch" }), h("span", { class: "class-pick-name" }, each.name), at < DIGITS.length ? h("kbd", {}, at + 1) : null);
    const button = (role, name, glyph, key, act) => h("button", { type: "button", role, onclick: act }, icon(glyph), h("span", {}, name), h("kbd", {}, key));

    function makeButtons() {
      const wanted = JSON.stringify(classes);
      if (wanted === drawn) return; // a click on a button that is replaced while it is pressed would be lost
      drawn = wanted;
      byId("picked-classes").replaceChildren(...classes.map(classButton(undefined)));
      menu.replaceChildren(
        h("p", { class: "small quiet", role: "presentation" }, "This is"), ...classes.map(classButton("menuitem")),
        h("hr"),
        button("menuitem", "Does not belong", "close", "X", () => judgeMeant(refuse)),
        button("menuitem", "Pick all from here", "down", "E", () => { const item = opened; close(); fromHere(item); }),
        button("menuitem", "Show in its image", "target", "V", () => { const item = opened; close(); visit(item); }));
    }

    function draw() {
      const n = picking.picked.size;
      const hasAny = byId("gallery-foot").dataset.has === "yes";
      byId("gallery-picked").hidden = !n || !hasAny;
      byId("gallery-foot").hidden = n > 0 || !hasAny;
      byId("picked-count").textContent = n ? `${n.toLocaleString("en")} picked` : "";
      element.classList.toggle("picking", n > 0);
      const active = about()?.name;
      for (const list of [byId("picked-classes"), menu]) {
        list.querySelectorAll(".class-pick").forEach((each, at) => each.classList.toggle("active", classes[at].name === active));
      }
    }

    byId("picked-no").addEventListener("click", () => judgeMeant(refuse));
    byId("picked-all").addEventListener("click", () => fromHere([...picking.picked].sort((a, b) => b.score - a.score)[0]));
    byId("picked-cancel").addEventListener("click", () => picking.clear());

    element.addEventListener("contextmenu", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      event.preventDefault();
      const item = itemOf(tile);
      if (!picking.picked.has(item)) picking.clear();
      close();
      opened = item;
      menu.showPopover();
      const box = tile.getBoundingClientRect();
      const [x, y] = event.clientX || event.clientY ? [event.clientX, event.clientY] : [box.left, box.bottom];
      menu.style.left = `${Math.max(4, Math.min(x + 2, window.innerWidth - menu.offsetWidth - 4))}px`;
      menu.style.top = `${Math.max(4, Math.min(y + 2, window.innerHeight - menu.offsetHeight - 4))}px`;
      menu.querySelector("button")?.focus();
    });
    menu.addEventListener("toggle", (event) => { if (event.newState === "closed") { opened = null; closed(); } });
    menu.addEventListener("keydown", (event) => {
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!way) return;
      const buttons = [...menu.querySelectorAll("button")];
      buttons[(buttons.indexOf(document.activeElement) + way + buttons.length) % buttons.length].focus();
      event.preventDefault();
      event.stopPropagation();
    });

    app.key(DIGITS, "with the pointer over a region, or with some picked: it is of that class", (event) => {
      const each = classes[Number(event.key) - 1];
      return each ? judgeMeant((items) => assign(items, each.name)) : false;
    });
    app.key("y", "it is of the class that is chosen", () => judgeMeant((items) => assign(items, about().name)));
    app.key("x", "it does not belong to the class", () => judgeMeant(refuse));
    app.key("e", "pick all from it to the threshold", () => { const item = opened ?? itemUnder(); close(); if (item) fromHere(item); return Boolean(item); });
    app.key("v", "show it in its image", () => { const item = opened ?? itemUnder(); close(); if (item) visit(item); return Boolean(item); });
    app.key("Escape", "pick none", () => { const had = picking.picked.size > 0; picking.clear(); return had; });

    return {
      get isOpen() { return menu.matches(":popover-open"); },
      classes(value) { classes = value; makeButtons(); draw(); },
      draw,
    };
  };
})();
