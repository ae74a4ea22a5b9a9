// What of an image is seen: moving and zooming beside Bokeh's own gestures, and where things are on the screen.
(() => {
  const app = window.simsearch;
  const PAN_SHARE = 0.15; // of the view, for an arrow key
  const ZOOM_STEP = 1.4; // for + and -
  const MARGIN = 1.02; // around an image that is fitted in
  const FOREVER_MS = 2 ** 31 - 1; // the most that a timer can wait
  const SAME = 0.02; // so much off, all of the image is still seen

  let figure = null;
  let size = null; // of the image that is shown

  const viewOf = () => window.Bokeh.index.find_one(figure);
  const frame = () => {
    const bbox = viewOf()?.frame?.bbox;
    return bbox && bbox.width > 0 ? bbox : null;
  };
  const ranges = () => [figure.x_range.start, figure.x_range.end, figure.y_range.start, figure.y_range.end];
  function setRanges([left, right, bottom, top]) {
    figure.x_range.setv({ start: left, end: right });
    figure.y_range.setv({ start: bottom, end: top });
    note();
  }

  let noted = null; // the view, and how large it was on the screen
  function note() {
    const room = frame();
    if (room) noted = { room: [room.width, room.height], ...middle(), scale: scale(), isAll: isAll(room) };
  }

  /** Show a place in the middle, with at least so much of the image around it. */
  function centre(x, y, width, height) {
    const room = frame();
    if (!room) return void requestAnimationFrame(() => centre(x, y, width, height));
    const scale = Math.max(width / room.width, height / room.height);
    setRanges([x - (scale * room.width) / 2, x + (scale * room.width) / 2, y - (scale * room.height) / 2, y + (scale * room.height) / 2]);
  }

  const fit = () => size && centre(size.width / 2, -size.height / 2, size.width * MARGIN, size.height * MARGIN);

  /** Pixels of the image for each of the screen. */
  function scale() {
    const room = frame();
    return room ? (figure.x_range.end - figure.x_range.start) / room.width : null;
  }

  function zoom(factor) {
    const [left, right, bottom, top] = ranges();
    const [x, y] = [(left + right) / 2, (bottom + top) / 2];
    centre(x, y, (right - left) / factor, (top - bottom) / factor);
  }

  /** Show a pixel of the image as one of the screen. */
  function atFullSize() {
    const room = frame();
    const { x, y } = middle();
    if (room) centre(x, y, room.width, room.height);
  }

  function move(rightward, downward) {
    const [left, right, bottom, top] = ranges();
    const dx = rightward * (right - left);
    const dy = -downward * (top - bottom);
    setRanges([left + dx, right + dx, bottom + dy, top + dy]);
  }

  /** Where in the figure a pointer is; null beside it. */
  function at({ clientX, clientY }) {
    const room = frame();
    const corner = viewOf()?.canvas_view?.el.getBoundingClientRect();
    if (!room || !corner) return null;
    const [across, down] = [(clientX - corner.left - room.left) / room.width, (clientY - corner.top - room.top) / room.height];
    if (across < 0 || across > 1 || down < 0 || down > 1) return null;
    const [left, right, bottom, top] = ranges();
    return { x: left + across * (right - left), y: top - down * (top - bottom) };
  }

  /** Where in the figure its middle is. */
  function middle() {
    const [left, right, bottom, top] = ranges();
    return { x: (left + right) / 2, y: (bottom + top) / 2 };
  }

  /** Where a rectangle of the figure is, from the corner of what holds the image. */
  function onScreen({ left, top, width, height }) {
    const room = frame();
    if (!room) return null;
    const [start, end, , upper] = ranges();
    const shown = room.width / (end - start);
    return { left: room.left + (left - start) * shown, top: room.top + (upper - top) * shown, width: width * shown, height: height * shown };
  }

  /** The place that is seen, so that `show` finds it again in a window of any size; null where that is all of the image. */
  function place() {
    const [left, right, bottom, top] = ranges();
    return isAll(frame()) ? null : { x: (left + right) / 2, y: (bottom + top) / 2, width: right - left, height: top - bottom };
  }
  const show = (seen) => (seen ? centre(seen.x, seen.y, seen.width, seen.height) : fit());

  function isAll(room) {
    if (!room || !size) return true;
    const [left, right] = ranges();
    const { x, y } = middle();
    const whole = MARGIN * Math.max(size.width / room.width, size.height / room.height);
    const near = (a, b, by) => Math.abs(a - b) < SAME * by;
    return near((right - left) / room.width, whole, whole) && near(x, size.width / 2, size.width) && near(y, -size.height / 2, size.height);
  }

  // Gestures that Bokeh has not: moving with the right or middle button, with Shift or with Space held down

  const arrows = []; // what takes arrow keys before the image does
  let isSpaceDown = false;
  function wantsToMove(event) {
    return event.button === 1 || event.button === 2 || (event.button === 0 && (event.shiftKey || isSpaceDown));
  }
  /** Bokeh takes a button that is held still for 300 ms for another gesture, and the drag that follows for none. */
  function bePatient() {
    const gestures = viewOf()?.canvas_view?.ui_event_bus?.ui_gestures;
    if (gestures) gestures.constructor.press_threshold = FOREVER_MS;
  }
  function listen(host) {
    host.addEventListener("pointerdown", bePatient, { capture: true, once: true });
    host.tabIndex = 0;
    host.setAttribute("role", "application");
    host.setAttribute("aria-label", "Image. Arrow keys move it, plus and minus zoom, 0 shows all of it.");
    host.addEventListener("contextmenu", (event) => event.preventDefault());
    // What is selected would be dragged instead of a box, and Bokeh would take the next drag to begin where that one did.
    document.addEventListener("dragstart", (event) => { if (!event.target.draggable) event.preventDefault(); });
    document.addEventListener("pointerdown", () => document.getSelection()?.removeAllRanges(), true);
    host.addEventListener("pointerdown", (event) => {
      host.focus({ preventScroll: true });
      if (!wantsToMove(event)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const room = frame();
      const [left, right, bottom, top] = ranges();
      const drag = (next) => {
        const dx = ((next.clientX - event.clientX) / room.width) * (right - left);
        const dy = ((next.clientY - event.clientY) / room.height) * (top - bottom);
        setRanges([left - dx, right - dx, bottom + dy, top + dy]);
        next.stopImmediatePropagation();
      };
      const end = () => {
        window.removeEventListener("pointermove", drag, true);
        window.removeEventListener("pointerup", end, true);
        host.classList.remove("moving");
      };
      host.classList.add("moving");
      window.addEventListener("pointermove", drag, true);
      window.addEventListener("pointerup", end, true);
    }, true);
    host.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key in moves && arrows.some((take) => take(event, moves[event.key]))) { /* something else was moved */ }
      else if (event.key in moves) move(...moves[event.key].map((way) => way * PAN_SHARE));
      else if (event.key === " ") isSpaceDown = true;
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    window.addEventListener("keyup", (event) => { if (event.key === " ") isSpaceDown = false; });
    window.addEventListener("blur", () => { isSpaceDown = false; });
  }

  /** In a window of another size, all of the image stays seen if it was, and else as much of it as fits at its scale. */
  function followSize(host) {
    const isSame = () => { const room = frame(); return room && noted?.room[0] === room.width && noted.room[1] === room.height; };
    const look = () => {
      const room = frame();
      if (!room || !size || isSame()) return;
      if (!noted) note();
      else if (noted.isAll) fit();
      else centre(noted.x, noted.y, noted.scale * room.width, noted.scale * room.height);
    };
    figure.x_range.change.connect(() => { if (isSame()) note(); }); // Bokeh's own gestures
    new ResizeObserver(() => requestAnimationFrame(() => requestAnimationFrame(look))).observe(host); // once Bokeh has seen it, too
  }

  app.viewer = {
    /** Have arrow keys do something else while the image is focused: take(event, [rightward, downward]) tells whether it did. */
    onArrow: (take) => arrows.unshift(take),
    fit, zoom, move, centre, at, middle, onScreen, scale, atFullSize, place, show, ranges, frame,
    zoomIn: () => zoom(ZOOM_STEP),
    zoomOut: () => zoom(1 / ZOOM_STEP),
    /** The size of the image that is shown. */
    size: () => size,
    /** Tell the size of the image that is shown. */
    measure(value) { size = value; },
  };

  app.ready((doc) => {
    figure = doc.get_model_by_name("viewer");
    const host = document.querySelector(".slot-viewer");
    if (!figure || !host) return;
    listen(host);
    followSize(host);
    app.key("+", "zoom in", app.viewer.zoomIn);
    app.key("=", "", app.viewer.zoomIn);
    app.key("-", "zoom out", app.viewer.zoomOut);
    app.key("0", "all of the image", fit);
    app.gesture("Wheel", "zoom where the pointer is");
    app.gesture("Shift or Space and drag, right drag", "move the image");
    app.gesture("Arrow keys", "move the image, once it was clicked");
  });
})();
