// Train: what is learned from, how, how it goes, and the models there are. The other half is components/training.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill } = app;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const STAGES = {
    noisy: ["Without labels", "It learns to tell patches of other images apart, whatever they are."],
    clean: ["With your labels", "It learns what belongs together, from what you drew and accepted."],
    classifier: ["Deciding", "It learns to name the class, and how sure it is."],
  };
  const ROLES = { clean: "Objects", negative: "Negatives", background: "Background" };
  const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);

  function curve(losses) {
    const [width, height, margin] = [200, 56, 3];
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "curve");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Loss of ${losses.length} epochs: ${losses.map((loss) => loss.toFixed(3)).join(", ")}`);
    const [least, most] = [Math.min(...losses), Math.max(...losses)];
    const x = (i) => (losses.length > 1 ? margin + (i / (losses.length - 1)) * (width - 2 * margin) : width / 2);
    const y = (loss) => height - margin - ((loss - least) / (most - least || 1)) * (height - 2 * margin);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", losses.map((loss, i) => `${x(i)},${y(loss)}`).join(" "));
    const dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", x(losses.length - 1));
    dot.setAttribute("cy", y(losses.at(-1)));
    dot.setAttribute("r", 3);
    svg.append(line, dot);
    return svg;
  }

  function stages(epochs, job) {
    return h("div", { class: "stages" }, Object.entries(STAGES).map(([stage, [title, words]]) => {
      const losses = epochs[stage] ?? [];
      const isNow = job && !isOver(job) && job.step === stage;
      return h("div", { class: `stage${isNow ? " now" : ""}${losses.length ? "" : " none"}` },
        h("div", { class: "stage-words" }, h("h3", {}, title), h("span", { class: "small quiet number" }, losses.length ? `loss ${losses.at(-1).toFixed(3)}` : "")),
        losses.length ? curve(losses) : h("p", { class: "small quiet" }, words),
        h("span", { class: "small quiet" }, losses.length ? app.plural(losses.length, "epoch") : isNow ? "begins" : ""));
    }));
  }

  app.island("training", (send) => {
    let patches = null;
    let about = null;
    let job = null;
    let options = null;

    function drawRoles() {
      const groups = Object.entries(ROLES).map(([role, title]) => {
        const rows = patches.roles.filter((each) => each.role === role && (each.n || role !== "negative"));
        if (!rows.length) return null;
        return h("div", { class: "role" }, h("h3", {}, title), rows.map(row));
      });
      byId("train-roles").replaceChildren(...(patches.is_any ? groups.filter(Boolean)
        : [h("div", { class: "empty" }, icon("spread"), h("h2", {}, "Nothing marked yet"), h("p", {}, "Draw a box around something you look for, and judge what is found."), h("a", { class: "button primary", href: app.address("regions") }, "Go to Regions"))]));
    }
    function row(each) {
      const url = ({ image, y, x }) => each.crop.replace("{I}", image).replace("{Y}", y).replace("{X}", x);
      return h("div", { class: "role-row" },
        h("div", { class: "role-words" }, h("span", { class: "swatch", style: { "--color": each.color } }), h("strong", {}, each.class || "background"), h("span", { class: "chip number" }, each.n.toLocaleString("en"))),
        each.n ? h("div", { class: "strip", style: { "--aspect": each.aspect } }, each.shown.map((item) => h("img", { src: url(item), alt: "", loading: "lazy", decoding: "async" })), each.n > each.shown.length ? h("span", { class: "small quiet" }, `and ${(each.n - each.shown.length).toLocaleString("en")} more`) : null)
          : h("p", { class: "small quiet" }, each.role === "background" ? "None accepted." : "None yet."));
    }

    const check = (key, title, words, isPossible = true) => h("label", { class: "option" },
      h("input", { type: "checkbox", checked: options[key] && isPossible, disabled: !isPossible, onchange: (event) => { options[key] = event.target.checked; } }),
      h("span", {}, h("strong", {}, title), h("span", { class: "small quiet" }, words)));
    const choose = (key, choices) => h("div", { class: "segmented", role: "group" }, choices.map(([value, title, tip]) =>
      h("button", { type: "button", "aria-pressed": String(options[key] === value), title: tip, onclick: () => { options[key] = value; drawOptions(); } }, title)));

    function drawOptions() {
      const nNegatives = patches.roles.filter((each) => each.role === "negative").reduce((sum, each) => sum + each.n, 0);
      const fatal = about.problems.some((problem) => problem.is_fatal);
      const isBusy = job && !isOver(job) && job.state !== "interrupted";
      byId("train-options").replaceChildren(
        h("h2", {}, "How it is trained"),
        h("div", { class: "options" },
          h("div", { class: "option-row" }, h("span", {}, "You look for"), choose("beside", [[true, "Objects", "Cells, glands: things with a middle. Half a patch beside one there is none."], [false, "Areas", "Tissue, texture: beside a patch there is more of it. For segmentation."]])),
          h("div", { class: "option-row" }, h("span", {}, "Time"), choose("paper", [[false, "Brief", "Minutes. About as good with few patches."], [true, "Long", "As many passes as in the paper: ten times as long."]])),
          check("selflearn", "Learn from other images too", about.n_others ? `${app.plural(about.n_others, "image")} not displayed: up to 1,000 patches that nobody checked.` : "All images are displayed: there are no others.", about.n_others > 0),
          check("negatives", "Learn from negatives", nNegatives ? `${app.plural(nNegatives, "suggestion")} that you flagged.` : "Nothing was flagged.", nNegatives > 0)),
        h("ul", { class: "problems" }, about.problems.map((problem) => h("li", { class: problem.is_fatal ? "bad" : "" }, icon("warning"), h("span", {}, problem.text, " ", h("a", { href: app.address(problem.page) }, "Go there"))))),
        h("button", { class: "primary", id: "train-start", type: "button", disabled: fatal || isBusy, onclick: () => send("start", options) }, icon("play"), isBusy ? "Training …" : "Start training"));
    }

    function drawJob() {
      const box = byId("train-job");
      box.closest("section").hidden = !job || job.state === "done"; // then it is among the models
      if (!job) return;
      const share = job.total ? job.done / job.total : null;
      const seconds = job.eta ? (job.eta < 90 ? `${Math.ceil(job.eta)} s` : `${Math.round(job.eta / 60)} min`) : "";
      const title = { failed: "The training failed", cancelled: "The training was stopped", interrupted: "The training was interrupted" }[job.state] ?? "Training";
      const words = isOver(job) || job.state === "interrupted" ? job.message : [STAGES[job.step]?.[0] ?? job.step, job.total ? `${job.done} of ${job.total}` : "", seconds ? `${seconds} left in this step` : ""].filter(Boolean).join(" · ");
      fill(box,
        h("div", { class: "job-head" }, h("h2", {}, title),
          isOver(job) ? h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: () => send("dismiss", { job: job.id }) }, icon("close"))
            : job.state === "interrupted" ? h("button", { class: "primary", type: "button", onclick: () => send("resume", { job: job.id }) }, icon("play"), "Go on")
              : h("button", { class: "danger", type: "button", onclick: () => send("cancel", { job: job.id }) }, "Cancel")),
        isOver(job) || job.state === "interrupted" ? null : h("progress", share === null ? { "aria-label": title } : { max: 1, value: share, "aria-label": title }),
        words ? h("p", { class: `small ${job.state === "failed" ? "job-problem" : "quiet"}` }, words) : null,
        isOver(job) || job.state === "interrupted" ? null : h("p", { class: "small quiet" }, "You can close this page: the training goes on."),
        stages(job.epochs ?? {}, job));
    }

    const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);
    function heldOut(model) {
      const classes = Object.entries(model.held_out);
      if (!classes.length) return null;
      const doubts = model.n_doubtful === 1 ? "1 patch disagrees" : `${model.n_doubtful.toLocaleString("en")} patches disagree`;
      return h("div", { class: "small" },
        h("p", {}, h("strong", {}, "Told apart in images that were held out: "), classes.map(([name, each]) =>
          `${name} precision ${percent(each.precision)}, recall ${percent(each.recall)} of ${each.n_patches}`).join("; "), "."),
        model.n_doubtful ? h("p", { class: "job-problem" }, `${doubts} with the rest: the first rows of held_out.csv say which. Look at them on the page `, h("a", { href: app.address("regions") }, "Regions"), ", and train again.") : null);
    }

    function decidedBy(model) {
      const classes = Object.entries(model.decided_by);
      if (!classes.length) return null;
      return h("div", { class: "small" }, h("p", {}, h("strong", {}, "How sure it is, is decided by")), h("ul", {}, classes.map(([name, who]) => h("li", {}, `${name}: ${who}`))));
    }

    function drawModels(models) {
      byId("train-next").classList.toggle("primary", models.length > 0);
      byId("train-models").closest("section").hidden = !models.length;
      fill(byId("train-models"), h("h2", {}, "Models ", h("span", { class: "chip number" }, models.length)), models.map((model, index) =>
        h("details", { class: "model", open: index === 0 && !(job && !isOver(job)) },
          h("summary", {}, h("strong", {}, new Date(model.created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })), h("span", { class: "quiet small" }, model.classes.join(", "))),
          h("p", { class: "small quiet" }, Object.entries(model.n_patches).map(([role, n]) => `${n.toLocaleString("en")} ${role}`).join(", "), " patches · model ", h("code", {}, model.id)),
          stages(model.losses, null),
          model.curves ? h("p", { class: "small quiet" }, "Loss curves ", app.saveAs(model.curves)) : null,
          heldOut(model),
          decidedBy(model),
          h("div", { class: "files" }, model.files.map((file) => h("a", { class: "button small", href: file.url, download: file.saved }, icon("download"), file.name))))));
    }

    return {
      patches(value) { patches = value; drawRoles(); if (about) drawOptions(); },
      about(value) { about = value; options ??= { ...value.defaults }; if (patches) drawOptions(); },
      job(value) { job = value; drawJob(); if (patches && about) drawOptions(); },
      models: drawModels,
    };
  });
})();
