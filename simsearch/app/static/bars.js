// How many are how similar, or how sure, above the slider of a threshold; with the axes that say so.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT] = [100, 30]; // of the drawing, which is stretched
  const LEAST = 1.5; // of a bar with anything in it

  /** Round numbers between two, about `n` of them. */
  app.ticks = (start, end, n) => {
    const rough = (end - start) / Math.max(1, n);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough * 0.999);
    const first = Math.ceil(start / step - 1e-9);
    return Array.from({ length: Math.floor(end / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  };

  /**
   * Bars in an <svg>, stretched over its width, with numbers below the slider that follows it.
   * start, end: of the slider; n: bars; what: is counted, in words. Gives { draw(scores, least), above(least) }.
   */
  app.bars = (svg, slider, { start = 0, end = 1, n = 50, what }) => {
    const most = h("span", { class: "bars-most number" });
    const frame = h("div", { class: "bars" });
    svg.replaceWith(frame);
    frame.append(svg, most);
    slider.after(h("div", { class: "bars-axis number", "aria-hidden": "true" }, app.ticks(start, end, 5).map((tick) => h("span", { style: { "--at": (tick - start) / (end - start) } }, tick))));
    for (const [name, value] of [["viewBox", `0 0 ${WIDTH} ${HEIGHT}`], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
    const bars = Array.from({ length: n }, (_, i) => {
      const bar = document.createElementNS(SVG, "rect");
      for (const [name, value] of [["x", (i * WIDTH) / n + 0.15], ["width", WIDTH / n - 0.3]]) bar.setAttribute(name, value);
      return bar;
    });
    svg.replaceChildren(...bars);

    const above = (least) => bars.forEach((bar, i) => bar.classList.toggle("in", start + ((i + 1) * (end - start)) / n > least + 1e-6));
    return {
      above,
      draw(scores, least) {
        const counts = new Array(n).fill(0);
        for (const score of scores) counts[Math.min(n - 1, Math.max(0, Math.floor(((score - start) / (end - start)) * n + 1e-6)))] += 1;
        const tallest = Math.max(0, ...counts);
        counts.forEach((count, i) => {
          const height = count ? Math.max(LEAST, Math.sqrt(count / tallest) * (HEIGHT - 1)) : 0;
          bars[i].setAttribute("y", HEIGHT - height);
          bars[i].setAttribute("height", height);
          bars[i].dataset.n = count;
        });
        most.textContent = tallest.toLocaleString("en");
        most.hidden = !tallest;
        frame.title = `Number of ${what}. The tallest bar stands for ${tallest.toLocaleString("en")}; heights go with the square root.`;
        above(least);
      },
    };
  };
})();
