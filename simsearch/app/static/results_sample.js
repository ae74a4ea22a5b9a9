// How right a run is: a random sample, one picture after the other. The other half is components/results/sample.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill, results } = app;
  const { swatch, number } = results;
  const FIRST = 20; // places of each class
  const AROUND = 1.6; // of a patch's longer side: what is seen, so that one sees what is beside

  app.island("sample", (send) => {
    let sample = null; // null until it was read
    let asked = null; // the run whose sample was asked for
    let at = 0; // which place is looked at
    let drawing = false; // a sample is being drawn
    const told = new Map(); // answers on their way, by place: what comes back meanwhile may be older
    const skipped = new Set();
    const isShown = () => Boolean(document.querySelector(".view-sample"));
    const places = () => sample?.places ?? []; // none of one that cannot be read
    const isOpen = (place, index) => place.right === null && !skipped.has(index) && place.place !== null;

    /** The next one without an answer, from one on; the same if there is none. */
    function nextOpen(from) {
      const all = places();
      for (let step = 0; step < all.length; step += 1) {
        const index = (from + step) % all.length;
        if (isOpen(all[index], index)) return index;
      }
      return from;
    }

    function answer(right) {
      const place = places()[at];
      if (!place || !isShown() || place.place === null) return false;
      place.right = place.right === right ? null : right;
      skipped.delete(at);
      told.set(at, place.right);
      send("answer", { image: place.image, class: place.class, y: place.y, x: place.x, right: place.right });
      at = nextOpen(at);
      results.draw();
      return true;
    }
    function skip() {
      const place = places()[at];
      if (!place || !isShown()) return false;
      if (place.right === null) skipped.add(at);
      const next = nextOpen(at);
      at = next === at ? (at + 1) % places().length : next;
      results.draw();
      return true;
    }
    function step(by) {
      if (!isShown() || !places().length) return false;
      at = (at + by + places().length) % places().length;
      results.draw();
      return true;
    }
    function draw(n) {
      drawing = true;
      send("draw", { n });
      results.draw();
    }
    const again = () => { asked = null; results.draw(); };

    const seen = (place) => Math.round(AROUND * Math.max(place.height, place.width)); // addresses take few digits
    function picture(place) {
      const side = seen(place);
      return results.crop.replace("{I}", place.place).replace("{Y}", place.y).replace("{X}", place.x).replace("{H}", side).replace("{W}", side);
    }
    const share = (value, side) => `${(100 * value) / side}%`;
    function framed(place) {
      const side = seen(place);
      return h("div", { class: "sample-picture" },
        place.place === null ? h("p", { class: "quiet" }, "This image is not in the study: judge it in sample.csv.") : h("img", { src: picture(place).replace(/side=\d+/, "side=320"), alt: `${place.class} in ${place.image}` }),
        place.place === null ? null : h("span", { class: "sample-frame", style: { width: share(place.width, side), height: share(place.height, side) } }));
    }

    const percent = (value) => `${Math.round(100 * value)} %`;
    const bounded = (values, write) => (values ? [h("strong", { class: "number" }, write(values[1])), h("span", { class: "small quiet number" }, ` ${write(values[0])} – ${write(values[2])}`)] : h("span", { class: "quiet" }, "not known yet"));
    function table() {
      const count = (value) => number(Math.round(value));
      const heads = [["Class"], ["Found", "Objects above the threshold", "number"], ["Judged", null, "number"], ["Precision", "Of what was found, how much is right"], ["Recall", "Of what is right and has any place, how much was found"], ["There are", "How many there are in all images, found or not"]];
      return h("table", { class: "sample-table" },
        h("caption", { class: "small quiet" }, "Of all images, not of those that were asked alone. The range covers the truth nine times in ten."),
        h("thead", {}, h("tr", {}, heads.map(([words, title, kind]) => h("th", { title, class: kind }, words)))),
        h("tbody", {}, sample.classes.map((each) => h("tr", {}, h("td", {}, swatch(each.name), " ", each.name), h("td", { class: "number" }, number(each.found)),
          h("td", { class: "number" }, `${each.judged} of ${each.judged + each.open}`), h("td", {}, bounded(each.precision, percent)), h("td", {}, bounded(each.recall, percent)), h("td", {}, bounded(each.total, count))))));
    }

    const mark = (place) => (place.right === null ? null : icon(place.right ? "check" : "close"));
    function thumbnail(place, index) {
      const words = `${index + 1}: ${place.class}${place.right === null ? "" : place.right ? ", right" : ", wrong"}`;
      return h("button", { type: "button", class: `sample-thumb ${place.right === null ? "" : place.right ? "is-right" : "is-wrong"}`, "aria-label": words, "aria-current": index === at ? "true" : null, onclick: () => { at = index; results.draw(); } },
        place.place === null ? h("span", {}, "–") : h("img", { src: picture(place), alt: "", loading: "lazy" }), mark(place));
    }

    function question() {
      const place = places()[at];
      const { run } = results;
      const n = places().filter((each) => each.right !== null).length;
      const press = (value) => String(place.right === value);
      return h("div", { class: "sample-ask" }, framed(place),
        h("div", { class: "sample-words" },
          h("p", { class: "small quiet", role: "status" }, `${at + 1} of ${places().length} · ${n} answered`),
          h("h3", {}, "Is this ", swatch(place.class), ` “${place.class}”?`),
          h("div", { class: "sample-answers" },
            h("button", { type: "button", "aria-pressed": press(true), disabled: place.place === null, onclick: () => answer(true) }, icon("check"), "Yes", h("kbd", {}, "Y")),
            h("button", { type: "button", "aria-pressed": press(false), disabled: place.place === null, onclick: () => answer(false) }, icon("close"), "No", h("kbd", {}, "X")),
            h("button", { type: "button", class: "small", onclick: skip }, "Cannot tell", h("kbd", {}, "S"))),
          h("p", { class: "small quiet" }, place.image, " ", place.place === null || !run ? null : h("button", { type: "button", class: "small", onclick: () => app.where.go({ image: place.image, y: place.y, x: place.x, of: place.class }) }, "Show in its image"))));
    }

    results.views.sample = () => {
      const { run } = results;
      if (asked !== run.id) {
        asked = run.id;
        sample = null;
        at = 0;
        send("open");
      }
      if (sample?.problem) return h("div", { class: "empty" }, icon("warning"), h("h2", {}, "The sample cannot be read"), h("p", {}, sample.problem), h("button", { type: "button", onclick: again }, "Try again"));
      if (!sample || sample.run !== run.id) return h("div", { class: "empty" }, h("span", { class: "spinner" }));
      const begin = (n, words) => h("button", { type: "button", id: "sample-draw", class: places().length ? "small" : "primary", disabled: drawing, onclick: () => draw(n) }, drawing ? "Drawing …" : words);
      if (!places().length) {
        return h("div", { class: "empty" }, icon("spread"), h("h2", {}, "How right is this?"),
          h("p", {}, `Look at ${FIRST} places of each class, chosen at random from all images: half of them objects, half that were not sure enough. From your answers follow precision, recall and how many there are.`), begin(FIRST, "Draw a sample"));
      }
      const most = Math.max(...sample.classes.map((each) => each.judged + each.open));
      const isDone = !places().some(isOpen);
      return h("div", { class: "sample-view" }, table(), sample.notes.map((note) => h("p", { class: "small quiet" }, note)), question(),
        isDone ? h("p", { class: "small" }, "All are judged. ", sample.more ? [begin(most + FIRST, `Ask about ${FIRST} more of each class`), " narrows the ranges."] : "There is nothing more to ask.") : null,
        h("div", { class: "sample-thumbs" }, places().map(thumbnail)));
    };

    if (results.run) results.draw(); // it waits for this view

    app.key("y", "", () => answer(true));
    app.key("x", "", () => answer(false));
    app.key("s", "in a sample: cannot tell", skip);
    app.key("j", "", () => step(1));
    app.key("k", "", () => step(-1));

    return {
      sample(value) {
        drawing = false;
        if (value && value.places.length && !sample?.places.length) at = 0;
        sample = value;
        if (!value) { asked = null; told.clear(); skipped.clear(); return; }
        for (const [index, right] of told) {
          if (places()[index]?.right === right) told.delete(index);
          else if (places()[index]) places()[index].right = right;
        }
        if (places().length && !isOpen(places()[at] ?? {}, at)) at = nextOpen(Math.min(at, places().length - 1));
        if (results.run && isShown()) results.draw();
      },
    };
  });
})();
