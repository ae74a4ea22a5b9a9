// How many suggestions are how similar, above the slider of the threshold.
(() => {
  const app = window.simsearch;
  const BARS = 50;

  app.drawBars = (svg, items, least) => {
    const bins = new Array(BARS).fill(0);
    for (const { score } of items) bins[Math.min(BARS - 1, Math.max(0, Math.floor(score * BARS)))] += 1;
    const most = Math.sqrt(Math.max(1, ...bins));
    const bars = bins.map((n, i) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const height = n ? Math.max(1.5, (Math.sqrt(n) / most) * 29) : 0;
      Object.entries({ x: (i * 100) / BARS + 0.15, width: 100 / BARS - 0.3, y: 30 - height, height }).forEach(([k, v]) => bar.setAttribute(k, v));
      return bar;
    });
    svg.replaceChildren(...bars);
    app.drawBarsAbove(svg, least);
  };
  app.drawBarsAbove = (svg, least) => {
    [...svg.children].forEach((bar, i) => bar.classList.toggle("in", (i + 1) / BARS > least));
  };
})();
