// All wells of the plates, coloured by how many places are like the active class. The other half is components/plate_panel.py.
(() => {
  const app = window.simsearch;
  const { h, plural } = app;
  const byId = (id) => document.getElementById(id);
  const gigabytes = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(n / 1e6))} MB`);

  app.island("plate", (send) => {
    let plates = [];
    let state = null;
    let shown = null;
    let least = 1;
    let chosen = null;
    let waits = 0;

    const toggle = byId("plate-toggle");
    const panel = byId("plate-panel");
    const isOpen = () => !panel.hidden;

    function open(on) {
      panel.hidden = !on;
      toggle.setAttribute("aria-pressed", String(on));
      app.remember("plate", on);
      send("open", { on });
      draw();
    }
    toggle.addEventListener("click", () => open(!isOpen()));

    /** The gallery says where the threshold is, while it moves too. */
    app.plate = { threshold(value) { if (value !== least) { least = value; soon(); } } };

    function soon() {
      if (isOpen() && !waits) waits = requestAnimationFrame(() => { waits = 0; draw(); });
    }

    /** Number of places of a well that reach the threshold; null where no image of it was looked at. */
    function above(well, counts) {
      if (!shown?.has || !shown.n_seen[well]) return null;
      const step = Math.min(shown.n_steps, Math.max(0, Math.ceil(least * shown.n_steps - 1e-6)));
      return counts[well * (shown.n_steps + 1) + step];
    }

    function ask() {
      if (!state?.n_unseen && !state?.is_indexing) return null;
      if (state.is_indexing) return h("p", { class: "small quiet plate-ask", role: "status" }, h("span", { class: "spinner" }), state.total ? `Looking at images: ${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")}` : "Looking at images …");
      return h("p", { class: "small plate-ask" },
        h("button", { class: "small primary", id: "plate-index", type: "button", onclick: () => send("index") }, "Look at the whole plate"),
        `${plural(state.n_unseen, "image")} of ${state.n_images.toLocaleString("en")} not looked at yet. Done once by the workers; takes ${gigabytes(state.unseen_bytes)} of disk.`);
    }

    function words(total) {
      if (state?.state === "failed") return state.message;
      if (!shown?.name) return "Choose a class.";
      if (!shown.has) return state?.state === "computing" ? "Looking …" : `Draw a box around one “${shown.name}”.`;
      return `${plural(total, "place")} like “${shown.name}” of similarity at least ${least.toFixed(3).replace(/0$/, "")}`;
    }

    function draw() {
      if (!isOpen()) return;
      const counts = app.model("plate_counts")?.data.n ?? [];
      let [total, first] = [0, 0];
      const maps = plates.map((plate) => {
        const start = first;
        first += plate.wells.length;
        const number = new Map(plate.wells.map((well, at) => [well, start + at]));
        for (const well of plate.wells) total += above(number.get(well), counts) ?? 0;
        return h("section", {}, plates.length > 1 ? h("h3", {}, plate.name) : null, app.plateMap({
          wells: plate.wells,
          value: (well) => above(number.get(well), counts),
          write: (n) => n.toLocaleString("en"),
          tell: (well, n) => `${well.well}: ${n === null ? (shown?.has ? "not looked at" : "nothing drawn yet") : plural(n, "place")}`,
          chosen,
          act: (well) => { chosen = well.well; send("visit", { well: number.get(well), least }); draw(); },
        }));
      });
      const focus = panel.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      app.fill(byId("plate-area"), ask(), h("p", { class: "small quiet", id: "plate-words", role: "status" }, state?.state === "computing" ? h("span", { class: "spinner" }) : null, words(total)), maps);
      if (focus) [...panel.querySelectorAll("button")].find((button) => button.getAttribute("aria-label")?.split(":")[0] === focus.split(":")[0])?.focus();
    }

    app.ready(() => {
      app.model("plate_counts")?.properties.data.change.connect(soon);
      if (plates.length && app.remember("plate")) open(true);
    });

    return {
      plates(value) { plates = value; toggle.hidden = !plates.length; draw(); },
      state(value) { state = value; soon(); },
      shown(value) { shown = value; soon(); },
    };
  });
})();
