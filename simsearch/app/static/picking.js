// Picking several of a grid's pictures: a drag over them, Shift for all between two, Ctrl for one more or less.
(() => {
  const app = window.simsearch;
  const EDGE_PX = 24; // so near the border, a drag scrolls
  const EDGE_STEP_PX = 16;

  /**
   * element: the grid. Options: items() in the order of the tiles; canPick(item); changed(), after each change.
   * A click is given to `click`, which tells whether it was about picking.
   */
  app.picking = (element, { items, canPick, changed }) => {
    const picked = new Set();
    let anchor = null; // where a range begins
    let drag = null;

    function set(chosen) {
      picked.clear();
      for (const item of chosen) if (canPick(item)) picked.add(item);
      changed();
    }
    function range(from, to) {
      const all = items();
      const [first, last] = [all.indexOf(from), all.indexOf(to)].sort((a, b) => a - b);
      return first < 0 ? [to] : all.slice(first, last + 1);
    }
    function toggle(item) {
      if (picked.has(item)) picked.delete(item);
      else if (canPick(item)) picked.add(item);
      anchor = item;
      changed();
    }

    const tileAt = (x, y) => {
      const box = element.getBoundingClientRect();
      const [left, top] = [Math.min(Math.max(x, box.left + 1), box.right - 12), Math.min(Math.max(y, box.top + 1), box.bottom - 1)];
      return document.elementFromPoint(left, top)?.closest(".tile");
    };
    function follow() {
      const tile = tileAt(drag.x, drag.y);
      const item = tile && element.contains(tile) ? items()[tile.dataset.index] : null;
      if (!item || (!drag.has && item === drag.from)) return;
      drag.has = true;
      anchor = drag.from;
      set(range(drag.from, item));
    }
    function scroll() {
      const box = element.getBoundingClientRect();
      const way = drag.y > box.bottom - EDGE_PX ? 1 : drag.y < box.top + EDGE_PX ? -1 : 0;
      if (!drag.has || !way) return;
      element.scrollTop += way * EDGE_STEP_PX;
      follow();
    }
    function move(event) { drag.x = event.clientX; drag.y = event.clientY; follow(); }
    function end() {
      clearInterval(drag.timer);
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
      setTimeout(() => { const { has } = drag; drag = null; if (has) changed(); }); // after the click that may follow, which is none
    }
    element.addEventListener("pointerdown", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile || drag || event.button !== 0 || event.pointerType === "touch" || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
      drag = { from: items()[tile.dataset.index], x: event.clientX, y: event.clientY, has: false, timer: setInterval(scroll, 40) };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", end);
      window.addEventListener("pointercancel", end);
    });

    return {
      picked,
      get isDragging() { return Boolean(drag?.has); },
      set,
      clear() { anchor = null; if (picked.size) set([]); },
      /** Whether a click, of which a tile was, picked something. */
      click(item, event) {
        if (drag?.has) return true;
        if (event.shiftKey) {
          if (anchor === null || !items().includes(anchor)) anchor = item;
          set([...picked, ...range(anchor, item)]);
        } else if (event.ctrlKey || event.metaKey || picked.size) toggle(item);
        else return false;
        return true;
      },
    };
  };
})();
