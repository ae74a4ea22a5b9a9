// Where in the image something is drawn with a click or a key: a patch that follows the pointer, or a cross that arrow keys move.
(() => {
  const app = window.simsearch;
  const STEP_PX = 4; // on the screen, that an arrow key moves the cross; with Shift ten times as much
  const INSIDE = 0.4; // of the view, from its middle, that the cross may be in without the image following
  const REST_MS = 350; // of the cross, before a screen reader is told where it is
  const GROWTH = 1.1; // of a box whose size is free

  let pointer = null; // where it was last in the image
  let [frame, told, timer] = [null, null, null];
  let isFocused = false;
  let cross = null; // in pixels of the figure, or nothing

  /**
   * shape: of the patch that follows the pointer, if one does. crossShape(): of the one around the cross; put(place): what Enter does there;
   * grow(factor): what Page Up and Page Down do, where a box may have any size; words(at): what a screen reader is told of a place.
   */
  const drawing = { shape: null, crossShape: () => drawing.shape, put: null, grow: null, words: () => "", take, place, draw: () => { if (frame) draw(); }, get isCross() { return cross !== null; }, leave };
  app.drawing = drawing;

  /** Where a patch would be taken, in pixels of the image; null beside it. */
  function place() {
    const at = cross ?? (pointer ? app.viewer.at(pointer) : app.viewer.middle());
    return at && { image: app.viewer.imageIndex, y: -at.y - 0.5, x: at.x - 0.5 };
  }

  function take(send) {
    const found = (cross ? drawing.crossShape() : drawing.shape) && app.viewer.image && place();
    if (!found) return false;
    send(found);
    return true;
  }

  function draw() {
    const shape = cross ? drawing.crossShape() : drawing.shape;
    const at = cross ?? (shape && (pointer ? app.viewer.at(pointer) : isFocused ? app.viewer.middle() : null));
    frame.hidden = !at || !shape;
    frame.classList.toggle("cross", cross !== null);
    if (frame.hidden) return;
    const [height, width] = shape;
    const box = app.viewer.onScreen({ left: at.x - width / 2, top: at.y + height / 2, width, height });
    if (!box) return void (frame.hidden = true);
    Object.assign(frame.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  }

  // The cross

  function tell(words = "") {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (cross) told.textContent = [words, `Row ${Math.round(-cross.y - 0.5)}, column ${Math.round(cross.x - 0.5)}`, drawing.words(cross)].filter(Boolean).join(". ");
    }, REST_MS);
  }
  function begin() {
    cross = app.viewer.middle();
    pointer = null;
    app.judge?.forgetPointer?.();
    draw();
    tell("Cross. Arrow keys move it, Enter draws, Escape leaves");
  }
  function leave() {
    if (!cross) return false;
    cross = null;
    draw();
    return true;
  }
  function moveCross(event, [rightward, downward]) {
    if (!cross) return false;
    const step = Math.max(1, Math.round(STEP_PX * app.viewer.scale())) * (event.shiftKey ? 10 : 1);
    const { width, height } = app.viewer.size();
    cross = { x: Math.min(width - 0.5, Math.max(0.5, cross.x + rightward * step)), y: -Math.min(height - 0.5, Math.max(0.5, -cross.y + downward * step)) };
    const [left, right, bottom, top] = app.viewer.ranges();
    const middle = app.viewer.middle();
    if (Math.abs(cross.x - middle.x) > INSIDE * (right - left) || Math.abs(cross.y - middle.y) > INSIDE * (top - bottom)) app.viewer.centre(cross.x, cross.y, right - left, top - bottom);
    draw();
    tell();
    return true;
  }
  function enter() {
    if (!cross) begin();
    else if (drawing.crossShape()) drawing.put(place());
  }

  app.ready((doc) => {
    const host = document.querySelector(".slot-viewer");
    const figure = doc.get_model_by_name("viewer");
    if (!host || !figure) return;
    frame = app.h("div", { class: "viewer-patch", hidden: true, "aria-hidden": "true" });
    told = app.h("div", { class: "visually-hidden", role: "status" });
    host.append(frame);
    host.parentElement.append(told);
    const follow = (event) => {
      if (event.movementX || event.movementY || !cross) { pointer = event; leave(); }
      draw();
    };
    host.addEventListener("pointermove", follow, { passive: true, capture: true });
    host.addEventListener("pointerleave", () => { pointer = null; draw(); });
    host.addEventListener("keydown", (event) => {
      if (event.key.startsWith("Arrow")) { pointer = null; isFocused = true; draw(); } // moved with keys: the middle counts
      if (event.key === "Enter" && drawing.put && !event.ctrlKey && !event.metaKey && !event.altKey) { enter(); event.preventDefault(); event.stopPropagation(); }
    }, true);
    host.addEventListener("focus", () => { isFocused = host.matches(":focus-visible"); draw(); });
    host.addEventListener("blur", () => { isFocused = false; draw(); });
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(draw);
    app.viewer.onArrow(moveCross);
    app.viewer.onView(leave);
    if (!drawing.put) return;
    host.setAttribute("aria-label", `${host.getAttribute("aria-label")} Enter shows a cross to draw with.`);
    app.key("Enter", "in the image: a cross that arrow keys move (Shift: faster); Enter again draws there", () => false);
    if (drawing.grow) app.key(["PageUp", "PageDown"], "with the cross: the first box of a class is larger, smaller", (event) => {
      if (cross && drawing.grow(event.key === "PageUp" ? GROWTH : 1 / GROWTH)) { draw(); return true; }
      return false;
    });
    app.key("Escape", "", leave);
  });
})();
