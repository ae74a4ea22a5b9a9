// The image as it is seen, with what is drawn over it, saved as a picture: a scale bar and the legend of the map included.
(() => {
  const app = window.simsearch;
  const EDGE = 14; // of the screen's pixels, from a bar or a legend to the border
  const FONT = "600 12px system-ui, sans-serif";
  const [DARK, LIGHT] = ["rgb(16 18 24 / 82%)", "#f3f4f8"];

  /** A bar with its length above it, in the lower left corner. */
  function drawScale(pen, { height }, { px, words }) {
    pen.save();
    pen.font = FONT;
    const width = Math.max(px, pen.measureText(words).width) + 16;
    pen.fillStyle = DARK;
    pen.beginPath();
    pen.roundRect(EDGE - 8, height - EDGE - 28, width, 34, 4);
    pen.fill();
    pen.fillStyle = LIGHT;
    pen.fillRect(EDGE, height - EDGE - 3, px, 3);
    pen.textAlign = "left";
    pen.fillText(words, EDGE, height - EDGE - 10);
    pen.restore();
  }

  /** What colours of a similarity map mean, in the lower right corner. */
  function drawLegend(pen, { width, height }, { name, colors }) {
    const [WIDE, HIGH] = [72, 8];
    pen.save();
    pen.font = FONT;
    const words = [`0`, `1  similar to ${name}`].map((text) => [text, pen.measureText(text).width]);
    const whole = words[0][1] + words[1][1] + WIDE + 12;
    const [left, middle] = [width - EDGE - whole, height - EDGE - 8];
    pen.fillStyle = DARK;
    pen.beginPath();
    pen.roundRect(left - 8, middle - 12, whole + 16, 24, 12);
    pen.fill();
    pen.fillStyle = LIGHT;
    pen.textBaseline = "middle";
    pen.fillText(words[0][0], left, middle);
    pen.fillText(words[1][0], left + words[0][1] + WIDE + 12, middle);
    const shades = pen.createLinearGradient(left + words[0][1] + 6, 0, left + words[0][1] + 6 + WIDE, 0);
    colors.forEach((color, i) => shades.addColorStop(i / (colors.length - 1), color));
    pen.fillStyle = shades;
    pen.fillRect(left + words[0][1] + 6, middle - HIGH / 2, WIDE, HIGH);
    pen.restore();
  }

  /** Compose what is seen: { canvas, ratio }, `ratio` pixels of it for one of the page. */
  function compose() {
    const view = window.Bokeh.index.find_one(app.model("viewer"));
    const room = app.viewer.frame();
    const { canvas: drawn, pixel_ratio: ratio } = view.canvas_view.compose();
    const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(room.width * ratio), height: Math.round(room.height * ratio) });
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--well");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(drawn, -room.left * ratio, -room.top * ratio);
    const density = document.querySelector(".viewer-density:not([hidden])");
    if (density) pen.drawImage(density, 0, 0, canvas.width, canvas.height);
    pen.scale(ratio, ratio);
    const scale = app.viewer.foot.scaleBar();
    if (scale) drawScale(pen, room, scale);
    const legend = app.viewer.legend();
    if (legend) drawLegend(pen, room, legend);
    return canvas;
  }

  /** Save what is seen as a PNG. */
  app.viewer.savePicture = () => {
    if (!app.viewer.image || !app.viewer.frame()) return;
    compose().toBlob((blob) => { app.download(blob, `${app.viewer.image}.png`); }, "image/png");
  };
})();
