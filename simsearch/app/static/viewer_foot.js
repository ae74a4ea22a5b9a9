// Below the image of a viewer: where the pointer is and what lies there, zoom; over it a scale bar and an overview.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const SCALE_SHARE = 0.2; // of the view, that a scale bar takes at most
  const REST_MS = 120; // of the pointer, before intensities are asked for
  const ANSWERS = 256; // that are kept, at most

  let [pixelUm, overviewUrl, image, size, channels] = [null, "", null, null, []];
  let parts = null;
  let isWanted = app.remember("overview") ?? true;

  const length = (px) => {
    if (pixelUm === null) return `${Math.round(px)} px`;
    const um = px * pixelUm;
    return um >= 1000 ? `${Number((um / 1000).toPrecision(4))} mm` : um < 1 ? `${Math.round(um * 1000)} nm` : `${Number(um.toPrecision(4))} µm`;
  };

  // A scale bar: in micrometres where the size of a pixel is known

  /** Its length on the screen, and what that is. */
  function scaleBar() {
    const scale = app.viewer.scale();
    const most = SCALE_SHARE * app.viewer.frame().width * scale * (pixelUm ?? 1);
    const power = 10 ** Math.floor(Math.log10(most));
    const px = [5, 2, 1].map((digit) => digit * power).find((step) => step <= most) / (pixelUm ?? 1);
    return { px: px / scale, words: length(px) };
  }
  function drawScale() {
    if (!app.viewer.frame()) return;
    const scale = app.viewer.scale();
    const bar = scaleBar();
    parts.scale.style.width = `${bar.px}px`;
    parts.scale.textContent = bar.words;
    const percent = 100 / scale;
    parts.zoom.textContent = `${percent >= 10 ? Math.round(percent) : Number(percent.toPrecision(2))} %`;
  }

  // All of the image, small, with what is seen of it

  function drawOverview() {
    const isUseful = isWanted && overviewUrl && app.viewer.place() !== null;
    parts.overview.hidden = !isUseful;
    parts.toggle.setAttribute("aria-pressed", String(isWanted));
    if (!isUseful || !size) return;
    const [left, right, bottom, top] = app.viewer.ranges();
    const percent = (value, whole) => 100 * Math.min(1, Math.max(0, value / whole));
    const [x0, x1, y0, y1] = [percent(left, size.width), percent(right, size.width), percent(-top, size.height), percent(-bottom, size.height)];
    Object.assign(parts.seen.style, { left: `${x0}%`, width: `${x1 - x0}%`, top: `${y0}%`, height: `${y1 - y0}%` });
  }
  function goTo(event) {
    const box = parts.overview.getBoundingClientRect();
    const [left, right, bottom, top] = app.viewer.ranges();
    app.viewer.centre(((event.clientX - box.left) / box.width) * size.width, -((event.clientY - box.top) / box.height) * size.height, right - left, top - bottom);
  }

  // Where the pointer is

  const answers = new Map(); // by address: promises of intensities
  let timer = null;
  async function ask(y, x) {
    const url = `${document.body.dataset.prefix.replace(/\/$/, "")}/intensities/${image}/${y}/${x}`;
    if (answers.size > ANSWERS) answers.clear();
    if (!answers.has(url)) answers.set(url, fetch(url).then((answer) => (answer.ok ? answer.json() : null), () => null));
    return answers.get(url);
  }
  function drawPlace(event) {
    clearTimeout(timer);
    const at = event && app.viewer.at(event);
    const [y, x] = at ? [Math.floor(-at.y), Math.floor(at.x)] : [-1, -1];
    const isInside = size && y >= 0 && x >= 0 && y < size.height && x < size.width;
    parts.intensities.textContent = "";
    parts.place.textContent = isInside ? `x ${x.toLocaleString("en")}, y ${y.toLocaleString("en")} px${pixelUm === null ? "" : ` · ${length(x + 0.5)}, ${length(y + 0.5)}`}` : "";
    if (!isInside) return;
    const asked = image;
    timer = setTimeout(async () => {
      const values = await ask(y, x);
      if (!values || asked !== image || parts.place.textContent === "") return;
      parts.intensities.textContent = channels.map(({ index, name }) => `${name} ${Number(Number(values[index]).toPrecision(5)).toLocaleString("en")}`).join(" · ");
    }, REST_MS);
  }

  function fill() {
    const viewer = document.querySelector(".viewer");
    if (document.fullscreenElement === viewer) document.exitFullscreen(); else viewer.requestFullscreen?.();
  }

  const button = (words, tip, act, glyph) => h("button", { class: "small zoom", type: "button", "aria-label": tip.replace(/ \(.*/, ""), "data-tip": tip, "data-tip-side": "corner", onclick: act }, glyph ? icon(glyph) : words);

  function make(stage, foot) {
    parts = {
      scale: h("div", { id: "viewer-scale", class: "viewer-scale", "aria-hidden": "true" }),
      seen: h("div", { class: "overview-seen" }),
      picture: h("img", { alt: "", draggable: false }),
      place: h("span", { class: "number", id: "viewer-place" }), intensities: h("span", { class: "number quiet", id: "viewer-intensities" }),
      zoom: h("span", { class: "number quiet zoom-share", id: "viewer-zoom", title: "Size on the screen: at 100 % a pixel of the image is one of the screen" }),
      toggle: button("", "Overview", () => { isWanted = !isWanted; app.remember("overview", isWanted); drawOverview(); }, "map"),
    };
    parts.overview = h("div", { class: "overview", id: "viewer-overview", hidden: true, "aria-hidden": "true" }, parts.picture, parts.seen);
    parts.overview.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      parts.overview.setPointerCapture(event.pointerId);
      goTo(event);
    });
    parts.overview.addEventListener("pointermove", (event) => { if (event.buttons) goTo(event); });
    stage.append(parts.scale, parts.overview);
    const full = document.fullscreenEnabled ? button("", "Full screen (F)", fill, "full") : null;
    foot.replaceChildren(h("div", { class: "viewer-place" }, parts.place, parts.intensities), h("div", { class: "viewer-zoom", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out (−)", app.viewer.zoomOut), parts.zoom, button("+", "Zoom in (+)", app.viewer.zoomIn),
      button("1:1", "A pixel of the image as one of the screen", app.viewer.atFullSize), h("button", { class: "small zoom", id: "viewer-fit", type: "button", "data-tip": "All of the image (0)", "data-tip-side": "corner", onclick: app.viewer.fit }, "Fit"),
      parts.toggle, button("", "Save what is seen as a picture (PNG)", app.viewer.savePicture, "download"), ...(full ? [full] : [])));
    if (full) app.key("f", "full screen", fill);
  }

  // What the server says may come before there is a place for it.
  const draw = () => { if (parts) { drawScale(); drawOverview(); } };
  app.viewer.foot = {
    pixelUm(value) { pixelUm = value; draw(); },
    /** As it is drawn on pictures: where the size of a pixel is known. */
    scaleBar: () => (pixelUm === null ? null : scaleBar()),
    overview(url) { overviewUrl = url; if (parts) parts.picture.src = url; draw(); },
    view(view) { [image, size] = [view.index, { width: view.width, height: view.height }]; if (parts) drawPlace(null); draw(); },
    channels(value) { channels = value; },
  };

  app.ready((doc) => {
    const figure = doc.get_model_by_name("viewer");
    const stage = document.querySelector(".viewer-stage");
    if (!figure || !stage) return;
    make(stage, document.getElementById("viewer-foot"));
    parts.picture.src = overviewUrl;
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(draw);
    stage.addEventListener("pointermove", drawPlace, { passive: true, capture: true });
    stage.addEventListener("pointerleave", () => drawPlace(null));
    draw();
  });
})();
