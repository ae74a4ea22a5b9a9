// What a run counted: in wells of plates, and in images.
(() => {
  const app = window.simsearch;
  const { h, results } = app;
  const { swatch, number, tidy, change } = results;
  const chosen = { measure: "fraction", className: null, plate: 0, order: "image", isDown: false };

  // Plates

  /** Show the objects of a well, and its first field. */
  const goToWell = (well) => app.where.go({ tab: "table", within: well.image ? well.image.replace(/[^/]*$/, "") : null, find: well.image ? null : well.well, image: well.image, y: null, x: null, of: null, start: null });

  results.views.plate = () => {
    const { run } = results;
    if (!run.classes.includes(chosen.className)) chosen.className = run.classes[0] ?? null;
    const plate = run.plates[Math.min(chosen.plate, run.plates.length - 1)];
    const isShare = chosen.measure === "fraction";
    const choose = (key, label, choices) => h("div", { class: "segmented", role: "group", "aria-label": label }, choices.map(([value, title]) => h("button", { type: "button", "aria-pressed": String(chosen[key] === value), onclick: () => { chosen[key] = value; results.draw(); } }, title)));
    const map = app.plateMap({
      wells: plate.wells,
      value: (well) => (isShare ? well.fractions[chosen.className] ?? null : well.counts[chosen.className] ?? 0),
      write: (value) => (isShare ? `${Math.round(100 * value)}%` : number(Math.round(value))),
      tell: (well) => [well.well, ...Object.entries(well.treatment).map(([name, value]) => `${name}: ${value}`), ...run.classes.map((name) => `${name}: ${well.counts[name] ?? 0}`)].join("\n"),
      chosen: "",
      act: goToWell,
      most: isShare ? 1 : null,
    });
    const doses = plate.doses.filter((dose) => dose.ec50 !== null || dose.z !== null);
    return h("div", { class: "plate-view" },
      h("div", { class: "plate-tools" },
        run.plates.length > 1 ? h("select", { "aria-label": "Plate", onchange: (event) => { chosen.plate = Number(event.target.value); results.draw(); } }, run.plates.map((each, i) => h("option", { value: i, selected: i === chosen.plate }, each.name))) : h("strong", {}, plate.name),
        plate.heat_maps ? app.saveAs(plate.heat_maps) : null,
        h("span", { class: "grow" }), choose("className", "Class", run.classes.map((name) => [name, name])), choose("measure", "Measure", [["fraction", "Share"], ["count", "Count"]])),
      map,
      h("p", { class: "small quiet" }, "Click a well to see its fields, and what was found in them.", run.aside.length ? ` Shares are of objects but ${run.aside.join(", ")}.` : null),
      doses.length ? h("div", { class: "doses" }, h("div", { class: "with-files" }, h("h3", {}, "Dose response"), plate.curves ? app.saveAs(plate.curves) : null), h("table", {}, h("thead", {}, h("tr", {}, ["Drug", "Class", "EC50", "95 % interval", "Z′"].map((title, i) => h("th", { class: i > 1 ? "number" : "" }, title)))),
        h("tbody", {}, doses.map((dose) => h("tr", {}, h("td", {}, dose.drug), h("td", {}, dose.class), h("td", { class: "number" }, dose.ec50 === null ? "no fit" : `${tidy(dose.ec50)} ${dose.unit}`), h("td", { class: "number" }, dose.interval ? `${tidy(dose.interval[0])} – ${tidy(dose.interval[1])}` : "–"), h("td", { class: "number" }, dose.z === null ? "–" : dose.z < -1 ? "below −1" : dose.z.toFixed(2).replace("-", "−"))))))) : null,
      doses.length ? doseCurves(plate, chosen.className) : null,
      plate.curves ? h("figure", { class: "picture" }, h("img", { src: (plate.curves.files.svg ?? plate.curves.files.png).url, alt: "Dose response of all classes", loading: "lazy" })) : null);
  };

  // Curves of doses, whose points are wells

  const [WIDTH, HEIGHT, LEFT, BOTTOM] = [420, 220, 44, 34]; // of a curve, and of what its axes take
  const svg = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const isOf = (well, drug) => (well.treatment.drug ?? "").trim().toLowerCase() === drug.trim().toLowerCase();

  function doseCurve(plate, fit, className) {
    const points = plate.wells.filter((well) => isOf(well, fit.drug) && Number(well.treatment.dose) > 0 && well.fractions[className] !== null && well.fractions[className] !== undefined);
    if (!points.length) return null;
    const logs = points.map((well) => Math.log10(Number(well.treatment.dose)));
    const [first, last] = [Math.min(...logs) - 0.15, Math.max(...logs) + 0.15];
    const x = (log) => LEFT + ((log - first) / (last - first)) * (WIDTH - LEFT - 8);
    const y = (share) => 8 + (1 - share) * (HEIGHT - BOTTOM - 8);
    const decades = Array.from({ length: Math.floor(last) - Math.ceil(first) + 1 }, (_, i) => Math.ceil(first) + i);
    const dot = (well, at) => {
      const circle = svg("circle", { cx: x(logs[at]), cy: y(well.fractions[className]), r: 6, tabindex: 0, role: "button", class: "dose-well", fill: results.color(className) }, svg("title", {}, `${well.well}: ${well.treatment.dose} ${fit.unit}, ${results.percent(well.fractions[className])} ${className}`));
      circle.setAttribute("aria-label", circle.textContent);
      circle.addEventListener("click", () => goToWell(well));
      circle.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); goToWell(well); } });
      return circle;
    };
    const at = (log) => fit.bottom + (fit.top - fit.bottom) / (1 + 10 ** (fit.slope * (Math.log10(fit.ec50) - log)));
    const line = fit.ec50 === null ? "" : Array.from({ length: 80 }, (_, i) => first + (i / 79) * (last - first)).map((log, i) => `${i ? "L" : "M"}${x(log).toFixed(1)} ${y(at(log)).toFixed(1)}`).join("");
    const name = `${fit.drug || "Dose"}: share of ${className} by dose`;
    const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": name },
      ...[0, 0.5, 1].flatMap((share) => [svg("line", { x1: LEFT, x2: WIDTH - 8, y1: y(share), y2: y(share), class: "dose-grid" }), svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`)]),
      ...decades.map((log) => svg("text", { x: x(log), y: HEIGHT - 16, "text-anchor": "middle" }, `${Number((10 ** log).toPrecision(1))}`)),
      svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 2, "text-anchor": "middle" }, fit.unit || "dose"),
      svg("path", { d: line, class: "dose-line", stroke: results.color(className) }), ...points.map(dot));
    return h("figure", { class: "dose-curve" }, h("figcaption", { class: "small" }, h("span", {}, h("strong", {}, fit.drug || "Dose"), ` · share of ${className}`), h("span", { class: "grow" }), app.saveDrawn(name, () => drawn)), drawn);
  }

  function doseCurves(plate, className) {
    const curves = plate.doses.filter((fit) => fit.class === className).map((fit) => doseCurve(plate, fit, className)).filter(Boolean);
    return curves.length ? h("div", { class: "dose-curves" }, curves, h("p", { class: "small quiet" }, "Each point is a well: click it to see it. Dose 0 is left out.")) : null;
  }

  // Named regions, where a run looked only there

  const regionTable = (run, classes, total, look) => h("table", { class: "region-counts" },
    h("caption", { class: "small quiet" }, `Objects in each of ${app.plural(run.regions.length, "named region")}, outside of which nothing was looked for. Click one to see its image`),
    h("thead", {}, h("tr", {}, ["Region", "Image"].map((title) => h("th", {}, title)), classes.map((name) => h("th", { class: "number" }, swatch(name), " ", name)), classes.length > 1 ? h("th", { class: "number" }, "All") : null, h("th", { class: "number" }, "Pixels"))),
    h("tbody", {}, run.regions.map((each) => h("tr", { class: "look", onclick: () => look(each.image) },
      h("td", {}, h("button", { class: "text", type: "button", title: "Show its image with what was found" }, each.name)), h("td", {}, each.image),
      classes.map((name) => h("td", { class: "number" }, number(each.counts[name] ?? 0))), classes.length > 1 ? h("td", { class: "number" }, number(total(each.counts))) : null, h("td", { class: "number" }, number(Math.round(each.pixels)))))));

  // Images

  const MOST_IMAGES = 500; // that are drawn; all of them are sorted

  results.views.images = () => {
    const { run, compared } = results;
    const other = compared ? new Map(compared.images.map((each) => [each.image, each.counts])) : null;
    const classes = [...new Set([...run.classes, ...(compared?.classes ?? [])])];
    const total = (counts) => classes.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    const columns = [["image", "Image"]];
    function add(key, title, of) {
      columns.push([key, title, (each) => of(each.counts)]);
      if (other) columns.push([`change ${key}`, "±", (each) => (other.has(each.image) ? of(each.counts) - of(other.get(each.image)) : null), `${title}, compared with the other run`]);
    }
    for (const name of classes) add(`of ${name}`, name, (counts) => counts[name] ?? 0);
    if (classes.length > 1) add("all", "All", total);
    const [, , value] = columns.find(([key]) => key === chosen.order) ?? columns[0];
    const byName = (a, b) => a.image.localeCompare(b.image, "en", { numeric: true });
    const sorted = [...run.images].sort((a, b) => (chosen.isDown ? -1 : 1) * (value ? (value(a) ?? 0) - (value(b) ?? 0) : byName(a, b)) || byName(a, b));
    const sort = (key) => {
      chosen.isDown = chosen.order === key ? !chosen.isDown : key !== "image"; // numbers: the most first
      chosen.order = key;
      results.draw();
      document.querySelector(`[data-order="${CSS.escape(key)}"]`).focus();
    };
    const head = ([key, title, of, words]) => h("th", { class: of ? "number" : "", "aria-sort": key === chosen.order ? (chosen.isDown ? "descending" : "ascending") : "none" },
      h("button", { class: "sort", type: "button", "data-order": key, title: words, "aria-label": words, onclick: () => sort(key) }, key.startsWith("of ") ? swatch(title) : null, title, h("span", { "aria-hidden": "true" }, key === chosen.order ? (chosen.isDown ? " ↓" : " ↑") : "")));
    const write = (n, isChange) => (n === null ? "–" : isChange ? change(n) : number(n));
    const look = (image) => app.where.go({ image, y: null, x: null, of: null });
    const row = (each) => h("tr", { class: "look", "aria-current": each.image === app.where.now.image ? "true" : null, onclick: () => look(each.image) },
      columns.map(([key, , of]) => h("td", { class: of ? "number" : "" }, of ? write(of(each), key.startsWith("change ")) : h("button", { class: "text", type: "button", title: "Show it with what was found" }, each.image))));
    return h("div", { class: "images-view" }, run.regions?.length ? regionTable(run, classes, total, look) : null, h("table", {},
      h("caption", { class: "small quiet" }, `Objects in each of ${app.plural(run.images.length, "image")}`, other ? ", and how many more or fewer than in the other run" : "", ". Click one to see it", sorted.length > MOST_IMAGES ? `; the first ${MOST_IMAGES} in this order are shown, all are in images.csv` : ""),
      h("thead", {}, h("tr", {}, columns.map(head))),
      h("tbody", {}, sorted.slice(0, MOST_IMAGES).map(row))));
  };
})();
