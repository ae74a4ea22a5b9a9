// Results: run over all images, look, download. The other half is components/result_board.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill } = app;
  const byId = (id) => document.getElementById(id);
  const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);
  const when = (iso) => new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const number = (n) => n.toLocaleString("en");
  const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
  const tidy = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? number(Math.round(value)) : Number(value.toPrecision(3)).toString());

  app.island("results", (send) => {
    let about = null;
    let job = null;
    let runs = { list: [], current: null };
    let run = null;
    let table = null;
    const chosen = { what: "detect", tissue: true, model: null };
    const view = { tab: null, measure: "fraction", className: null, well: "", plate: 0, order: "image", isDown: false };

    const color = (name) => about?.colors[name] ?? "#9aa0a6";
    const swatch = (name) => h("span", { class: "swatch", style: { "--color": color(name) } });

    // What to run

    function drawStart() {
      const box = byId("results-start");
      if (!about.models.length) {
        box.replaceChildren(h("div", { class: "empty" }, icon("spread"), h("h2", {}, "No model yet"), h("p", {}, "Train a model first. It can then look at all images."), h("a", { class: "button primary", href: app.address("train") }, "Go to Train")));
        return;
      }
      chosen.model = about.models.some((model) => model.id === chosen.model) ? chosen.model : about.models[0].id;
      const isBusy = job && !isOver(job) && job.state !== "interrupted";
      fill(box,
        h("h1", {}, "Results"),
        h("p", { class: "quiet small" }, `Run the model over ${app.plural(about.n_images, "image")} of the study.`),
        h("div", { class: "segmented", role: "group", "aria-label": "What to find" }, [["detect", "Objects", "Cells and other things: counted, with their places"], ["segment", "Areas", "Tissue: each pixel gets a class, areas are measured"]].map(([kind, title, tip]) =>
          h("button", { type: "button", title: tip, "aria-pressed": String(chosen.what === kind), onclick: () => { chosen.what = kind; drawStart(); } }, title))),
        about.models.length > 1 ? h("label", { class: "field small quiet" }, "Model of", h("select", { onchange: (event) => { chosen.model = event.target.value; } }, about.models.map((model) => h("option", { value: model.id, selected: model.id === chosen.model }, when(model.created))))) : null,
        chosen.what === "segment" ? h("label", { class: "check small" }, h("input", { type: "checkbox", checked: chosen.tissue, onchange: (event) => { chosen.tissue = event.target.checked; } }), "Leave out empty glass (brightfield)") : null,
        chosen.what === "detect" && about.open.length ? h("p", { class: "small hint" }, icon("warning"), h("span", {}, `Nobody has chosen how sure it must be of ${about.open.join(", ")}: 50 % is taken. `, h("a", { href: app.address("confidence") }, "Choose"))) : null,
        h("button", { class: "primary", id: "results-run", type: "button", disabled: isBusy, onclick: () => send("start", chosen) }, icon("play"), isBusy ? "Running …" : chosen.what === "detect" ? "Find objects" : "Segment areas"));
    }

    function drawJob() {
      const box = byId("results-job");
      box.hidden = !job || job.state === "done";
      if (box.hidden) return;
      const words = [job.step, job.total ? `${number(job.done)} of ${number(job.total)}` : "", job.eta ? `${job.eta < 90 ? `${Math.ceil(job.eta)} s` : `${Math.round(job.eta / 60)} min`} left` : ""].filter(Boolean).join(" · ");
      const isStopped = isOver(job) || job.state === "interrupted";
      fill(box,
        h("div", { class: "job-head" }, h("h3", {}, job.title),
          job.state === "interrupted" ? h("button", { class: "primary small", type: "button", onclick: () => send("resume", { job: job.id }) }, "Go on")
            : isStopped ? h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: () => send("dismiss", { job: job.id }) }, icon("close"))
              : h("button", { class: "danger small", type: "button", onclick: () => send("cancel", { job: job.id }) }, "Cancel")),
        isStopped ? null : h("progress", job.total ? { max: 1, value: job.done / job.total, "aria-label": job.title } : { "aria-label": job.title }),
        h("p", { class: `small ${job.state === "failed" ? "problem" : "quiet"}` }, isStopped ? { failed: "Failed. ", cancelled: "Stopped: what was computed is kept, and the same run goes on from there. ", interrupted: "Interrupted. " }[job.state] + (job.message ?? "") : words));
    }

    function drawRuns() {
      const box = byId("results-runs");
      box.hidden = !runs.list.length;
      box.replaceChildren(h("h3", {}, "Runs"), h("div", { class: "runs" }, runs.list.map((each) =>
        h("button", { type: "button", class: "run", "aria-pressed": String(each.id === runs.current), onclick: () => send("choose", { id: each.id }) },
          h("strong", {}, each.kind === "detect" ? app.plural(each.n_objects, "object") : "Areas"),
          h("span", { class: "small quiet" }, `${app.plural(each.n_images, "image")} · ${when(each.finished)}`)))));
    }

    // What it gave

    function tabs() {
      const found = [];
      if (run.plates.length) found.push(["plate", "Plate"]);
      if (run.kind === "segment") found.push(["areas", "Areas"]);
      if (run.images.length) found.push(["images", "Images"]);
      if (run.kind === "detect") found.push(["table", "Objects"]);
      found.push(["files", "Downloads"]);
      return found;
    }

    function drawMain() {
      const main = byId("results-main");
      if (!run) {
        const isRunning = job && !isOver(job);
        main.replaceChildren(h("section", { class: "panel results-empty" }, h("div", { class: "empty" }, isRunning ? h("span", { class: "spinner" }) : icon("spread"), h("h2", {}, isRunning ? "Running …" : "No results yet"), h("p", {}, isRunning ? "What is found appears here. You can close this page: it goes on." : "Results of a run appear here: a table of all that was found, maps of plates, areas, and files to download."))));
        return;
      }
      const all = tabs();
      if (!all.some(([name]) => name === view.tab)) view.tab = all[0][0];
      if (!run.classes.includes(view.className)) view.className = run.classes[0] ?? null;
      fill(main,
        h("header", { class: "results-head" },
          h("div", { class: "counts" }, run.kind === "detect" ? run.classes.map((name) => h("div", { class: "count" }, h("span", { class: "count-number number" }, number(run.counts[name] ?? 0)), h("span", { class: "count-name" }, swatch(name), name), h("span", { class: "small quiet" }, name in run.thresholds ? `confidence ≥ ${run.thresholds[name].toFixed(2)}` : ""))) : shares()),
          run.failures.length ? h("details", { class: "failures" }, h("summary", { class: "chip bad" }, app.plural(run.failures.length, "image"), " left out"), h("ul", {}, run.failures.map((each) => h("li", {}, h("strong", {}, each.image), `: ${each.message}`)))) : null,
          h("div", { class: "segmented", role: "tablist" }, all.map(([name, title]) => h("button", { type: "button", role: "tab", "aria-selected": String(view.tab === name), onclick: () => { view.tab = name; drawMain(); } }, title)))),
        h("section", { class: `panel results-view view-${view.tab}` }, { plate: drawPlate, areas: drawAreas, images: drawImages, table: drawTable, files: drawFiles }[view.tab]()));
    }

    function shares() {
      const sums = new Map();
      for (const area of run.areas) {
        const share = area.tissue ?? area.share;
        const [sum, n] = sums.get(area.class) ?? [0, 0];
        sums.set(area.class, [sum + share, n + 1]);
      }
      return [...sums].map(([name, [sum, n]]) => h("div", { class: "count" }, h("span", { class: "count-number number" }, percent(sum / n)), h("span", { class: "count-name" }, swatch(name), name), h("span", { class: "small quiet" }, "mean over images")));
    }

    function drawPlate() {
      const plate = run.plates[Math.min(view.plate, run.plates.length - 1)];
      const isShare = view.measure === "fraction";
      const choose = (key, choices) => h("div", { class: "segmented", role: "group" }, choices.map(([value, title]) => h("button", { type: "button", "aria-pressed": String(view[key] === value), onclick: () => { view[key] = value; drawMain(); } }, title)));
      const map = app.plateMap({
        wells: plate.wells,
        value: (well) => (isShare ? well.fractions[view.className] ?? null : well.counts[view.className] ?? 0),
        write: (value) => (isShare ? `${Math.round(100 * value)}%` : number(Math.round(value))),
        tell: (well) => [well.well, ...Object.entries(well.treatment).map(([name, value]) => `${name}: ${value}`), ...run.classes.map((name) => `${name}: ${well.counts[name] ?? 0}`)].join("\n"),
        chosen: view.well,
        act: (well) => { view.well = view.well === well.well ? "" : well.well; view.tab = view.well ? "table" : view.tab; send("table", { start: 0, well: view.well }); drawMain(); },
        most: isShare ? 1 : null,
      });
      const doses = plate.doses.filter((dose) => dose.ec50 !== null || dose.z !== null);
      return h("div", { class: "plate-view" },
        h("div", { class: "plate-tools" },
          run.plates.length > 1 ? h("select", { "aria-label": "Plate", onchange: (event) => { view.plate = Number(event.target.value); drawMain(); } }, run.plates.map((each, i) => h("option", { value: i, selected: i === view.plate }, each.name))) : h("strong", {}, plate.name),
          h("span", { class: "grow" }), choose("className", run.classes.map((name) => [name, name])), choose("measure", [["fraction", "Share"], ["count", "Count"]])),
        map,
        h("p", { class: "small quiet" }, "Click a well to see what was found in it."),
        doses.length ? h("div", { class: "doses" }, h("h3", {}, "Dose response"), h("table", {}, h("thead", {}, h("tr", {}, ["Drug", "Class", "EC50", "95 % interval", "Z′"].map((title, i) => h("th", { class: i > 1 ? "number" : "" }, title)))),
          h("tbody", {}, doses.map((dose) => h("tr", {}, h("td", {}, dose.drug), h("td", {}, dose.class), h("td", { class: "number" }, dose.ec50 === null ? "no fit" : `${tidy(dose.ec50)} ${dose.unit}`), h("td", { class: "number" }, dose.interval ? `${tidy(dose.interval[0])} – ${tidy(dose.interval[1])}` : "–"), h("td", { class: "number" }, dose.z === null ? "–" : dose.z.toFixed(2))))))) : null,
        plate.curves ? h("div", { class: "pictures" }, h("a", { href: plate.curves.url, download: plate.curves.name, title: `Download ${plate.curves.name}` }, h("img", { src: plate.curves.url, alt: "Dose response", loading: "lazy" }))) : null);
    }

    function drawAreas() {
      const images = [...new Set(run.areas.map((area) => area.image))];
      const at = new Map(run.areas.map((area) => [`${area.image}|${area.class}`, area]));
      const hasTissue = run.areas.some((area) => area.tissue !== null);
      const cell = (area) => (area ? `${percent(hasTissue ? area.tissue : area.share)}${area.mm2 === null ? "" : ` · ${tidy(area.mm2)} mm²`}` : "–");
      return h("div", { class: "areas-view" },
        run.overlays.length ? h("div", { class: "overlays" }, run.overlays.map((picture) => h("figure", {}, h("a", { href: picture.url, target: "_blank" }, h("img", { src: picture.url, alt: `Classes on ${picture.name}`, loading: "lazy" })), h("figcaption", { class: "small quiet" }, picture.name.replace(/\.png$/, ""))))) : null,
        h("table", {}, h("caption", { class: "small quiet" }, hasTissue ? "Share of the tissue, and area" : "Share of the image, and area"),
          h("thead", {}, h("tr", {}, h("th", {}, "Image"), run.classes.map((name) => h("th", { class: "number" }, swatch(name), " ", name)))),
          h("tbody", {}, images.map((image) => h("tr", {}, h("td", {}, image), run.classes.map((name) => h("td", { class: "number" }, cell(at.get(`${image}|${name}`)))))))));
    }

    const MOST_IMAGES = 500; // that are drawn; all of them are sorted
    function drawImages() {
      const total = (each) => run.classes.reduce((sum, name) => sum + each.counts[name], 0);
      const columns = [["image", "Image"], ...run.classes.map((name) => [`of ${name}`, name, (each) => each.counts[name]])];
      if (run.classes.length > 1) columns.push(["all", "All", total]);
      const [, , value] = columns.find(([key]) => key === view.order) ?? columns[0];
      const byName = (a, b) => a.image.localeCompare(b.image, "en", { numeric: true });
      const sorted = [...run.images].sort((a, b) => (view.isDown ? -1 : 1) * (value ? value(a) - value(b) : byName(a, b)) || byName(a, b));
      const sort = (key) => {
        view.isDown = view.order === key ? !view.isDown : key !== "image"; // numbers: the most first
        view.order = key;
        drawMain();
        document.querySelector(`[data-order="${CSS.escape(key)}"]`).focus();
      };
      const head = ([key, title, number]) => h("th", { class: number ? "number" : "", "aria-sort": key === view.order ? (view.isDown ? "descending" : "ascending") : "none" },
        h("button", { class: "sort", type: "button", "data-order": key, onclick: () => sort(key) }, number && key !== "all" ? swatch(title) : null, title, h("span", { "aria-hidden": "true" }, key === view.order ? (view.isDown ? " ↓" : " ↑") : "")));
      return h("div", { class: "images-view" }, h("table", {},
        h("caption", { class: "small quiet" }, `Objects in each of ${app.plural(run.images.length, "image")}`, sorted.length > MOST_IMAGES ? `; the first ${MOST_IMAGES} in this order are shown, all are in images.csv` : ""),
        h("thead", {}, h("tr", {}, columns.map(head))),
        h("tbody", {}, sorted.slice(0, MOST_IMAGES).map((each) => h("tr", {}, columns.map(([, , of]) => h("td", { class: of ? "number" : "" }, of ? number(of(each)) : each.image)))))));
    }

    function drawTable() {
      if (!table) return h("div", { class: "empty" }, h("span", { class: "spinner" }));
      if (table.problem) return h("div", { class: "empty" }, icon("warning"), h("h3", {}, "The table cannot be read"), h("p", {}, table.problem));
      const hasWells = table.rows.some((row) => row.well);
      const go = (start) => send("table", { start: Math.max(0, start), well: view.well });
      const tools = h("div", { class: "table-tools" },
        view.well ? h("button", { class: "small", type: "button", onclick: () => { view.well = ""; go(0); } }, `Well ${view.well}`, icon("close")) : null,
        h("span", { class: "grow" }),
        h("span", { class: "small quiet number" }, table.rows.length ? `Objects ${number(table.start + 1)} to ${number(table.start + table.rows.length)}` : "None"),
        h("button", { class: "icon", type: "button", "aria-label": "Objects before", disabled: table.start === 0, onclick: () => go(table.start - table.n) }, icon("left")),
        h("button", { class: "icon", type: "button", "aria-label": "Next objects", disabled: !table.has_more, onclick: () => go(table.start + table.n) }, icon("right")));
      const url = (row) => run.crop.replace("{I}", row.place).replace("{Y}", row.y).replace("{X}", row.x).replace("{H}", row.shape[0]).replace("{W}", row.shape[1]);
      if (!table.rows.length) return h("div", { class: "table-view" }, tools, h("div", { class: "empty" }, icon("spread"), h("h3", {}, view.well ? `Nothing was found in well ${view.well}` : "Nothing was found"), h("p", {}, "Lower the confidence thresholds, or train with more examples.")));
      return h("div", { class: "table-view" }, tools, h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Table of objects" }, h("table", {},
        h("thead", {}, h("tr", {}, [["", ""], ["Class", ""], ["Confidence", "number"], hasWells ? ["Well", ""] : null, ["Image", ""], ["Row", "number"], ["Column", "number"]].filter(Boolean).map(([title, kind]) => h("th", { class: kind }, title)))),
        h("tbody", {}, table.rows.map((row) => h("tr", {},
          h("td", { class: "picture" }, run.crop && row.place !== null ? h("img", { src: url(row), alt: "", loading: "lazy" }) : ""),
          h("td", {}, swatch(row.class), " ", row.class), h("td", { class: "number" }, row.confidence.toFixed(3)), hasWells ? h("td", {}, row.well) : null, h("td", {}, row.image), h("td", { class: "number" }, row.y.toFixed(1)), h("td", { class: "number" }, row.x.toFixed(1))))))));
    }

    const KINDS = { csv: "table for any program", parquet: "table for Python and R", geojson: "outlines for QuPath", png: "picture", json: "how it was made" };
    function drawFiles() {
      const kind = (name) => KINDS[name.split(".").at(-1)] ?? "";
      const paths = run.labels.length ? run.labels : [];
      const isOutline = (file) => file.name.endsWith(".geojson");
      const outlines = run.files.filter(isOutline);
      const list = (files) => h("ul", { class: "file-list" }, files.map((file) => h("li", {}, h("a", { href: file.url, download: file.saved }, icon("download"), h("span", {}, file.name)), h("span", { class: "small quiet" }, kind(file.name)))));
      return h("div", { class: "files-view" },
        h("div", {}, h("a", { class: "button", href: run.archive.url, download: run.archive.name }, icon("download"), "All as one zip")),
        list(outlines.length > 5 ? run.files.filter((file) => !isOutline(file)) : run.files),
        outlines.length > 5 ? h("details", {}, h("summary", {}, `Outlines for QuPath of ${app.plural(outlines.length, "image")}`), list(outlines)) : null,
        h("h3", {}, "On the server"),
        h("p", { class: "small quiet" }, "All of it lies in ", h("code", {}, run.folder), paths.length ? ". OME-Zarr labels, which napari and other viewers open:" : ""),
        paths.length ? h("ul", { class: "paths" }, paths.map((path) => h("li", {}, h("code", {}, path)))) : null);
    }

    return {
      about(value) { about = value; drawStart(); if (run) drawMain(); },
      job(value) { job = value; drawJob(); if (about) drawStart(); if (!run) drawMain(); },
      runs(value) { runs = value; drawRuns(); if (!runs.list.length) drawMain(); },
      run(value) {
        if (value?.id !== run?.id) { view.well = ""; view.plate = 0; }
        run = value;
        if (about) drawMain();
      },
      table(value) { table = value; if (run && about && view.tab === "table") drawMain(); },
    };
  });
})();
