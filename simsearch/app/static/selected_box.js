// A frame around what is selected in the image. That of a box has handles: a drag inside moves it, one at a handle resizes it.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const GRIP_PX = 9; // around a handle, that takes hold of it
  const ROOMY_PX = 44; // a side that is longer on the screen has a handle in its middle too
  const OUTSIDE_PX = 4; // that the frame of a thing without handles lies around it
  const LEAST_PX = 8; // of the image: a smaller box was drawn by a slip
  const WAYS = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]]; // of handles: down and right of the middle

  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

  /** Move a box by so much, inside an image. */
  function moved(box, dy, dx, { height, width }) {
    return {
      ...box,
      y: clamp(box.y + dy, (box.height - 1) / 2, height - (box.height + 1) / 2),
      x: clamp(box.x + dx, (box.width - 1) / 2, width - (box.width + 1) / 2),
    };
  }

  /** Move one border of a box; the other stays. Sides are whole pixels, and end at those of the image. */
  function resizedAlong(centre, side, way, by, length) {
    if (!way) return [centre, side];
    const still = centre - (way * side) / 2; // the border that stays
    const room = way > 0 ? length - 0.5 - still : still + 0.5;
    const next = clamp(Math.round(side + way * by), LEAST_PX, Math.floor(room));
    return [still + (way * next) / 2, next];
  }
  function resized(box, [down, right], dy, dx, image) {
    const [y, height] = resizedAlong(box.y, box.height, down, dy, image.height);
    const [x, width] = resizedAlong(box.x, box.width, right, dx, image.width);
    return { ...box, y, x, height, width };
  }

  /** host: what holds the image. changed(box, before): called after a drag. Gives { show(box or null, hasHandles, isResizable), box, holds(at), take(event) }. */
  app.selectedBox = (host, changed) => {
    const handles = WAYS.map(([down, right]) => h("i", { class: "grip", style: { "--y": `${50 + 50 * down}%`, "--x": `${50 + 50 * right}%` } }));
    const element = h("div", { class: "viewer-selected", hidden: true, "aria-hidden": "true" }, handles);
    host.append(element);
    let [box, hasHandles, isResizable] = [null, false, false];

    const onScreen = () => box && app.viewer.onScreen({ left: box.x + 0.5 - box.width / 2, top: -(box.y + 0.5) + box.height / 2, width: box.width, height: box.height });
    const isShown = ([down, right], { width, height }) => isResizable && ((down && right) || (down ? width : height) >= ROOMY_PX);

    function draw() {
      const at = onScreen();
      element.hidden = !at;
      if (!at) return;
      const around = hasHandles ? 0 : OUTSIDE_PX;
      Object.assign(element.style, { left: `${at.left - around}px`, top: `${at.top - around}px`, width: `${at.width + 2 * around}px`, height: `${at.height + 2 * around}px` });
      WAYS.forEach((way, index) => { handles[index].hidden = !isShown(way, at); });
    }

    /** What a pointer would take hold of: a way of `WAYS`, [0, 0] for all of the box, or nothing. */
    function gripAt({ clientX, clientY }) {
      const at = hasHandles ? onScreen() : null;
      if (!at) return null;
      const corner = host.getBoundingClientRect();
      const [x, y] = [clientX - corner.left - at.left, clientY - corner.top - at.top];
      const near = WAYS.find((way) => isShown(way, at) && Math.abs(x - (at.width * (1 + way[1])) / 2) < GRIP_PX && Math.abs(y - (at.height * (1 + way[0])) / 2) < GRIP_PX);
      return near ?? (x >= 0 && y >= 0 && x <= at.width && y <= at.height ? [0, 0] : null);
    }
    const CURSORS = { "0,0": "move", "-1,-1": "nwse", "1,1": "nwse", "-1,1": "nesw", "1,-1": "nesw", "-1,0": "ns", "1,0": "ns", "0,-1": "ew", "0,1": "ew" };
    host.addEventListener("pointermove", (event) => {
      if (!event.buttons) host.dataset.grip = CURSORS[gripAt(event)?.join()] ?? "";
    }, { passive: true, capture: true });

    /** Take hold of the box with a pointer that went down; tells whether it did. */
    function take(event) {
      const grip = gripAt(event);
      if (!grip) return false;
      const [before, scale, image] = [box, app.viewer.scale(), app.viewer.size()];
      const drag = (next) => {
        const [dy, dx] = [(next.clientY - event.clientY) * scale, (next.clientX - event.clientX) * scale];
        box = grip[0] || grip[1] ? resized(before, grip, dy, dx, image) : moved(before, dy, dx, image);
        draw();
        next.stopImmediatePropagation();
      };
      const end = (next) => {
        window.removeEventListener("pointermove", drag, true);
        window.removeEventListener("pointerup", end, true);
        window.removeEventListener("pointercancel", end, true);
        next.stopImmediatePropagation();
        if (JSON.stringify(box) !== JSON.stringify(before)) changed(box, before);
      };
      window.addEventListener("pointermove", drag, true);
      window.addEventListener("pointerup", end, true);
      window.addEventListener("pointercancel", end, true);
      return true;
    }

    return {
      show(next, withHandles, mayResize) { [box, hasHandles, isResizable] = [next, withHandles, mayResize]; draw(); },
      /** Move it by whole pixels of the image. */
      nudge(dy, dx) { box = moved(box, dy, dx, app.viewer.size()); draw(); return box; },
      holds: (at) => box !== null && Math.abs(at.x - box.x - 0.5) <= box.width / 2 && Math.abs(-at.y - box.y - 0.5) <= box.height / 2,
      draw, take,
    };
  };
})();
