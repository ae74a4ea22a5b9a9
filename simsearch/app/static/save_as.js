// Figures to take away: as PNG for slides, as SVG for papers. Those that a run has written, and those that a page draws.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const SCALE = 3; // pixels of a PNG in one of the page
  const LOOKS = ["fill", "stroke", "stroke-width", "opacity", "font-size", "font-family", "text-anchor"];
  const KINDS = { png: "PNG", svg: "SVG" };
  const control = (name, offers) => h("span", { class: "save-as small quiet", role: "group", "aria-label": `Download ${name}` }, Object.keys(KINDS).filter((kind) => offers[kind]).flatMap((kind, i) => [i ? " · " : null, offers[kind]]));
  const words = (name, kind) => ({ "aria-label": `Download ${name} as ${KINDS[kind]}`, title: `Download as ${KINDS[kind]}` });

  /** Offers a picture that a run has written: {name, files: {png: {url, saved}, svg: ...}}. */
  app.saveAs = ({ name, files }) => control(name, Object.fromEntries(Object.entries(files).map(([kind, file]) => [kind, h("a", { href: file.url, download: file.saved, ...words(name, kind) }, KINDS[kind])])));

  /** Offers an SVG element of the page, as it is drawn then; find() returns it. */
  app.saveDrawn = (name, find) => {
    const save = { svg: (text) => download(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`), png: (text, size) => raster(text, size).then((blob) => download(blob, `${name}.png`)) };
    return control(name, Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, h("button", { type: "button", class: "text", ...words(name, kind), onclick: () => save[kind](...onPaper(find())) }, KINDS[kind])])));
  };

  /** Save something that the page has made. */
  function download(blob, name) {
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: name.replace(/[\\/:*?"<>|\s]+/g, "_") }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  app.download = download;

  /** A drawing with its looks written into it, in the colours for paper, and its size. */
  function onPaper(drawn) {
    const root = document.documentElement;
    const theme = root.dataset.theme;
    const copy = drawn.cloneNode(true);
    const box = drawn.getBoundingClientRect();
    root.dataset.theme = "light";
    [drawn, ...drawn.querySelectorAll("*")].forEach((element, i) => {
      const looks = getComputedStyle(element);
      const own = i ? copy.querySelectorAll("*")[i - 1] : copy;
      for (const name of LOOKS) own.setAttribute(name, ["fill", "stroke"].includes(name) ? plain(looks.getPropertyValue(name)) : looks.getPropertyValue(name));
      for (const name of ["class", "style", "tabindex", "role"]) own.removeAttribute(name);
    });
    root.dataset.theme = theme;
    const size = [Math.round(box.width), Math.round(box.height)];
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", size[0]);
    copy.setAttribute("height", size[1]);
    return [new XMLSerializer().serializeToString(copy), size];
  }

  /** A colour as every program understands it. */
  function plain(color) {
    if (color === "none" || /^#/.test(color)) return color;
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return a ? `#${[r, g, b].map((value) => value.toString(16).padStart(2, "0")).join("")}` : "none";
  }

  async function raster(text, [width, height]) {
    const picture = new Image();
    picture.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    await picture.decode();
    URL.revokeObjectURL(picture.src);
    const canvas = Object.assign(document.createElement("canvas"), { width: SCALE * width, height: SCALE * height });
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  }
})();
