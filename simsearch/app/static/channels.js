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

  function histogram({ counts, start, end, low, high }, color) {
    const [width, height] = [320, 72];
    const at = (value) => ((value - start) / (end - start)) * width;
    const most = Math.log1p(Math.max(...counts));
    const step = width / counts.length;
    const points = counts.map((n, i) => `${i * step},${height - (Math.log1p(n) / most) * (height - 4)} ${(i + 1) * step},${height - (Math.log1p(n) / most) * (height - 4)}`).join(" ");
    const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "histogram", role: "img", "aria-label": `Histogram; the range is ${tidy(low)} to ${tidy(high)}` });
    chart.append(
      svg("rect", { x: at(low), width: Math.max(1, at(high) - at(low)), y: 0, height, class: "range" }),
      svg("polygon", { points: `0,${height} ${points} ${width},${height}`, class: "bars", style: `--color:${color}` }),
      svg("line", { x1: at(low), x2: at(low), y1: 0, y2: height, class: "limit" }),
      svg("line", { x1: at(high), x2: at(high), y1: 0, y2: height, class: "limit" }));
    return h("figure", { class: "histogram-box" }, chart,
      h("figcaption", { class: "small quiet" }, h("span", {}, "Range ", h("strong", {}, `${tidy(low)} – ${tidy(high)}`), ", log scale")));
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
