// Where there are too many boxes to be told apart, how dense they are is drawn instead.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const SMALL_PX = 12; // a box of this size on the screen is a dot
  const MANY = 1000; // boxes in view: fewer are drawn one by one
  const COVERED = 0.5; // share of the view that small boxes may cover
  const MOST = 4000; // boxes in view that are drawn at all: more take too long
  const ALL = 5000; // boxes that Bokeh is given wherever they are: of more, those near the view
  const AROUND = 0.5; // of the view, on each side, that counts as near
  const CELL_PX = 10; // on the screen, at least
  const [FAINT, STRONG] = [0.1, 0.6]; // opacity of where there is one, and of where there are most

  const dense = new Set(); // keys of layers
  const given = new Map(); // by key: where the boxes are that Bokeh was given, if that is not everywhere
  let [canvas, note, isWaiting] = [null, null, false];

  /** Number of the first rows that reach the threshold; rows are sorted. */
  function above(score, least) {
    let [first, end] = [0, score.length];
    while (first < end) {
      const middle = (first + end) >> 1;
      if (score[middle] >= least) first = middle + 1; else end = middle;
    }
    return first;
  }
  const partsOf = (key) => {
    const [source, limit] = [app.model(key), app.model(`limit of ${key}`)];
    const renderer = source && app.model("viewer").renderers.find((each) => each.data_source === source);
    if (!renderer || !limit) return null;
    const { x, y, score, is_flagged: isFlagged } = source.data;
    return { source, x, y, isFlagged, end: above(score, limit.data.threshold[0]), side: Math.max(renderer.glyph.width.value, renderer.glyph.height.value) };
  };

  function inView({ x, y, end }) {
    const [left, right, bottom, top] = app.viewer.ranges();
    let n = 0;
    for (let row = 0; row < end; row += 1) if (x[row] >= left && x[row] <= right && y[row] >= bottom && y[row] <= top) n += 1;
    return n;
  }

  /** Tell whether the boxes of a layer are too many to be drawn, as it is seen now. */
  function decide(key) {
    const room = app.viewer.frame();
    const parts = room && partsOf(key);
    if (!parts) return false;
    const px = parts.side / app.viewer.scale();
    const n = parts.end < MANY ? parts.end : inView(parts);
    const is = n > MOST || (n > MANY && px < SMALL_PX && n * px * px > COVERED * room.width * room.height);
    if (is) dense.add(key); else dense.delete(key);
    return is;
  }

  function isOutside(key) {
    const [left, right, bottom, top] = app.viewer.ranges();
    const area = given.get(key);
    return area && (left < area.left || right > area.right || bottom < area.bottom || top > area.top);
  }
  function follow() {
    for (const { key } of app.viewer.layers()) {
      const was = dense.has(key);
      if (decide(key) !== was || (!was && isOutside(key))) app.model(key)?.change.emit();
    }
    for (const key of dense) if (!app.viewer.layers().some((layer) => layer.key === key)) dense.delete(key);
    app.viewer.tellUnseen();
  }

  function paint() {
    isWaiting = false;
    const room = app.viewer.frame();
    if (!canvas || !room) return;
    follow();
    const shown = app.viewer.layers().filter(({ key }) => dense.has(key) && !app.viewer.isHidden(key));
    canvas.hidden = !shown.length;
    note.hidden = !shown.length;
    if (!shown.length) return;
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(room.width * ratio), Math.round(room.height * ratio)];
    Object.assign(canvas.style, { left: `${room.left}px`, top: `${room.top}px`, width: `${room.width}px`, height: `${room.height}px` });
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const words = shown.map((layer) => `${paintLayer(pen, layer).toLocaleString("en")} ${layer.name}`);
    note.textContent = `${words.join(", ")} in view. Zoom in to see each.`;
  }

  function paintLayer(pen, { key, color }) {
    const { x, y, isFlagged, end } = partsOf(key);
    const [left, right, bottom, top] = app.viewer.ranges();
    const scale = app.viewer.scale();
    const cell = 2 ** Math.ceil(Math.log2(CELL_PX * scale)); // of a grid that stays on the image when that is moved
    const [column0, row0] = [Math.floor(left / cell), Math.floor(-top / cell)];
    const [columns, rows] = [Math.floor(right / cell) - column0 + 1, Math.floor(-bottom / cell) - row0 + 1];
    const counts = new Uint32Array(columns * rows);
    let [total, most] = [0, 1];
    for (let i = 0; i < end; i += 1) {
      const [column, row] = [Math.floor(x[i] / cell) - column0, Math.floor(-y[i] / cell) - row0];
      if (isFlagged[i] || column < 0 || row < 0 || column >= columns || row >= rows) continue;
      total += 1;
      most = Math.max(most, counts[row * columns + column] += 1);
    }
    const side = cell / scale;
    pen.fillStyle = color;
    for (let i = 0; i < counts.length; i += 1) {
      if (!counts[i]) continue;
      pen.globalAlpha = app.viewer.fadeOf(key) * (FAINT + (STRONG - FAINT) * Math.sqrt(counts[i] / most));
      pen.fillRect(((i % columns) + column0) * side - left / scale, (Math.floor(i / columns) + row0) * side + top / scale, side - 0.5, side - 0.5);
    }
    return total;
  }

  function draw() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(paint);
  }
  app.viewer.density = {
    draw,
    has: (key) => dense.has(key),
    /** For the filter of boxes: whether none of a layer are drawn. */
    decide(key) { draw(); return decide(key); },
    /** For the filter of boxes: where boxes are drawn if there are so many; null for everywhere. */
    near(key, n) {
      given.delete(key);
      if (n <= ALL || !app.viewer.frame()) return null;
      const [left, right, bottom, top] = app.viewer.ranges();
      const [dx, dy] = [AROUND * (right - left), AROUND * (top - bottom)];
      given.set(key, { left: left - dx, right: right + dx, bottom: bottom - dy, top: top + dy });
      return given.get(key);
    },
  };

  app.ready((doc) => {
    const figure = doc.get_model_by_name("viewer");
    const host = document.querySelector(".slot-viewer");
    if (!figure || !host) return;
    canvas = h("canvas", { class: "viewer-density", "aria-hidden": "true", hidden: true });
    note = h("div", { class: "viewer-note", role: "status", hidden: true });
    host.after(canvas, note);
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(draw);
    draw();
  });
})();
