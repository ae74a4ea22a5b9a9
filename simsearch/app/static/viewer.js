// The scripts' half of a viewer: its bar, moving and zooming beside Bokeh's own gestures, and boxes filtered at once.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const PAN_SHARE = 0.15; // of the view, for an arrow key
  const ZOOM_STEP = 1.4; // for + and -
  const PIXELS_SEEN = 3; // enlarged so many times, pixels are drawn as squares instead of smoothed
  const SCALE_SHARE = 0.2; // of the view, that a scale bar takes at most
  const MARGIN = 1.02; // around an image that is fitted in
  const SIDES_AROUND = 6; // a place that is gone to is shown with this many patches around

  let view = null; // what the server says is shown
  let figure = null;
  let tiles = null;
  const seen = new Map(); // by image: where one was

  const viewOf = () => window.Bokeh.index.find_one(figure);
  const frame = () => {
    const bbox = viewOf()?.frame?.bbox;
    return bbox && bbox.width > 0 ? bbox : null;
  };
  const ranges = () => [figure.x_range.start, figure.x_range.end, figure.y_range.start, figure.y_range.end];
  function setRanges([left, right, bottom, top]) {
    figure.x_range.setv({ start: left, end: right });
    figure.y_range.setv({ start: bottom, end: top });
  }

  /** Show a place in the middle, with at least so much of the image around it. */
  function centre(x, y, width, height) {
    const room = frame();
    if (!room) return void requestAnimationFrame(() => centre(x, y, width, height));
    const scale = Math.max(width / room.width, height / room.height);
    setRanges([x - (scale * room.width) / 2, x + (scale * room.width) / 2, y - (scale * room.height) / 2, y + (scale * room.height) / 2]);
  }

  const fit = () => view && centre(view.width / 2, -view.height / 2, view.width * MARGIN, view.height * MARGIN);

  function zoom(factor) {
    const [left, right, bottom, top] = ranges();
    const [x, y] = [(left + right) / 2, (bottom + top) / 2];
    centre(x, y, (right - left) / factor, (top - bottom) / factor);
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
    const scale = room.width / (end - start);
    return { left: room.left + (left - start) * scale, top: room.top + (upper - top) * scale, width: width * scale, height: height * scale };
  }

  // Gestures that Bokeh has not: moving with the right or middle button, with Shift or with Space held down

  let isSpaceDown = false;
  function wantsToMove(event) {
    return event.button === 1 || event.button === 2 || (event.button === 0 && (event.shiftKey || isSpaceDown));
  }
  function listen(host) {
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
      if (event.key in moves) move(...moves[event.key].map((way) => way * PAN_SHARE));
      else if (event.key === "+" || event.key === "=") zoom(ZOOM_STEP);
      else if (event.key === "-") zoom(1 / ZOOM_STEP);
      else if (event.key === "0") fit();
      else if (event.key === " ") isSpaceDown = true;
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    window.addEventListener("keyup", (event) => { if (event.key === " ") isSpaceDown = false; });
    window.addEventListener("blur", () => { isSpaceDown = false; });
  }

  /** Show those boxes of a class that reach a threshold; the server is not asked. Returns how many there are here. */
  function threshold(className, least) {
    const limit = app.model(`limit of peaks:${className}`);
    const source = app.model(`peaks:${className}`);
    if (!limit || !source) return 0;
    limit.data.threshold[0] = least;
    source.change.emit();
    const { score, is_flagged: isFlagged } = source.data;
    let count = 0;
    for (let row = 0; row < score.length && score[row] >= least; row += 1) count += isFlagged[row] ? 0 : 1;
    return count;
  }

  const listeners = []; // of what was drawn
  const viewListeners = [];
  let names = [];
  app.viewer = {
    threshold, fit, zoom, move, centre,
    get image() { return view?.image ?? ""; },
    get imageIndex() { return view?.index; },
    at, middle, onScreen,
    images: () => names,
    /** Call when the server has drawn other boxes. */
    onSources: (listener) => listeners.push(listener),
    /** Call with what the server says is shown, whenever it says so. */
    onView: (listener) => viewListeners.push(listener),
  };

  app.ready((doc) => {
    figure = doc.get_model_by_name("viewer");
    const host = document.querySelector(".slot-viewer");
    if (!figure || !host) return;
    tiles = figure.renderers.find((renderer) => renderer.type === "TileRenderer");
    listen(host);
    host.append(h("div", { id: "viewer-scale", class: "viewer-scale", "aria-hidden": "true" }));
    figure.x_range.change.connect(drawScale);
    drawScale();
  });

  // A scale bar: in micrometres where the size of a pixel is known

  let pixelUm = null;
  function drawScale() {
    const bar = document.getElementById("viewer-scale");
    const room = frame();
    if (!bar || !room) return;
    const most = SCALE_SHARE * (figure.x_range.end - figure.x_range.start) * (pixelUm ?? 1);
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((digit) => digit * power).find((step) => step <= most);
    const shown = (length / (pixelUm ?? 1) / (figure.x_range.end - figure.x_range.start)) * room.width;
    const words = pixelUm === null ? `${length} px` : length >= 1000 ? `${length / 1000} mm` : length < 1 ? `${Math.round(length * 1000)} nm` : `${length} µm`;
    tiles.setv({ smoothing: (figure.x_range.end - figure.x_range.start) / room.width > 1 / PIXELS_SEEN }, { sync: false });
    bar.style.width = `${shown}px`;
    bar.textContent = words;
  }

  // The bar

  const place = (id, ...children) => document.getElementById(id)?.replaceChildren(...children);

  app.island("viewer_bar", (send) => {
    let images = [];
    const step = (steps) => {
      if (images.length) send("image", { name: images[(images.indexOf(view.image) + steps + images.length) % images.length] });
    };
    app.key(["n", "ArrowRight"], "next image", () => step(1));
    app.key(["p", "ArrowLeft"], "image before", () => step(-1));
    app.viewer.step = step;

    function drawTabs() {
      const current = view?.image;
      const tabs = images.length > 8
        ? h("select", { "aria-label": "Image", onchange: (event) => send("image", { name: event.target.value }) },
          images.map((image) => h("option", { value: image, selected: image === current }, app.imageName(image, images))))
        : h("div", { class: "tabs", role: "tablist", "aria-label": "Images" }, images.map((image) =>
          h("button", { type: "button", role: "tab", "aria-selected": String(image === current), title: image, onclick: () => send("image", { name: image }) }, app.imageName(image, images))));
      place("viewer-tabs",
        h("button", { class: "icon", type: "button", "aria-label": "Image before", "data-tip": "Image before (P)", disabled: images.length < 2, onclick: () => step(-1) }, icon("left")),
        tabs,
        h("button", { class: "icon", type: "button", "aria-label": "Next image", "data-tip": "Next image (N)", disabled: images.length < 2, onclick: () => step(1) }, icon("right")),
        h("span", { class: "quiet small" }, images.length ? `${images.indexOf(current) + 1} of ${images.length}` : ""));
    }

    function drawChannel(channel) {
      const { index, default: usual } = channel;
      const tell = (changes) => { Object.assign(channel, changes); send("channel", { index, color: channel.color, low: channel.low, high: channel.high }); };
      const step = (channel.end - channel.start) / 500;
      const slider = (which, label) => h("input", {
        type: "range", "aria-label": `${channel.name}: ${label}`, title: label, min: channel.start, max: channel.end, step, value: String(channel[which]),
        style: { "--fill": `${(100 * (channel[which] - channel.start)) / (channel.end - channel.start)}%` },
        onchange: (event) => {
          const value = Number(event.target.value);
          tell(which === "low" ? { low: Math.min(value, channel.high - step) } : { high: Math.max(value, channel.low + step) });
        },
      });
      return h("div", { class: "shade" },
        h("input", { type: "color", value: channel.color.toLowerCase(), "aria-label": `Colour of ${channel.name}`, onchange: (event) => tell({ color: event.target.value }) }),
        h("span", { class: "shade-name", title: channel.name }, channel.name),
        h("div", { class: "shade-range" }, slider("low", "shown darkest"), slider("high", "shown brightest")),
        h("button", { class: "text small", type: "button", onclick: () => tell({ ...usual }) }, "Reset"));
    }

    return {
      images(value) { images = names = value.names; drawTabs(); },
      drawn() { for (const listener of listeners) listener(); },
      view(value) {
        const before = view;
        if (before && before.image !== value.image) seen.set(before.image, ranges());
        view = value;
        drawTabs();
        if (value.at) centre(value.at.x + 0.5, -value.at.y - 0.5, SIDES_AROUND * value.at.side, SIDES_AROUND * value.at.side);
        else if (before?.image !== value.image) (seen.has(value.image) ? setRanges(seen.get(value.image)) : fit());
        for (const listener of viewListeners) listener(value);
      },
      channels(channels) {
        const details = document.getElementById("viewer-channels");
        if (!details || details.contains(document.activeElement) && document.activeElement.type === "range") return;
        details.replaceChildren(
          h("summary", { class: "button small", "data-tip": "Colour and contrast of channels" }, channels.map((channel) => h("span", { class: "swatch", style: { "--color": channel.color } })), "Channels"),
          h("div", { class: "panel shade-list" }, channels.map(drawChannel)));
      },
      scale(value) { pixelUm = value.um; drawScale(); },
      heat(value) { document.getElementById("viewer-heat")?.setAttribute("aria-pressed", String(Boolean(value?.name))); },
    };
  });

  /** Have a class's similarity drawn over the image, or nothing. */
  app.ready(() => {
    const heat = document.getElementById("viewer-heat");
    const wire = app.model("viewer_bar");
    if (!heat || !wire) return;
    heat.addEventListener("click", () => {
      const isOn = heat.getAttribute("aria-pressed") === "true";
      const wanted = isOn ? null : app.viewer.activeClass?.() ?? null;
      wire.up = JSON.stringify({ kind: "heat", name: wanted, number: Date.now() });
    });
    document.getElementById("viewer-fit")?.addEventListener("click", fit);
  });
})();
