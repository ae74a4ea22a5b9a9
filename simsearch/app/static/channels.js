// Choose channels: pictures, histograms, correlations. The other half is components/channel_choice.py.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const SVG = "http://www.w3.org/2000/svg";
  const body = document.getElementById("channels-body");
  const ALIKE = 0.9;
  const MOST_HUE = 60; // percent of colour in a cell: more, and its number cannot be read on it

  const svg = (tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const tidy = (value) => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString());

  const [LEFT, RIGHT, BOTTOM, TOP] = [48, 18, 36, 6]; // around a histogram, for its axes
  const TICK_PX = 80; // between the numbers of an axis, at least
  const POWERS = 4; // of ten, that are written beside a histogram at most

  /** Draw a histogram as wide as it is shown, so that its letters are not stretched. */
  function drawHistogram(chart, { counts, start, end, low, high }, color) {
    const { width, height } = chart.getBoundingClientRect();
    if (!width || !height) return;
    const [right, floor] = [width - RIGHT, height - BOTTOM];
    const x = (value) => LEFT + ((value - start) / (end - start)) * (right - LEFT);
    const most = Math.log1p(Math.max(1, ...counts));
    const y = (n) => floor - (Math.log1p(n) / most) * (floor - TOP);
    const step = (right - LEFT) / counts.length;
    const points = counts.map((n, i) => `${LEFT + i * step},${y(n)} ${LEFT + (i + 1) * step},${y(n)}`).join(" ");
    const text = (words, attributes) => { const element = svg("text", attributes); element.textContent = words; return element; };
    const nPowers = Math.floor(Math.log10(Math.max(1, ...counts)));
    const powers = Array.from({ length: nPowers + 1 }, (_, i) => i).filter((i) => i % Math.ceil((nPowers + 1) / POWERS) === 0).map((i) => 10 ** i);
    chart.replaceChildren(
      svg("rect", { x: x(low), width: Math.max(1, x(high) - x(low)), y: TOP, height: floor - TOP, class: "range" }),
      ...powers.flatMap((n) => [svg("line", { x1: LEFT, x2: right, y1: y(n), y2: y(n), class: "grid-line" }), text(n.toLocaleString("en", { notation: "compact" }), { x: LEFT - 6, y: y(n) + 4, "text-anchor": "end", class: "tick-y" })]),
      svg("polygon", { points: `${LEFT},${floor} ${points} ${right},${floor}`, class: "bars", style: `--color:${color}` }),
      ...[low, high].map((value) => svg("line", { x1: x(value), x2: x(value), y1: TOP, y2: floor, class: "limit" })),
      svg("line", { x1: LEFT, x2: right, y1: floor, y2: floor, class: "axis" }),
      ...app.ticks(start, end, (right - LEFT) / TICK_PX).flatMap((value) => [svg("line", { x1: x(value), x2: x(value), y1: floor, y2: floor + 4, class: "axis" }), text(tidy(value), { x: x(value), y: floor + 16, "text-anchor": "middle", class: "tick-x" })]),
      text("Intensity, as stored", { x: (LEFT + right) / 2, y: height - 4, "text-anchor": "middle" }),
      text("Pixels (log)", { x: 0, y: 0, transform: `translate(10 ${(TOP + floor) / 2}) rotate(-90)`, "text-anchor": "middle" }));
  }

  function histogram(report, color) {
    const range = `${tidy(report.low)} – ${tidy(report.high)}`;
    const chart = svg("svg", { class: "histogram", role: "img", "aria-label": `Histogram; the range is ${range}` });
    new ResizeObserver(() => drawHistogram(chart, report, color)).observe(chart);
    return h("figure", { class: "histogram-box" }, chart,
      h("figcaption", { class: "small quiet", title: "The band is the range that is seen. The outermost bars hold all that lies beyond." }, h("span", {}, "Range ", h("strong", {}, range))));
  }

  app.island("channels", (send) => {
    let channels = [];
    let report = null;
    let state = null;

    function card(channel, index) {
      const onlyOne = channel.is_chosen && channels.filter((each) => each.is_chosen).length === 1;
      const press = () => (onlyOne ? app.toast("At least one channel is looked at: choose another before this one goes.") : send("toggle", { name: channel.name, on: !channel.is_chosen }));
      const chart = report ? histogram(report.histograms[index], channel.color) : null;
      const toggle = h("button", { class: "panel channel", type: "button", "aria-pressed": channel.is_chosen, "aria-label": `Channel ${channel.name}`, onclick: press },
        h("img", { src: channel.picture, alt: "", decoding: "async" }),
        h("div", { class: "channel-words" },
          h("div", { class: "channel-name" },
            h("span", { class: "tick" }, channel.is_chosen ? icon("check") : null),
            h("h2", {}, channel.name),
            h("span", { class: "swatch", style: { "--color": channel.color } }),
            h("span", { class: "grow" }),
            h("kbd", {}, index + 1)),
          chart ?? h("div", { class: "histogram-box waiting" }, state?.failed ? null : h("span", { class: "spinner" }))));
      return h("div", { class: "channel-card" }, toggle, chart ? app.saveDrawn(`Histogram of ${channel.name}`, () => chart.querySelector("svg")) : null);
    }

    function matrix() {
      if (!report) {
        return state?.failed
          ? h("div", { class: "empty" }, icon("warning"), h("h3", {}, "The channels could not be measured"), h("p", {}, state.failed), h("p", {}, "You can choose all the same."))
          : h("div", { class: "empty" }, h("span", { class: "spinner" }), h("p", {}, `Measuring ${app.plural(state?.n_images ?? 0, "image")} …`));
      }
      const table = h("div", { class: "matrix", role: "table", "aria-label": "Correlation of channels", style: { "--columns": channels.length } });
      table.append(h("div", { class: "matrix-row", role: "row" }, h("span", { role: "cell" }), channels.map(({ name }) => h("span", { class: "matrix-head", role: "columnheader", title: name }, name))));
      report.correlation.forEach((row, i) => {
        const cells = row.map((value, j) => {
          const words = `${channels[i].name} and ${channels[j].name}: ${value === null ? "no correlation, one of them is constant" : value.toFixed(2)}`;
          const side = value === null ? 0 : Math.round(Math.abs(value) * MOST_HUE);
          return h("span", { class: "matrix-cell", role: "cell" }, h("button", { class: `cell${i === j ? " same" : ""}`, type: "button", title: words, "aria-label": words,
            style: { "--share": `${side}%`, "--hue": value >= 0 ? "var(--warm)" : "var(--cool)" },
            onclick: () => send("toggle", { name: channels[j].name, on: !channels[j].is_chosen }) }, value === null ? "–" : value.toFixed(2)));
        });
        table.append(h("div", { class: "matrix-row", role: "row" }, h("span", { class: "matrix-side", role: "rowheader", title: channels[i].name }, channels[i].name), cells));
      });
      return h("div", { class: "matrix-box" }, table, h("div", { class: "matrix-scale small quiet" }, "−1", h("span"), "1"), advice());
    }

    function advice() {
      const alike = [];
      report.correlation.forEach((row, i) => row.forEach((value, j) => { if (j > i && value !== null && value > ALIKE) alike.push([i, j, value]); }));
      const words = alike.map(([i, j, value]) => h("li", {}, h("strong", {}, channels[i].name), " and ", h("strong", {}, channels[j].name), ` show nearly the same (${value.toFixed(2)}): one of them may do.`));
      return words.length ? h("ul", { class: "advice" }, words) : h("p", { class: "advice quiet" }, "No two channels show the same: each adds something.");
    }

    function draw() {
      if (!state) return;
      if (state.needs_none) {
        document.getElementById("channels-words").textContent = "Nothing to choose here.";
        const words = channels.length === 1 ? "These images have one channel." : "The colours of brightfield images go together, as the eye sees them.";
        body.replaceChildren(h("section", { class: "panel single" }, h("img", { src: state.picture, alt: "The first displayed image" }), h("div", { class: "empty" }, icon("check"), h("h2", {}, "Ready"), h("p", {}, `${words} Go on to Regions.`))));
        return;
      }
      const focused = [...body.querySelectorAll(".channel")].indexOf(document.activeElement);
      body.replaceChildren(
        h("section", { class: "channel-list", "aria-label": "Channels" }, channels.map(card)),
        h("section", { class: "panel correlations" }, h("h2", {}, "How alike the channels are"), h("p", { class: "quiet small" }, "Correlation of intensities over all images. Near 1: the channels show the same."), matrix()));
      body.querySelectorAll(".channel")[focused]?.focus();
    }

    app.key([..."123456789"], "look at a channel, or no longer", (event) => body.querySelectorAll(".channel")[Number(event.key) - 1]?.click());
    return {
      channels(value) { channels = value; draw(); },
      report(value) { report = value; draw(); },
      state(value) { state = value; draw(); },
    };
  });
})();
