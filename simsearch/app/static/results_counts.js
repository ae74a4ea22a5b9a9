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
        h("span", { class: "grow" }), choose("className", "Class", run.classes.map((name) => [name, name])), choose("measure", "Measure", [["fraction", "Share"], ["count", "Count"]])),
      map,
      h("p", { class: "small quiet" }, "Click a well to see its fields, and what was found in them.", run.aside.length ? ` Shares are of objects but ${run.aside.join(", ")}.` : null),
      doses.length ? h("div", { class: "doses" }, h("h3", {}, "Dose response"), h("table", {}, h("thead", {}, h("tr", {}, ["Drug", "Class", "EC50", "95 % interval", "Z′"].map((title, i) => h("th", { class: i > 1 ? "number" : "" }, title)))),
        h("tbody", {}, doses.map((dose) => h("tr", {}, h("td", {}, dose.drug), h("td", {}, dose.class), h("td", { class: "number" }, dose.ec50 === null ? "no fit" : `${tidy(dose.ec50)} ${dose.unit}`), h("td", { class: "number" }, dose.interval ? `${tidy(dose.interval[0])} – ${tidy(dose.interval[1])}` : "–"), h("td", { class: "number" }, dose.z === null ? "–" : dose.z.toFixed(2))))))) : null,
      plate.curves ? h("div", { class: "pictures" }, h("a", { href: plate.curves.url, download: plate.curves.name, title: `Download ${plate.curves.name}` }, h("img", { src: plate.curves.url, alt: "Dose response", loading: "lazy" }))) : null);
  };

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
    return h("div", { class: "images-view" }, h("table", {},
      h("caption", { class: "small quiet" }, `Objects in each of ${app.plural(run.images.length, "image")}`, other ? ", and how many more or fewer than in the other run" : "", ". Click one to see it", sorted.length > MOST_IMAGES ? `; the first ${MOST_IMAGES} in this order are shown, all are in images.csv` : ""),
      h("thead", {}, h("tr", {}, columns.map(head))),
      h("tbody", {}, sorted.slice(0, MOST_IMAGES).map(row))));
  };
})();
