// What is drawn over the image of a viewer: classes are hidden, faded, or all put aside while a key is held.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const KEY = "h"; // held, to see the bare image

  const { hidden: hiddenBefore = [], fades: fadesBefore = {} } = app.remember("layers") ?? {};
  const hidden = new Set(hiddenBefore); // keys of layers
  const fades = new Map(Object.entries(fadesBefore)); // by key: share of the opacity
  const HEAT_COLORS = ["#000004", "#420a68", "#932667", "#dd513a", "#fca50a", "#fcffa4"];
  const HEAT = { key: "heat", name: "Similarity map", color: "#e45a31" };
  let [found, heatOf, isBare, told] = [[], null, false, "[]"]; // what the server says is drawn
  let [marks, panel] = [null, null];
  let tell = () => {};

  const fade = (key) => fades.get(key) ?? 1;
  const isHidden = (key) => isBare || hidden.has(key);

  const legendName = h("strong", {});
  const legend = h("div", { class: "viewer-legend", hidden: true }, h("span", {}, "0"), h("span", { class: "legend-scale", style: { background: `linear-gradient(90deg, ${HEAT_COLORS})` } }), h("span", {}, "1"), h("span", { class: "legend-of" }, "similar to ", legendName));

  const renderers = () => app.model("viewer")?.renderers ?? [];
  /** Say to Bokeh alone how boxes look: the server need not know. */
  const look = (model, values) => model.setv(values, { sync: false });

  const named = (key) => renderers().find((each) => each.data_source?.name === key);
  function apply() {
    for (const { key, inside } of found) {
      const renderer = named(key);
      if (!renderer) continue;
      look(renderer, { visible: !isHidden(key) });
      look(renderer.glyph, { line_alpha: { value: fade(key) }, fill_alpha: { value: inside * fade(key) } });
    }
    const [heat, drawn] = [named(HEAT.key), named("marks")];
    if (drawn) look(drawn, { visible: !isBare });
    if (heat) {
      look(heat, { visible: !isHidden(HEAT.key) });
      look(heat.glyph, { global_alpha: { value: fade(HEAT.key) } });
      legend.hidden = heatOf === null || isHidden(HEAT.key);
    }
    app.viewer.density.draw();
    app.viewer.tellUnseen();
  }

  /** What cannot be seen cannot be clicked: the server leaves it out. */
  function tellUnseen() {
    const unseen = JSON.stringify(found.map(({ key }) => key).filter((key) => hidden.has(key) || app.viewer.density.has(key)));
    if (unseen !== told) tell(JSON.parse(told = unseen));
  }

  function change() {
    app.remember("layers", { hidden: [...hidden], fades: Object.fromEntries(fades) });
    apply();
    marks?.change.emit();
  }

  function row({ key, name, color, is_compared: isCompared }) {
    const words = isCompared ? `${name}, other run` : name;
    const isOff = hidden.has(key);
    return h("div", { class: `layer${isOff ? " off" : ""}` },
      h("button", { class: "icon", type: "button", "aria-pressed": String(!isOff), "aria-label": `Show ${words}`, title: isOff ? "Show" : "Hide", onclick: () => { if (isOff) hidden.delete(key); else hidden.add(key); change(); draw(); } }, icon(isOff ? "hidden" : "eye")),
      h("span", { class: "swatch", style: { "--color": color } }),
      h("span", { class: "layer-name", title: words }, words),
      h("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: String(fade(key)), disabled: isOff, "aria-label": `Opacity of ${words}`, style: { "--fill": `${(100 * (fade(key) - 0.1)) / 0.9}%` },
        oninput: ({ target }) => { target.style.setProperty("--fill", `${(100 * (target.value - 0.1)) / 0.9}%`); fades.set(key, Number(target.value)); change(); } }));
  }
  function draw() {
    if (!panel) return;
    const focused = panel.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    const layers = heatOf === null ? found : [...found, HEAT];
    panel.replaceChildren(...(layers.length ? layers.map(row) : [h("p", { class: "quiet small" }, "Nothing is found yet.")]),
      h("p", { class: "quiet small layer-hint" }, "Hold ", h("kbd", {}, "H"), " to see the bare image."));
    if (focused) panel.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  Object.assign(app.viewer, {
    /** Choose rows of marks that are drawn: negatives only of the class that one works on. */
    marksShown({ kind, class: names }) {
      const active = app.viewer.activeClass?.() ?? null;
      return [...kind.keys()].filter((row) => !hidden.has(`peaks:${names[row]}`) && (kind[row] !== "negative" || active === null || names[row] === active));
    },
    /** Call when another class is worked on. */
    activeChanged: () => marks?.change.emit(),
    tellUnseen,
    isUnseen: (key) => isHidden(key) || app.viewer.density.has(key),
    fadeOf: fade,
    isHidden,
    /** The choice of layers; send(kind, values) tells the server. Gives { element, draw(layers) }. */
    layerChoice(send) {
      const fold = app.fold({ id: "viewer-layers", label: [icon("layers"), "Layers"], tip: "Show, hide and fade what is drawn" });
      fold.panel.classList.add("layer-list");
      panel = fold.panel;
      tell = (keys) => send("unseen", { keys });
      draw();
      return {
        element: fold.element,
        draw(value) { found = value; draw(); apply(); },
        heat(name) { heatOf = name; legendName.textContent = name ?? ""; draw(); apply(); },
      };
    },
    layers: () => found,
    /** What the similarity map that is seen means: { name, colors }; null where none is. */
    legend: () => (legend.hidden ? null : { name: heatOf, colors: HEAT_COLORS }),
  });

  app.ready(() => {
    marks = app.model("marks");
    if (!marks) return;
    document.querySelector(".viewer-stage")?.append(legend);
    const bare = (is) => { if (isBare !== is) { isBare = is; apply(); } };
    app.key(KEY, "held: the bare image", () => bare(true));
    window.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === KEY) bare(false); });
    window.addEventListener("blur", () => bare(false));
    apply();
    marks.change.emit();
  });
})();
