// Results: run over all images, look, download. The other half is components/results/board.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill } = app;
  const byId = (id) => document.getElementById(id);
  const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);
  const when = (iso) => new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const number = (n) => n.toLocaleString("en");
  const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
  const tidy = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? number(Math.round(value)) : Number(value.toPrecision(3)).toString());

  let about = null;
  let run = null;
  let compared = null;
  let crop = ""; // address of pictures of objects
  const color = (name) => about?.colors[name] ?? "#9aa0a6";
  const swatch = (name) => h("span", { class: "swatch", style: { "--color": color(name) } });
  /** How many more or fewer there are than in the other run. */
  const change = (n) => h("span", { class: `change ${n > 0 ? "more" : n < 0 ? "fewer" : "same"}` }, n > 0 ? `+${number(n)}` : n < 0 ? `−${number(-n)}` : "=");
  /** What views of a run share; each view is a function that makes an element. */
  const results = app.results = {
    get run() { return run; }, get compared() { return compared; }, get about() { return about; }, get crop() { return crop; },
    views: {}, draw: () => {}, color, swatch, change, number, percent, tidy, when,
  };

  app.island("results", (send) => {
    let job = null;
    let runs = { list: [], current: null };
    let drawn = null; // the view that is on the page
    const chosen = { what: "detect", tissue: true, regions: false, model: null };

    // What to run

    function drawStart() {
      const box = byId("results-start");
      if (!about.models.length) {
        box.replaceChildren(h("div", { class: "empty" }, icon("spread"), h("h2", {}, "No model yet"), h("p", {}, "Train a model first. It can then look at all images."), h("a", { class: "button primary", href: app.address("train") }, "Go to Train")));
        return;
      }
      chosen.model = about.models.some((model) => model.id === chosen.model) ? chosen.model : about.models[0].id;
      const isBusy = job && !isOver(job) && job.state !== "interrupted";
      const isUnfit = chosen.what === "segment" && about.models.find((model) => model.id === chosen.model).is_of_objects;
      fill(box,
        h("h1", {}, "Results"),
        h("p", { class: "quiet small" }, `Run the model over ${app.plural(about.n_images, "image")} of the study.`),
        h("div", { class: "segmented", role: "group", "aria-label": "What to find" }, [["detect", "Objects", "Cells and other things: counted, with their places"], ["segment", "Areas", "Tissue: each pixel gets a class, areas are measured"]].map(([kind, title, tip]) =>
          h("button", { type: "button", title: tip, "aria-pressed": String(chosen.what === kind), onclick: () => { chosen.what = kind; drawStart(); } }, title))),
        about.models.length > 1 ? h("label", { class: "field small quiet" }, "Model of", h("select", { onchange: (event) => { chosen.model = event.target.value; drawStart(); } }, about.models.map((model) => h("option", { value: model.id, selected: model.id === chosen.model }, when(model.created))))) : null,
        chosen.what === "segment" ? h("label", { class: "check small" }, h("input", { type: "checkbox", checked: chosen.tissue, onchange: (event) => { chosen.tissue = event.target.checked; } }), "Leave out empty glass (brightfield)") : null,
        chosen.what === "detect" && about.n_regions ? h("label", { class: "check small" }, h("input", { type: "checkbox", checked: chosen.regions, onchange: (event) => { chosen.regions = event.target.checked; } }), `Only in ${app.plural(about.n_regions, "named region")}, counted one by one`) : null,
        isUnfit ? h("p", { class: "small hint" }, icon("warning"), h("span", {}, "This model was trained for objects: to it, what surrounds one is background, and areas would be wrong. ", h("a", { href: app.address("train") }, "Train one for Areas")))
          : chosen.what === "segment" ? h("p", { class: "small quiet" }, `Writes the labels “simsearch-${chosen.model}” into the folder of each image; tables and pictures go into the study.`) : null,
        chosen.what === "detect" && about.open.length ? h("p", { class: "small hint" }, icon("warning"), h("span", {}, `Nobody has chosen how sure it must be of ${about.open.join(", ")}: 50 % is taken. `, h("a", { href: app.address("confidence") }, "Choose"))) : null,
        h("button", { class: "primary", id: "results-run", type: "button", disabled: isBusy || isUnfit, onclick: () => send("start", { ...chosen, regions: chosen.regions && about.n_regions > 0 }) }, icon("play"), isBusy ? "Running …" : chosen.what === "detect" ? "Find objects" : "Segment areas"));
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

    const inWords = (each) => (each.kind === "detect" ? app.plural(each.n_objects, "object") : "Areas");
    function drawRuns() {
      const box = byId("results-runs");
      box.hidden = !runs.list.length;
      box.replaceChildren(h("h3", {}, "Runs"), h("div", { class: "runs" }, runs.list.map((each) =>
        h("button", { type: "button", class: "run", "aria-pressed": String(each.id === runs.current), onclick: () => app.where.go({ ...NOWHERE, run: each.id, with: each.id === app.where.now.with ? null : app.where.now.with }) },
          h("strong", {}, inWords(each)),
          h("span", { class: "small quiet" }, `${app.plural(each.n_images, "image")} · ${when(each.finished)}`)))));
    }

    // What it gave

    function tabs() {
      const found = [];
      if (run.plates.length) found.push(["plate", "Plate"]);
      if (run.kind === "segment") found.push(["areas", "Areas"]);
      if (run.images.length) found.push(["images", "Images"]);
      if (run.kind === "detect") found.push(["table", "Objects"], ["sample", "How right?"]);
      found.push(["files", "Downloads"]);
      return found;
    }

    function chooseOther() {
      const others = runs.list.filter((each) => each.kind === "detect" && each.id !== run.id);
      if (run.kind !== "detect" || !others.length) return null;
      return h("label", { class: "compare small quiet" }, "Compare with", h("select", { id: "results-compare", onchange: (event) => app.where.go({ with: event.target.value || null }) },
        h("option", { value: "" }, "no other run"), others.map((each) => h("option", { value: each.id, selected: each.id === compared?.id }, `${inWords(each)} · ${when(each.finished)}`))));
    }

    const classesOf = () => [...new Set([...run.classes, ...(compared?.classes ?? [])])];
    function count(name) {
      const n = run.counts[name] ?? 0;
      return h("div", { class: "count" },
        h("span", { class: "count-number number" }, number(n), compared ? change(n - (compared.counts[name] ?? 0)) : null),
        h("span", { class: "count-name" }, swatch(name), name),
        h("span", { class: "small quiet" }, name in run.thresholds ? `confidence ≥ ${run.thresholds[name].toFixed(2)}` : ""));
    }

    function drawHead(all, tab) {
      fill(byId("results-head"),
        h("div", { class: "counts" }, run.kind === "detect" ? classesOf().map(count) : shares()),
        run.failures.length ? h("details", { class: "failures" }, h("summary", { class: "chip bad" }, app.plural(run.failures.length, "image"), " left out"), h("ul", {}, run.failures.map((each) => h("li", {}, h("strong", {}, each.image), `: ${each.message}`)))) : null,
        h("div", { class: "results-choices" }, chooseOther(),
          h("div", { class: "segmented", role: "tablist", "aria-label": "What to look at" }, all.map(([name, title]) => h("button", { type: "button", role: "tab", "aria-selected": String(tab === name), onclick: () => app.where.go({ tab: name, within: null, start: null }) }, title)))));
    }

    function drawMain() {
      byId("results-main").classList.toggle("is-empty", !run);
      if (!run) {
        const isRunning = job && !isOver(job);
        drawn = null;
        byId("results-head").replaceChildren();
        byId("results-view").className = "panel results-view";
        byId("results-view").replaceChildren(h("div", { class: "empty" }, isRunning ? h("span", { class: "spinner" }) : icon("spread"), h("h2", {}, isRunning ? "Running …" : "No results yet"), h("p", {}, isRunning ? "What is found appears here. You can close this page: it goes on." : "Results of a run appear here: a table of all that was found, maps of plates, areas, and files to download.")));
        return;
      }
      const all = tabs();
      const wanted = app.where.now.tab;
      const tab = all.some(([name]) => name === wanted) ? wanted : all[0][0];
      drawHead(all, tab);
      if (!results.views[tab]) return; // its own script starts in a moment, and has it drawn
      const view = byId("results-view");
      const top = drawn === `${run.id} ${tab}` ? view.scrollTop : 0;
      drawn = `${run.id} ${tab}`;
      view.className = `panel results-view view-${tab}`;
      const element = results.views[tab]();
      if (element.parentElement !== view) view.replaceChildren(element); // one that is kept has its focus and place
      view.scrollTop = top;
    }
    results.draw = drawMain;

    function shares() {
      const sums = new Map();
      for (const area of run.areas) {
        const share = area.tissue ?? area.share;
        const [sum, n] = sums.get(area.class) ?? [0, 0];
        sums.set(area.class, [sum + share, n + 1]);
      }
      return [...sums].map(([name, [sum, n]]) => h("div", { class: "count" }, h("span", { class: "count-number number" }, percent(sum / n)), h("span", { class: "count-name" }, swatch(name), name), h("span", { class: "small quiet" }, "mean over images")));
    }

    // Which run, as the address has it

    const NOWHERE = { tab: null, within: null, image: null, y: null, x: null, of: null, start: null };
    const isListed = (id) => runs.list.some((each) => each.id === id);
    let asked = null; // the run that was asked for last
    function follow(now) {
      if (now.run && now.run !== asked && isListed(now.run)) {
        asked = now.run;
        send("choose", { id: now.run });
      }
      if ((now.with ?? "") !== (compared?.id ?? "") && isListed(now.with ?? runs.current)) send("compare", { id: now.with ?? "" });
      if (about) drawMain();
    }
    app.where.listen(follow);

    /** The server shows a run by itself: the newest at first, and what a run gave when it ends. */
    function takeCurrent() {
      const { current } = runs;
      if (!current || current === asked) return;
      const isFirst = asked === null;
      if (isFirst && isListed(app.where.now.run)) return void follow(app.where.now);
      asked = current;
      if (isFirst) app.where.note({ ...(app.where.now.run ? NOWHERE : {}), run: current });
      else app.where.go({ ...NOWHERE, with: null, run: current });
    }

    return {
      about(value) { about = value; drawStart(); if (run) drawMain(); },
      job(value) { job = value; drawJob(); if (about) drawStart(); if (!run && about) drawMain(); },
      runs(value) { runs = value; takeCurrent(); drawRuns(); if (!runs.list.length) drawMain(); },
      run(value) { run = value; if (about) drawMain(); results.onRun?.(); },
      crop(value) { crop = value; if (about && run) drawMain(); },
      compared(value) { compared = value; if (about && run) drawMain(); },
    };
  });

  // Areas and downloads

  results.views.areas = () => {
    const images = [...new Set(run.areas.map((area) => area.image))];
    const at = new Map(run.areas.map((area) => [`${area.image}|${area.class}`, area]));
    const hasTissue = run.areas.some((area) => area.tissue !== null);
    const cell = (area) => (area ? `${percent(hasTissue ? area.tissue : area.share)}${area.mm2 === null ? "" : ` · ${tidy(area.mm2)} mm²`}` : "–");
    return h("div", { class: "areas-view" },
      run.overlays.length ? h("div", { class: "overlays" }, run.overlays.map((picture) => h("figure", {}, h("a", { href: picture.files.png.url, target: "_blank" }, h("img", { src: picture.files.png.url, alt: `Classes on ${picture.name}`, loading: "lazy" })), h("figcaption", { class: "small quiet" }, picture.name, app.saveAs(picture))))) : null,
      h("table", {}, h("caption", { class: "small quiet" }, hasTissue ? "Share of the tissue, and area" : "Share of the image, and area"),
        h("thead", {}, h("tr", {}, h("th", {}, "Image"), run.classes.map((name) => h("th", { class: "number" }, swatch(name), " ", name)))),
        h("tbody", {}, images.map((image) => h("tr", {}, h("td", {}, image), run.classes.map((name) => h("td", { class: "number" }, cell(at.get(`${image}|${name}`)))))))));
  };

  const KINDS = { csv: "table for any program", parquet: "table for Python and R", geojson: "outlines for QuPath", png: "picture", svg: "picture for papers", json: "how it was made" };
  results.views.files = () => {
    const kind = (name) => KINDS[name.split(".").at(-1)] ?? "";
    const paths = run.labels.length ? run.labels : [];
    const isOutline = (file) => file.name.endsWith(".geojson");
    const outlines = run.files.filter(isOutline);
    const list = (files) => h("ul", { class: "file-list" }, files.map((file) => h("li", {}, h("a", { href: file.url, download: file.saved }, icon("download"), h("span", {}, file.name)), h("span", { class: "small quiet" }, kind(file.name)))));
    return h("div", { class: "files-view" },
      h("div", { class: "file-all" },
        h("a", { class: "button primary", href: run.page.url, download: run.page.name }, icon("download"), "Report"),
        h("a", { class: "button", href: run.archive.url, download: run.archive.name }, icon("download"), "All as one zip"),
        h("p", { class: "small quiet" }, "The report is one page to read, print and send: methods in words for a paper, figures, examples, tables, and how it was made.")),
      list(outlines.length > 5 ? run.files.filter((file) => !isOutline(file)) : run.files),
      outlines.length > 5 ? h("details", {}, h("summary", {}, `Outlines for QuPath of ${app.plural(outlines.length, "image")}`), list(outlines)) : null,
      h("h3", {}, "On the server"),
      h("p", { class: "small quiet" }, "All of it lies in ", h("code", {}, run.folder), paths.length ? ". OME-Zarr labels, which napari and other viewers open:" : ""),
      paths.length ? h("ul", { class: "paths" }, paths.map((path) => h("li", {}, h("code", {}, path)))) : null);
  };
})();
