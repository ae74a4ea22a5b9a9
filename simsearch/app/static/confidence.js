// Choose how sure a model must be. The other half is components/confidence_choice.py.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const byId = (id) => document.getElementById(id);
  const FIRST = 0.05; // the model's findings below are not kept
  const WAIT_MS = 250; // before a threshold that is moved by keys is told
  const BARS = 38; // of a histogram: each 0.025 wide, so that thresholds lie between two
  const NO_OBJECT = 2; // hidden, as another class is surer of the place

  app.island("confidence", (send) => {
    let classes = [];
    let models = null;
    let progress = null;
    let about = null;
    let rivals = null; // by row: rows of greater confidence so near that only one of them is an object
    const least = new Map(); // by class: the threshold as the slider has it
    const cards = new Map();
    const saidWrong = new WeakMap(); // by the data of a class as the server sent it: which rows are said to be wrong

    // What counts as an object, as simsearch.core.peaks.objects says it

    function findRivals(peaks, distances) {
      const distance = Math.max(...distances);
      const n = peaks.score.length;
      const cells = new Map();
      const found = new Array(n);
      const cellOf = (row) => [peaks.image[row], Math.floor(peaks.y[row] / distance), Math.floor(peaks.x[row] / distance)];
      for (let row = 0; row < n; row += 1) {
        const [image, i, j] = cellOf(row);
        const near = [];
        for (let di = -1; di <= 1; di += 1) {
          for (let dj = -1; dj <= 1; dj += 1) {
            for (const other of cells.get(`${image}:${i + di}:${j + dj}`) ?? []) {
              if (Math.hypot(peaks.y[other] - peaks.y[row], peaks.x[other] - peaks.x[row]) < Math.min(distances[peaks.kind[other]], distances[peaks.kind[row]])) near.push(other);
            }
          }
        }
        found[row] = near;
        const key = `${image}:${i}:${j}`;
        if (cells.has(key)) cells.get(key).push(row);
        else cells.set(key, [row]);
      }
      return found;
    }

    /** Which rows are objects; and the scores of each class where no other object is, whether they reach its threshold or not. */
    function objects(peaks) {
      const limits = classes.map(({ name }) => least.get(name));
      const isKept = new Uint8Array(peaks.score.length);
      const scores = classes.map(() => []);
      for (let row = 0; row < isKept.length; row += 1) {
        if (rivals[row].some((other) => isKept[other])) continue;
        scores[peaks.kind[row]].push(peaks.score[row]);
        isKept[row] = peaks.score[row] >= limits[peaks.kind[row]] ? 1 : 0;
      }
      return { isKept, scores };
    }

    const peaksOf = () => app.model("confidence_peaks")?.data ?? null;

    function count() {
      const peaks = peaksOf();
      if (!peaks || !rivals || !classes.length) return;
      const { isKept, scores } = objects(peaks);
      const counts = new Array(classes.length).fill(0);
      const rows = classes.map(() => []); // of the image that is seen, in the order of the viewer's own columns
      const images = app.viewer.images();
      const here = images.indexOf(app.viewer.image);
      for (let row = 0; row < isKept.length; row += 1) {
        if (isKept[row]) counts[peaks.kind[row]] += 1;
        if (peaks.image[row] === here) rows[peaks.kind[row]].push(isKept[row] ? 0 : 1);
      }
      classes.forEach(({ name }, kind) => {
        const source = app.model(`peaks:${name}`);
        if (source && source.data.is_flagged.length === rows[kind].length) {
          if (!saidWrong.has(source.data)) saidWrong.set(source.data, Uint8Array.from(source.data.is_flagged));
          const isWrong = saidWrong.get(source.data);
          source.data.is_flagged.set?.(rows[kind].map((isHidden, row) => (isWrong[row] ? 1 : isHidden ? NO_OBJECT : 0)));
          app.viewer.threshold(name, least.get(name));
        }
        cards.get(name)?.count(counts[kind], images.length, scores[kind]);
      });
      app.confidence = { counts: Object.fromEntries(classes.map(({ name }, kind) => [name, counts[kind]])) };
    }

    // Cards

    const whole = (share) => (share === null ? "not known" : `${Math.round(100 * share)} %`);

    function meter(title, words) {
      const [range, dot, value] = [h("span", { class: "meter-range" }), h("span", { class: "meter-dot" }), h("span", { class: "meter-value number" })];
      const element = h("div", { class: "meter", title: words }, h("span", { class: "meter-title" }, title), h("span", { class: "meter-track" }, range, dot), value);
      const percent = (share) => `${Math.round(100 * share)}`;
      return {
        element,
        draw([low, middle, high]) {
          const isKnown = middle !== null && middle !== undefined;
          range.hidden = !isKnown;
          dot.hidden = !isKnown;
          value.textContent = isKnown ? `${percent(middle)} % (${percent(low)}–${percent(high)})` : "not known";
          if (!isKnown) return;
          range.style.left = `${100 * low}%`;
          range.style.width = `${100 * (high - low)}%`;
          dot.style.left = `${100 * middle}%`;
        },
      };
    }

    function makeCard({ name }) {
      const slider = h("input", { type: "range", min: FIRST, max: 1, step: 0.01, "aria-label": `Confidence of ${name}` });
      const [value, number, state, judged] = [h("strong", { class: "number" }), h("span", { class: "number" }), h("span", { class: "chip" }), h("p", { class: "small quiet" })];
      const unjudged = h("p", { class: "small" });
      const heldOut = h("p", { class: "small", title: "By cross-validation: a simpler classifier than the model judged patches of images that it was not shown, each as the likeliest class, whatever the threshold." });
      const learned = h("p", { class: "small quiet" }, "On places it was trained on, which is too good:");
      const precision = meter("Precision", "Of those places that the model takes for the class, how much is of it; in brackets what the true share may be (95 %), had the model not been trained on them.");
      const recall = meter("Recall", "Of those places that are of the class, how much the model finds; in brackets what the true share may be (95 %), had the model not been trained on them.");
      const swatch = h("span", { class: "swatch" });
      const bars = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const element = h("article", { class: "confidence-class" },
        h("div", { class: "confidence-head" }, swatch, h("h2", {}, name), h("span", { class: "grow" }), state),
        h("div", { class: "confidence-value" }, h("span", {}, "Confidence at least ", value), number),
        bars, slider, heldOut, learned, precision.element, recall.element, judged, unjudged);
      const histogram = app.bars(bars, slider, { start: FIRST, n: BARS, what: `places of each confidence that may be ${name}` });
      let estimate = null;
      const draw = () => {
        const at = least.get(name);
        value.textContent = at.toFixed(2);
        slider.style.setProperty("--fill", `${(100 * (at - FIRST)) / (1 - FIRST)}%`);
        if (!estimate) return;
        let nearest = 0;
        estimate.thresholds.forEach((threshold, i) => { if (threshold <= at + 1e-9) nearest = i; });
        precision.draw(estimate.precision.map((values) => values[nearest]));
        recall.draw(estimate.recall.map((values) => values[nearest]));
        const n = estimate.n_unjudged[nearest];
        unjudged.textContent = n ? `${n.toLocaleString("en")} of what it finds here ${n === 1 ? "lies" : "lie"} where nobody judged: precision says nothing of ${n === 1 ? "it" : "them"}. Look, and flag what is wrong.` : "";
      };
      let told = null; // a threshold that is on its way; what comes back meanwhile is older
      let timer = null;
      const tell = () => {
        clearTimeout(timer);
        timer = null;
        send("threshold", { name, value: told });
      };
      slider.addEventListener("input", () => {
        least.set(name, Number(slider.value));
        told = Number(slider.value);
        draw();
        count();
      });
      slider.addEventListener("change", () => {
        clearTimeout(timer);
        timer = setTimeout(tell, WAIT_MS);
      });
      window.addEventListener("pagehide", () => { if (timer !== null) tell(); });
      return {
        element,
        count(n, nImages, scores) { histogram.draw(scores, least.get(name)); number.textContent = `${n.toLocaleString("en")} found on ${app.plural(nImages, "image")}`; },
        update(part) {
          swatch.style.setProperty("--color", part.color);
          state.textContent = part.is_chosen ? "chosen" : "as the model has it";
          state.classList.toggle("good", part.is_chosen);
          slider.disabled = !part.is_known;
          estimate = part.estimate;
          for (const each of [precision.element, recall.element, learned]) each.hidden = !estimate;
          const held = part.held_out;
          heldOut.replaceChildren(...(held ? [h("strong", {}, "In images that were held out: "), `precision ${whole(held.precision)}, recall ${whole(held.recall)} of ${app.plural(held.n_patches, "patch", "patches")}`] : ["What holds in images that were held out was not asked of this model."]));
          unjudged.hidden = !estimate;
          judged.textContent = estimate ? `On ${app.plural(estimate.n_objects, "place")} of the class and ${estimate.n_others.toLocaleString("en")} others that you judged, most of them before it was trained.` : "";
          if (told === null || told === part.threshold) {
            told = null;
            least.set(name, part.threshold);
            slider.value = String(part.threshold);
          }
          draw();
        },
      };
    }

    function drawClasses() {
      const box = byId("confidence-classes");
      if (!progress?.has_models) {
        byId("confidence-keep").disabled = true;
        box.replaceChildren(h("div", { class: "empty" }, icon("spread"), h("h2", {}, "No model yet"), h("p", {}, "Train a model first: then one sees here what it finds."), h("a", { class: "button primary", href: app.address("train") }, "Go to Train")));
        return;
      }
      const { job } = progress;
      const isRunning = job && ["waiting", "running"].includes(job.state);
      if (!progress.is_found) {
        cards.clear();
        const words = isRunning ? [job.step, job.total ? `${job.done} of ${job.total}` : ""].filter(Boolean).join(" · ") : about?.problem || job?.message || "";
        box.replaceChildren(h("div", { class: "empty" }, isRunning ? h("span", { class: "spinner" }) : icon("warning"),
          h("h2", {}, isRunning ? "Looking at the displayed images …" : "Nothing was found yet"), h("p", {}, words),
          isRunning ? h("progress", job.total ? { max: 1, value: job.done / job.total } : {}) : h("button", { class: "primary", type: "button", onclick: () => send("find") }, icon("play"), "Find objects on the displayed images")));
        return;
      }
      for (const part of classes) {
        if (!cards.has(part.name)) cards.set(part.name, makeCard(part));
        cards.get(part.name).update(part);
      }
      for (const name of [...cards.keys()]) if (!classes.some((part) => part.name === name)) cards.delete(name);
      const elements = classes.map(({ name }) => cards.get(name).element);
      if (elements.length !== box.children.length || elements.some((element, i) => box.children[i] !== element)) box.replaceChildren(...elements);
      const keep = byId("confidence-keep");
      const isOpen = classes.some((part) => part.is_known && !part.is_chosen);
      keep.disabled = !isOpen;
      keep.textContent = isOpen ? "Keep these" : "Kept";
      byId("confidence-next").classList.toggle("primary", !isOpen);
      keep.classList.toggle("primary", isOpen);
    }

    function drawModel() {
      if (!models || models.list.length < 2) return byId("confidence-model").replaceChildren();
      return byId("confidence-model").replaceChildren(h("label", { class: "small quiet" }, "Model of ", h("select", { onchange: (event) => send("model", { id: event.target.value }) },
        models.list.map(({ id, created }) => h("option", { value: id, selected: id === models.current }, new Date(created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }))))));
    }

    function compute() {
      const peaks = peaksOf();
      rivals = peaks && about?.distances ? findRivals(peaks, about.distances) : null;
      count();
    }

    const keep = () => send("keep", { thresholds: Object.fromEntries(least) });
    byId("confidence-keep").addEventListener("click", keep);
    app.key("a", "keep the thresholds", () => { if (!byId("confidence-keep").disabled) keep(); });
    app.ready(() => {
      app.model("confidence_peaks").properties.data.change.connect(compute);
      app.viewer.onSources(count);
    });
    return {
      models(value) { models = value; drawModel(); },
      about(value) { about = value; byId("confidence-note").textContent = value.problem || value.note; compute(); },
      progress(value) { progress = value; drawClasses(); count(); },
      classes(value) { classes = value; drawClasses(); count(); },
    };
  });
})();
