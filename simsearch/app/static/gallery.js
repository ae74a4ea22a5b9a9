// Suggestions for one class, the most similar first, and the threshold. The other half is components/gallery.py.
(() => {
  const app = window.simsearch;
  const { h, icon, plural } = app;
  const byId = (id) => document.getElementById(id);
  const BARS = 50;
  const WAIT_MS = 250; // before a threshold that is moved by keys is told

  app.island("gallery", (send) => {
    let about = null;
    let marks = { negatives: [], prototypes: [] };
    let progress = { state: "empty", message: "" };
    let peaks = { image: [], y: [], x: [], score: [] };
    let role = []; // of each peak: "", "flagged" or "prototype"
    let shown = []; // rows that the grid shows
    let least = 1;
    let view = "all";
    let told = null; // a threshold that is on its way
    let timer = null;
    const clicked = new Map(); // flags that are on their way, by row

    const slider = byId("threshold");
    const source = () => app.model("gallery_peaks");
    const area = byId("gallery-area");
    const gridElement = h("div", { class: "gallery-grid" });
    const grid = app.pictureGrid(gridElement, {
      size: () => { const [height, width] = about?.shape ?? [1, 1]; return [76, Math.min(152, Math.max(38, (76 * height) / width))]; },
      gap: 5,
      label: "Suggestions, the most similar first",
      make: (at) => {
        const row = shown[at];
        return h("button", { type: "button" },
          h("img", { src: about.crop.replace("{I}", peaks.image[row]).replace("{Y}", peaks.y[row].toFixed(2)).replace("{X}", peaks.x[row].toFixed(2)), alt: "", decoding: "async", draggable: "false" }),
          h("span", { class: "label" }, peaks.score[row].toFixed(2)), h("span", { class: "badge" }, icon("close")));
      },
      draw: (tile, at) => {
        const row = shown[at];
        const is = roleOf(row);
        tile.setAttribute("aria-pressed", String(is === "flagged"));
        tile.setAttribute("aria-label", `Suggestion of similarity ${peaks.score[row].toFixed(2)}${is ? `, ${is}` : ""}`);
        tile.classList.toggle("flagged", is === "flagged");
        tile.classList.toggle("own", is === "prototype");
        tile.classList.toggle("below", peaks.score[row] < least);
        tile.style.setProperty("--own-color", about.color);
      },
      act: (at, event) => {
        const row = shown[at];
        const place = { image: peaks.image[row], y: peaks.y[row], x: peaks.x[row] };
        if (event.shiftKey) return void send("visit", place);
        if (role[row] === "prototype") return void app.toast("This is one of your boxes. Remove it in the list of classes instead.");
        clicked.set(row, roleOf(row) !== "flagged");
        send("flag", { ...place, name: about.name });
        count();
      },
    });

    const roleOf = (row) => (clicked.has(row) ? (clicked.get(row) ? "flagged" : "") : role[row]);

    /** Mark the peaks at which somebody has said something. */
    function findRoles() {
      role = new Array(peaks.score.length).fill("");
      if (!about?.radius) return;
      const near = (patch, name) => {
        for (let row = 0; row < role.length; row += 1) {
          if (peaks.image[row] === patch.image && Math.hypot(peaks.y[row] - patch.y, peaks.x[row] - patch.x) < about.radius) role[row] = name;
        }
      };
      marks.negatives.forEach((patch) => near(patch, "flagged"));
      marks.prototypes.forEach((patch) => near(patch, "prototype"));
    }

    /** Number of peaks that reach the threshold; they come first. */
    function above() {
      let [first, end] = [0, peaks.score.length];
      while (first < end) {
        const middle = (first + end) >> 1;
        if (peaks.score[middle] >= least) first = middle + 1; else end = middle;
      }
      return first;
    }

    function count() {
      const n = above();
      let flagged = 0;
      for (let row = 0; row < n; row += 1) flagged += roleOf(row) === "flagged" ? 1 : 0;
      byId("threshold-value").textContent = least.toFixed(3).replace(/0$/, "");
      byId("threshold-count").textContent = `${(n - flagged).toLocaleString("en")} of ${peaks.score.length.toLocaleString("en")}`;
      byId("threshold-bars").style.setProperty("--least", `${least * 100}%`);
      slider.style.setProperty("--fill", `${least * 100}%`);
      drawAccept(n - flagged);
      drawJump();
    }

    function drawAccept(n) {
      const accept = byId("accept");
      const waits = progress.state !== "ready" || told !== null;
      accept.disabled = waits || !n || (about.is_accepted && about.n_accepted === n);
      accept.replaceChildren(icon("check"), about.is_accepted ? `Accepted ${about.n_accepted.toLocaleString("en")}` : `Accept ${plural(n, "region")}`);
      accept.classList.toggle("is-done", about.is_accepted);
    }

    function drawBars() {
      const bins = new Array(BARS).fill(0);
      for (const score of peaks.score) bins[Math.min(BARS - 1, Math.max(0, Math.floor(score * BARS)))] += 1;
      const most = Math.sqrt(Math.max(1, ...bins));
      const bars = bins.map((n, i) => {
        const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        const height = n ? Math.max(1.5, (Math.sqrt(n) / most) * 29) : 0;
        Object.entries({ x: (i * 100) / BARS + 0.15, width: 100 / BARS - 0.3, y: 30 - height, height }).forEach(([k, v]) => bar.setAttribute(k, v));
        return bar;
      });
      byId("threshold-bars").replaceChildren(...bars);
      drawBarsAbove();
    }
    function drawBarsAbove() {
      [...byId("threshold-bars").children].forEach((bar, i) => bar.classList.toggle("in", (i + 1) / BARS > least));
    }

    // Made once: a click on a button that is replaced while it is pressed would be lost.
    const jump = (title, tip, act) => h("button", { type: "button", title: tip, onclick: act }, title);
    const go = (row, where) => () => { if (view !== "all") show("all"); grid.reveal(Math.max(0, row()), where); };
    const toFlagged = jump("Flagged", "What you flagged as not belonging", () => show(view === "flagged" ? "all" : "flagged"));
    byId("gallery-jump").replaceChildren(
      jump("Most", "The most similar", go(() => 0, "top")),
      jump("Threshold", "Around the threshold: look here for what does not belong", go(() => above() - 1)),
      jump("Least", "The least similar", go(() => peaks.score.length - 1)),
      toFlagged);
    function drawJump() {
      const words = `Flagged ${Math.max(marks.negatives.length, rowsFlagged().length)}`;
      if (toFlagged.textContent !== words) toFlagged.textContent = words;
      toFlagged.setAttribute("aria-pressed", String(view === "flagged"));
    }

    const rowsFlagged = () => role.reduce((rows, _, row) => { if (roleOf(row) === "flagged") rows.push(row); return rows; }, []);

    function show(next) {
      view = next;
      shown = view === "flagged" ? rowsFlagged() : Array.from(peaks.score, (_, row) => row);
      grid.reset(shown.length);
      drawJump();
    }

    function takePeaks() {
      peaks = source()?.data ?? peaks;
      clicked.clear();
      findRoles();
      drawAll();
    }

    function drawState() {
      const words = { computing: [h("span", { class: "spinner" }), "Looking …"], failed: [icon("warning"), "Failed"] }[progress.state] ?? [];
      const state = byId("gallery-state");
      state.className = `small ${progress.state === "failed" ? "chip bad" : "chip"}`;
      state.hidden = !words.length;
      state.title = progress.message;
      state.replaceChildren(...words);
      byId("gallery-note").textContent = progress.note;
      const heat = byId("viewer-heat");
      if (heat) Object.assign(heat, { disabled: Boolean(progress.note) }).dataset.tip = progress.note ? "Not for images too large to be held in memory" : "Colour the image by similarity to the class";
    }

    function empty() {
      if (progress.state === "failed") return [icon("warning"), h("h3", {}, "No suggestions"), h("p", {}, progress.message)];
      if (about?.n_prototypes && progress.state === "computing") return [h("span", { class: "spinner" }), h("p", {}, "Looking for what is like it …")];
      if (about?.n_prototypes) return [h("h3", {}, "Nothing looks like it"), h("p", {}, "Draw a larger box, or display other images.")];
      return [h("h3", {}, "Nothing to show yet"), h("p", {}, about ? `Draw a box around one “${about.name}” in the image. What looks like it appears here.` : "Draw a box in the image. What looks like it appears here.")];
    }

    function drawAll() {
      const has = Boolean(about && peaks.score.length);
      byId("gallery-title").textContent = about ? `Like “${about.name}”` : "Suggestions";
      for (const id of ["threshold-box", "gallery-jump", "gallery-foot"]) byId(id).hidden = !has;
      drawState();
      if (!has) {
        shown = [];
        grid.reset(0); // it draws once more when it is taken out, and there is nothing to draw
        return void area.replaceChildren(h("div", { class: "empty" }, empty()));
      }
      if (gridElement.parentElement !== area) area.replaceChildren(gridElement);
      slider.value = least;
      byId("threshold-box").style.setProperty("--color", about.color);
      drawBars();
      show(view);
      count();
      return undefined;
    }

    // The threshold

    const tell = () => {
      clearTimeout(timer);
      if (!about || told === null) return;
      send("threshold", { name: about.name, value: told });
    };
    slider.addEventListener("input", () => {
      least = Number(slider.value);
      told = least;
      app.viewer.threshold(about.name, least);
      grid.redraw();
      drawBarsAbove();
      count();
    });
    slider.addEventListener("change", () => { told = least; clearTimeout(timer); timer = setTimeout(tell, WAIT_MS); });
    window.addEventListener("pagehide", () => { if (told !== null) tell(); });

    const accept = () => { if (!byId("accept").disabled) send("accept", { name: about.name }); };
    byId("accept").addEventListener("click", accept);
    app.key("a", "accept the class", accept);

    app.ready(() => {
      source()?.properties.data.change.connect(takePeaks);
      takePeaks();
    });

    return {
      about(value) {
        const isOther = value?.name !== about?.name;
        about = value;
        const wanted = about?.threshold ?? about?.suggested ?? 1;
        if (isOther || told === null || told === wanted) { told = null; least = wanted; }
        if (isOther) { view = "all"; clicked.clear(); gridElement.scrollTop = 0; }
        findRoles();
        drawAll();
      },
      marks(value) {
        marks = value;
        clicked.clear();
        findRoles();
        if (!about || !peaks.score.length) return;
        if (view === "flagged") show("flagged");
        grid.redraw();
        count();
      },
      progress(value) { progress = value; drawAll(); },
    };
  });
})();
