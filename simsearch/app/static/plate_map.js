// A plate as a heat map of wells to click.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const STOPS = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));

  /** Viridis: even steps look even, to all kinds of colour vision. */
  function color(share) {
    const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
    const i = Math.min(Math.floor(at), STOPS.length - 2);
    return STOPS[i].map((value, channel) => Math.round(value + (at - i) * (STOPS[i + 1][channel] - value)));
  }
  const rgb = (values) => `rgb(${values.join(" ")})`;
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const MIDDLE = 0.179; // luminance on which black and white can be read alike
  const ink = ([r, g, b]) => (0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) > MIDDLE ? "#000000" : "#ffffff");
  const letters = (row) => (row < 26 ? String.fromCharCode(65 + row) : String.fromCharCode(64 + Math.floor(row / 26)) + String.fromCharCode(65 + (row % 26)));

  /** wells: [{well, row, column, ...}]; value(well) -> number or null; write(number) -> text; tell(well) -> tooltip. */
  app.plateMap = ({ wells, value, write, tell, chosen, act, most = null }) => {
    const nRows = Math.max(...wells.map((well) => well.row)) + 1;
    const nColumns = Math.max(...wells.map((well) => well.column)) + 1;
    const values = wells.map(value);
    const top = most ?? Math.max(...values.filter((each) => each !== null), 0);
    const known = new Map(wells.map((well, i) => [`${well.row}:${well.column}`, i]));
    const cells = [h("span")];
    for (let column = 0; column < nColumns; column += 1) cells.push(h("span", { class: "plate-axis" }, column + 1));
    for (let row = 0; row < nRows; row += 1) {
      cells.push(h("span", { class: "plate-axis" }, letters(row)));
      for (let column = 0; column < nColumns; column += 1) {
        const index = known.get(`${row}:${column}`);
        if (index === undefined) { cells.push(h("span", { class: "heat-well none" })); continue; }
        const number = values[index];
        const fill = number === null ? null : color(top ? number / top : 0);
        cells.push(h("button", {
          class: "heat-well", type: "button", title: tell(wells[index], number), "aria-pressed": String(chosen === wells[index].well), "aria-label": tell(wells[index], number),
          style: fill ? { background: rgb(fill), color: ink(fill) } : {}, onclick: () => act(wells[index]),
        }, number === null ? "–" : write(number)));
      }
    }
    const scale = h("div", { class: "heat-scale small quiet" }, write(0), h("span", { style: { background: `linear-gradient(90deg, ${STOPS.map(rgb).join(", ")})` } }), write(top));
    return h("div", { class: "heat-plate" }, h("div", { class: `heat-wells${nColumns > 12 ? " dense" : ""}`, style: { "--columns": nColumns } }, cells), scale);
  };
})();
