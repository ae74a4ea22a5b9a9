// Suggestions for one class, the most similar first, and the threshold. The other half is components/gallery.py.
(() => {
  const app = window.simsearch;
  const { h, icon, plural } = app;
  const byId = (id) => document.getElementById(id);
  const WAIT_MS = 250; // before a threshold that is moved by keys is told
  const NO_MARKS = { negatives: [], prototypes: [], confirmed: [], others: [] };

  app.island("gallery", (send) => {
    let about = null;
    let classes = [];
    let marks = NO_MARKS;
    let progress = { state: "empty", message: "" };
    let columns = null; // of the peaks that are shown; newer ones may wait
    let questions = []; // places to ask of next
    let shown = []; // items that the grid shows
    let least = 1;
    let view = "all"; // or "flagged", "ask", "map"
    let around = []; // items of the map that were drawn around
    let told = null; // a threshold that is on its way
    let timer = null;

    const slider = byId("threshold");
    const bars = app.bars(byId("threshold-bars"), slider, { what: "regions of each similarity" });
    const source = () => app.model("gallery_peaks");
    const area = byId("gallery-area");
    const gridElement = h("div", { class: "gallery-grid" });
    const { said, keyOf } = app;
    const peaks = app.suggestions();
    const crop = ({ image, y, x }) => about.crop.replace("{I}", image).replace("{Y}", y.toFixed(2)).replace("{X}", x.toFixed(2));
    const grid = app.pictureGrid(gridElement, {
      size: () => { const [height, width] = about?.shape ?? [1, 1]; return [76, Math.min(152, Math.max(38, (76 * height) / width))]; },
      gap: 5,
      label: "Suggestions, the most similar first",
      make: (at) => {
        const tile = h("button", { type: "button" },
          h("img", { alt: "", decoding: "async", draggable: "false" }), h("span", { class: "label" }),
          h("span", { class: "badge no" }, icon("close")), h("span", { class: "badge yes" }, icon("check")));
        tile.dataset.key = keyOf(shown[at]);
        return tile;
      },
      draw: (tile, at) => {
        const item = shown[at];
        const is = said(item);
        const isPicked = picking.picked.has(item);
        const picture = tile.firstChild;
        if (picture.getAttribute("src") !== crop(item)) picture.src = crop(item);
        tile.children[1].textContent = item.score.toFixed(2);
        tile.setAttribute("aria-pressed", String(is === "flagged"));
        tile.setAttribute("aria-label", `Suggestion of similarity ${item.score.toFixed(2)}${is ? `, ${is}` : ""}${item.moved && is === "flagged" ? ` and of ${item.moved.name}` : ""}${isPicked ? ", picked" : ""}`);
        tile.classList.toggle("flagged", is === "flagged");
        tile.classList.toggle("confirmed", is === "confirmed");
        tile.classList.toggle("own", is === "prototype");
        tile.classList.toggle("picked", isPicked);
        tile.classList.toggle("below", item.score < least);
        tile.style.setProperty("--own-color", about.color);
        tile.style.setProperty("--moved-color", item.moved?.color ?? "");
        tile.classList.toggle("moved", Boolean(item.moved));
      },
      act: (at, event) => {
        const item = shown[at];
        if (event.altKey) visit(item);
        else if (!picking.click(item, event)) toggle(item);
      },
    });

    // What is done about places

    const place = ({ image, y, x }) => ({ image, y, x });
    function click(list, what, to = null) {
      if (view === "ask") asking.note(list);
      for (const item of list) item.clicked = { said: what, to, at: Date.now() };
      picking.clear();
      map.clear();
      drawMarks();
      setTimeout(doubt, app.PATIENCE_MS + 50);
    }
    /** What was done and undone before it was told here leaves no trace in what is told: look once more. */
    function doubt() {
      if (app.isSaving()) return void setTimeout(doubt, app.PATIENCE_MS);
      findSaid();
      drawMarks();
    }
    function isFree(item) {
      if (said(item) !== "prototype") return true;
      app.toast("This is one of your boxes. Remove it in the list of classes instead.");
      return false;
    }
    function toggle(item) {
      if (!isFree(item)) return;
      // Who flags what somebody else has just flagged means the same: it must not be taken back.
      if (said(item) !== "flagged") return void refuse([item]);
      send("flag", { ...place(item), name: about.name });
      click([item], "");
    }
    function refuse(list) {
      const free = list.filter(isFree);
      if (!free.length) return;
      send("refuse", { name: about.name, places: free.map(place) });
      click(free, "flagged");
    }
    function assign(list, to) {
      const free = list.filter(isFree);
      if (!free.length) return;
      send("assign", { name: about.name, to, places: free.map(place) });
      if (to === about.name) click(free, "confirmed"); else click(free, "flagged", to);
    }
    const visit = (item) => send("visit", place(item));
    const fromHere = (item) => shown.includes(item) && picking.set(shown.slice(shown.indexOf(item)).filter((each) => view === "flagged" || each.score >= least));

    const picking = app.picking(gridElement, {
      items: () => shown,
      canPick: (item) => said(item) !== "prototype",
      changed: () => { grid.redraw(); judging.draw(); still.soon(); },
    });
    const judging = app.judging(area, {
      about: () => about, picking, refuse, assign, visit, fromHere,
      itemOf: (element) => element.item ?? shown[element.dataset.index],
      closed: () => still.soon(),
    });
    const asking = app.asking({ about: () => about, classes: () => classes, crop, refuse, assign, visit, above: () => counted() });
    const map = app.patchMap({
      about: () => about, at: peaks.at, least: () => least, ask: () => send("map", { name: about.name }),
      chosen(items) { around = items; still.now(); picking.set(items); },
    });
    const still = app.whenStill(area, arrange, () => picking.picked.size > 0 || picking.isDragging || judging.isOpen);

    /** Judge a place in an image; for the viewer. */
    app.judge = { send };

    // What was said

    const findSaid = () => peaks.mark(marks, about?.radius);
    const above = (list) => peaks.above(least, list);
    /** Number of those that reach the threshold and are not flagged. */
    function counted() {
      let n = above();
      for (let row = above() - 1; row >= 0; row -= 1) if (isFlagged(peaks.items[row])) n -= 1;
      return n;
    }

    function count() {
      const n = counted();
      byId("threshold-value").textContent = least.toFixed(3).replace(/0$/, "");
      byId("threshold-count").textContent = `${n.toLocaleString("en")} of ${peaks.items.length.toLocaleString("en")}`;
      slider.style.setProperty("--fill", `${least * 100}%`);
      drawAccept(n);
      drawJump();
    }

    function drawAccept(n) {
      const accept = byId("accept");
      const waits = progress.state !== "ready" || told !== null;
      const isDone = about.is_accepted && !about.n_changes;
      accept.disabled = waits || !n || (isDone && about.n_accepted === n);
      accept.replaceChildren(icon("check"), isDone ? `Accepted ${about.n_accepted.toLocaleString("en")}` : about.is_accepted ? `Accept ${n.toLocaleString("en")} anew` : `Accept ${plural(n, "region")}`);
      accept.classList.toggle("is-done", isDone);
    }

    // Made once: a click on a button that is replaced while it is pressed would be lost.
    const jump = (title, tip, act) => h("button", { type: "button", title: tip, onclick: act }, title);
    const go = (at, where) => () => { if (view !== "all") show("all"); grid.reveal(Math.max(0, at()), where); };
    const toFlagged = jump("Flagged", "What you flagged as not belonging", () => show(view === "flagged" ? "all" : "flagged"));
    const toMap = jump("Map", "All by how alike they look: draw around some", () => show(view === "map" ? "all" : "map"));
    const toAsk = jump("Ask", "A few whose answer would change most", () => show(view === "ask" ? "all" : "ask"));
    byId("gallery-jump").replaceChildren(
      jump("Most", "The most similar", go(() => 0, "top")),
      jump("Threshold", "Around the threshold: look here for what does not belong", go(() => above(shown) - 1)),
      jump("Least", "The least similar", go(() => shown.length - 1)),
      toFlagged, toAsk, toMap);
    const isFlagged = (item) => said(item) === "flagged";
    function drawJump() {
      const words = `Flagged ${Math.max(marks.negatives.length, peaks.items.filter(isFlagged).length)}`;
      if (toFlagged.textContent !== words) toFlagged.textContent = words;
      toFlagged.setAttribute("aria-pressed", String(view === "flagged"));
      toAsk.setAttribute("aria-pressed", String(view === "ask"));
      toMap.setAttribute("aria-pressed", String(view === "map"));
    }

    function show(next) {
      view = next;
      around = [];
      if (view === "map" && about) map.open(); else map.close();
      gridElement.classList.toggle("of-flagged", view === "flagged");
      byId("gallery-hint").hidden = view === "ask";
      picking.clear();
      if (hasAny()) putView();
      still.now();
      gridElement.scrollTop = 0;
      drawJump();
    }

    /** Take the newest peaks, and let what is flagged sink out of their order. What stays in sight keeps its place. */
    function arrange() {
      const isNew = takeNewest();
      if (view === "ask" && hasAny()) {
        asking.reset(questions.map(peaks.at));
        findSaid();
        asking.draw(least);
        return;
      }
      const next = view === "map" ? around : hasAny() ? peaks.items.filter((item) => isFlagged(item) === (view === "flagged")) : [];
      if (!isNew && next.length === shown.length && next.every((item, at) => item === shown[at])) return;
      const places = new Map(next.map((item, at) => [keyOf(item), at]));
      const first = shown.findIndex((item, at) => grid.top(at) >= gridElement.scrollTop && places.has(keyOf(item)));
      const stays = !isNew && first >= 0 && gridElement.scrollTop > 0 ? [grid.top(first), shown[first]] : null;
      shown = next;
      grid.reset(shown.length, (tile) => places.get(tile.dataset.key));
      if (stays) gridElement.scrollTop += grid.top(places.get(keyOf(stays[1]))) - stays[0];
    }

    function takeNewest() {
      const newest = source()?.data ?? null;
      if (newest === columns) return false;
      columns = newest;
      const kept = asking.items();
      asking.replace(kept, peaks.take(columns, kept));
      findSaid();
      drawAll();
      return true;
    }

    const putView = () => { const now = view === "ask" ? asking.element : gridElement; if (now.parentElement !== area) area.replaceChildren(now); };
    const redraw = () => (view === "ask" ? asking.draw(least) : grid.redraw());
    function drawMarks() {
      if (!hasAny()) return;
      redraw();
      map.draw();
      count();
      still.soon();
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
      if (heat) heat.dataset.tip = progress.note ? "Colour what was searched so far by similarity to the class: coarse, as the images are too large to be held" : "Colour the image by similarity to the class";
    }

    function empty() {
      if (progress.state === "failed") return [icon("warning"), h("h3", {}, "No suggestions"), h("p", {}, progress.message)];
      if (about?.n_prototypes && progress.state === "computing") return [h("span", { class: "spinner" }), h("p", {}, "Looking for what is like it …")];
      if (about?.n_prototypes) return [h("h3", {}, "Nothing looks like it"), h("p", {}, "Draw a larger box, or display other images.")];
      return [h("h3", {}, "Nothing to show yet"), h("p", {}, about ? `Draw a box around one “${about.name}” in the image. What looks like it appears here.` : "Draw a box in the image. What looks like it appears here.")];
    }

    /** Whether there are pictures to show: without a box left, a class has no size, and what was found for it is gone soon. */
    const hasAny = () => Boolean(about?.crop && peaks.items.length);
    function drawAll() {
      const has = hasAny();
      byId("gallery-title").textContent = about ? `Like “${about.name}”` : "Suggestions";
      for (const id of ["threshold-box", "gallery-jump"]) byId(id).hidden = !has;
      byId("gallery-foot").dataset.has = has ? "yes" : "";
      judging.draw();
      drawState();
      if (!has) {
        shown = [];
        grid.reset(0); // it draws once more when it is taken out, and there is nothing to draw
        return void area.replaceChildren(h("div", { class: "empty" }, empty()));
      }
      putView();
      slider.value = least;
      byId("threshold-box").style.setProperty("--color", about.color);
      bars.draw(peaks.items.map(({ score }) => score), least);
      redraw();
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
      app.plate?.threshold(least);
      redraw();
      map.draw();
      bars.above(least);
      count();
    });
    slider.addEventListener("change", () => { told = least; clearTimeout(timer); timer = setTimeout(tell, WAIT_MS); });
    window.addEventListener("pagehide", () => { if (told !== null) tell(); });

    const accept = () => { if (!byId("accept").disabled) send("accept", { name: about.name }); };
    byId("accept").addEventListener("click", accept);
    app.key("a", "accept the class", () => { picking.clear(); still.now(); accept(); });

    app.ready(() => {
      source()?.properties.data.change.connect(() => still.soon());
      still.now();
    });

    return {
      about(value) {
        const isOther = value?.name !== about?.name;
        about = value;
        const wanted = about?.threshold ?? about?.suggested ?? 1;
        if (isOther || told === null || told === wanted) { told = null; least = wanted; }
        app.plate?.threshold(least);
        if (isOther) peaks.forget();
        findSaid();
        drawAll();
      if (isOther) show(["ask", "map"].includes(view) ? view : "all"); else still.soon();
      },
      classes(value) { classes = value; judging.classes(value); still.soon(); },
      questions(value) { questions = value; still.soon(); },
      marks(value) { marks = value; findSaid(); drawMarks(); },
      progress(value) { progress = value; drawAll(); },
      map() { map.take(); still.now(); },
    };
  });
})();
