// A grid of any number of pictures to click, of which only those in sight are made.
(() => {
  const app = window.simsearch;

  /**
   * element: what scrolls. Options: size() -> [width, height] wished of a tile; gap; make(index) -> tile;
   * draw(tile, index): what changes. act(index): a click, Space or Enter. Sections are not known here.
   */
  app.pictureGrid = (element, { size, gap = 6, make, draw, act, label }) => {
    const space = app.h("div", { class: "grid-space" });
    element.classList.add("grid");
    element.setAttribute("role", "group");
    if (label) element.setAttribute("aria-label", label);
    element.replaceChildren(space);
    const tiles = new Map();
    let count = 0;
    let layout = { columns: 1, width: 0, height: 0 };
    let focused = 0;

    function measure() {
      const [wishedWidth, wishedHeight] = size();
      const room = element.clientWidth - 2 * gap;
      const columns = Math.max(1, Math.floor((room + gap) / (wishedWidth + gap)));
      const width = (room - gap * (columns - 1)) / columns;
      layout = { columns, width, height: (width * wishedHeight) / wishedWidth };
      space.style.height = `${Math.ceil(count / columns) * (layout.height + gap) + gap}px`;
    }

    function place(tile, index) {
      const { columns, width, height } = layout;
      tile.style.width = `${width}px`;
      tile.style.height = `${height}px`;
      tile.style.transform = `translate(${gap + (index % columns) * (width + gap)}px, ${gap + Math.floor(index / columns) * (height + gap)}px)`;
    }

    function show() {
      const row = layout.height + gap;
      const first = Math.max(0, Math.floor((element.scrollTop - row) / row)) * layout.columns;
      const last = Math.min(count, Math.ceil((element.scrollTop + element.clientHeight + row) / row) * layout.columns);
      for (const [index, tile] of tiles) {
        if (index < first || index >= last) { tile.remove(); tiles.delete(index); }
      }
      for (let index = first; index < last; index += 1) {
        let tile = tiles.get(index);
        if (!tile) {
          tile = make(index);
          tile.classList.add("tile");
          tile.dataset.index = index;
          tiles.set(index, tile);
          space.append(tile);
        }
        place(tile, index);
        // One of those in sight can be reached with Tab, also where the last that had the focus was scrolled away.
        tile.tabIndex = index === (focused >= first && focused < last ? focused : first) ? 0 : -1;
        draw(tile, index);
      }
    }

    function focus(index) {
      focused = Math.max(0, Math.min(count - 1, index));
      reveal(focused);
      show();
      tiles.get(focused)?.focus({ preventScroll: true });
    }

    function reveal(index, where = "near") {
      const top = Math.floor(index / layout.columns) * (layout.height + gap);
      const bottom = top + layout.height + 2 * gap;
      if (where === "top") element.scrollTop = top;
      else if (top < element.scrollTop) element.scrollTop = top;
      else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
    }

    element.addEventListener("scroll", show, { passive: true });
    element.addEventListener("focusin", (event) => { const tile = event.target.closest(".tile"); if (tile) focused = Number(tile.dataset.index); });
    element.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (!tile) return;
      focused = Number(tile.dataset.index);
      act(focused, event);
      show();
    });
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -layout.columns, ArrowDown: layout.columns, PageDown: 4 * layout.columns, PageUp: -4 * layout.columns };
      if (event.key in steps) focus(focused + steps[event.key]);
      else if (event.key === "Home") focus(0);
      else if (event.key === "End") focus(count - 1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    new ResizeObserver(() => { measure(); show(); }).observe(element);

    return {
      /** Show another number of pictures: those made anew for which `indexOf(tile)` does not tell where they are now. */
      reset(n, indexOf = () => undefined) {
        const active = space.contains(document.activeElement) ? document.activeElement : null;
        const before = [...tiles.values()];
        tiles.clear();
        for (const tile of before) {
          const index = indexOf(tile);
          if (index === undefined) { tile.remove(); continue; }
          if (tile === active) focused = index;
          tile.dataset.index = index;
          tiles.set(index, tile);
        }
        count = n;
        focused = Math.min(focused, Math.max(0, n - 1));
        measure();
        show();
        if (active && !active.isConnected) tiles.get(focused)?.focus({ preventScroll: true });
      },
      /** Draw what changed of those in sight. */
      redraw: show,
      reveal,
      /** Where a tile begins, from the top. */
      top: (index) => Math.floor(index / layout.columns) * (layout.height + gap),
    };
  };
})();
