// A patch of the size of all others that follows the pointer in the image, or waits in its middle: what a click, or a key, takes.
(() => {
  const app = window.simsearch;
  let pointer = null; // where it was last in the image
  let frame = null;
  let isFocused = false;

  const drawing = { shape: null, take };
  app.drawing = drawing;

  /** Where a patch would be taken, in pixels of the image; null beside it. */
  function place() {
    const at = pointer ? app.viewer.at(pointer) : app.viewer.middle();
    return at && { image: app.viewer.imageIndex, y: -at.y - 0.5, x: at.x - 0.5 };
  }

  function take(send) {
    const found = drawing.shape && app.viewer.image && place();
    if (!found) return false;
    send(found);
    return true;
  }

  function draw() {
    const at = drawing.shape && (pointer ? app.viewer.at(pointer) : isFocused ? app.viewer.middle() : null);
    frame.hidden = !at;
    if (!at) return;
    const [height, width] = drawing.shape;
    const box = app.viewer.onScreen({ left: at.x - width / 2, top: at.y + height / 2, width, height });
    if (!box) return void (frame.hidden = true);
    Object.assign(frame.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
  }

  app.ready((doc) => {
    const host = document.querySelector(".slot-viewer");
    const figure = doc.get_model_by_name("viewer");
    if (!host || !figure) return;
    frame = app.h("div", { class: "viewer-patch", hidden: true, "aria-hidden": "true" });
    host.append(frame);
    host.addEventListener("pointermove", (event) => { pointer = event; draw(); }, { passive: true, capture: true });
    host.addEventListener("pointerleave", () => { pointer = null; draw(); });
    host.addEventListener("keydown", (event) => { if (event.key.startsWith("Arrow")) { pointer = null; isFocused = true; draw(); } }, true); // moved with keys: the middle counts
    host.addEventListener("focus", () => { isFocused = host.matches(":focus-visible"); draw(); });
    host.addEventListener("blur", () => { isFocused = false; draw(); });
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(draw);
  });
})();
