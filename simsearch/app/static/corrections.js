// Below a viewer: whether what a model found is right, and what it missed. The other half is components/corrections.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill } = app;
  const byId = (id) => document.getElementById(id);
  const DIGITS = [..."123456789"];

  /**
   * chosen: the object that is pointed out. Pages may set step(n), which chooses the next one and tells whether it did;
   * under(), the object under the pointer outside the image; onChosen().
   */
  const corrections = app.corrections = { chosen: null, step: null, under: () => null, onChosen: () => {}, leave: () => {} };

  app.island("corrections", (send) => {
    let classes = [];
    let judged = null;
    let missing = null; // name of the class of which each click adds one
    const box = byId("corrections");

    app.judge = { send, get isMissing() { return missing !== null; } };
    app.viewer.classes = () => classes.map((each) => each.name);
    app.viewer.activeClass = () => missing;
    corrections.leave = () => send("leave");

    const classOf = (name) => classes.find((each) => each.name === name);
    const swatch = (name) => h("span", { class: "swatch", style: { "--color": classOf(name)?.color ?? "#9aa0a6" } });

    /** What is meant: the object under the pointer, or the one that is pointed out. */
    const meant = () => corrections.under() ?? corrections.chosen;
    function say(kind, to, object = meant()) {
      if (!object) return false;
      if (!classOf(object.class)) app.toast(`The study has no class “${object.class}” any more. Add it on Regions, under this name, to judge what was found.`);
      else send(kind, { name: object.class, to, places: [object.place] });
      return true;
    }
    const right = (object) => say("assign", (object ?? meant())?.class, object);
    const wrong = (object) => say("refuse", "", object);

    // Clicks and keys that add what was missed

    function miss(name) {
      missing = missing === null ? name ?? classes[0]?.name ?? null : name ?? null;
      app.drawing.shape = missing === null ? null : classOf(missing)?.shape;
      send("missing", { name: missing });
      document.querySelector(".slot-viewer")?.classList.toggle("adding", missing !== null);
      draw();
    }

    const button = (words, glyph, key, act, isPressed, title) => h("button", { type: "button", class: "small", title, "aria-label": words ? null : title, "aria-pressed": isPressed === undefined ? null : String(isPressed), onclick: act }, glyph ? icon(glyph) : null, words, key ? h("kbd", {}, key) : null);
    const classButton = (each, act, isPressed) => h("button", { type: "button", class: "small", "aria-pressed": isPressed === undefined ? null : String(isPressed), onclick: act }, h("span", { class: "swatch", style: { "--color": each.color } }), each.name, classes.indexOf(each) < 9 ? h("kbd", {}, classes.indexOf(each) + 1) : null);

    function said({ said: is, to }) {
      if (to) return h("span", { class: "chip busy" }, swatch(to), `said to be ${to}`);
      if (is === "right") return h("span", { class: "chip good" }, icon("check"), "right");
      return is === "wrong" ? h("span", { class: "chip bad" }, icon("close"), "wrong") : null;
    }

    function aboutChosen() {
      const { chosen } = corrections;
      if (!chosen) return [h("span", { class: "quiet small" }, "Click a box, or point at one: ", h("kbd", {}, "Y"), " right, ", h("kbd", {}, "X"), " wrong, ", h("kbd", {}, "1"), "–", h("kbd", {}, "9"), " of another class.")];
      const others = classes.filter((each) => each.name !== chosen.class);
      return [
        h("strong", { class: "chosen-class" }, swatch(chosen.class), chosen.class, chosen.score === null ? "" : h("span", { class: "quiet number" }, chosen.score.toFixed(2))),
        h("span", { class: "segmented", role: "group", "aria-label": "Is it right?" },
          button("Right", "check", "Y", () => right(chosen), chosen.said === "right"), button("Wrong", "close", "X", () => wrong(chosen), chosen.said === "wrong" && !chosen.to)),
        others.length ? h("span", { class: "chosen-others", role: "group", "aria-label": "It is of class" }, h("span", { class: "quiet small" }, "It is"), others.map((each) => classButton(each, () => say("assign", each.name, chosen), chosen.to === each.name))) : null,
        said(chosen)];
    }

    function aboutMissing() {
      return [h("span", { class: "small", role: "status" }, "Click each one that was missed. It is of class"),
        h("span", { class: "segmented", role: "group", "aria-label": "Class of what was missed" }, classes.map((each) => classButton(each, () => miss(each.name), each.name === missing))),
        button("Done", null, "Esc", () => miss(null))];
    }

    function draw() {
      const key = box.contains(document.activeElement) ? document.activeElement.textContent : null;
      fill(box,
        h("div", { class: "corrections-main" }, missing === null ? aboutChosen() : aboutMissing()),
        h("div", { class: "corrections-tools" },
          corrections.step ? h("span", { class: "segmented", role: "group", "aria-label": "Objects of the table" },
            button("", "left", "K", () => corrections.step(-1), undefined, "Object before"), button("", "right", "J", () => corrections.step(1), undefined, "Next object")) : null,
          missing === null ? button("Add missed", "plus", "M", () => miss(), undefined, "Say where there is one that was not found") : null,
          judged ? h("span", { class: "small quiet", role: "status" }, `${app.plural(judged, "region")} judged since`) : null,
          judged ? h("a", { class: "button small primary", href: app.address("train") }, "Train again") : null));
      if (key) [...box.querySelectorAll("button")].find((each) => each.textContent === key)?.focus();
    }

    app.key(DIGITS, "the object under the pointer, or the one that is pointed out, is of that class", (event) => {
      const each = classes[Number(event.key) - 1];
      if (!each) return false;
      if (missing !== null) miss(each.name);
      else return say("assign", each.name);
      return true;
    });
    app.key("y", "it is right", () => right());
    app.key("x", "it is wrong", () => wrong());
    app.key("j", "next object", () => (corrections.step ? corrections.step(1) : false));
    app.key("k", "object before", () => (corrections.step ? corrections.step(-1) : false));
    app.key("m", "add what was missed, with clicks", () => miss(missing === null ? undefined : null));
    app.key("b", "add one under the pointer, or in the middle of the image", () => missing !== null && app.drawing.take((place) => send("miss", { to: missing, places: [place] })));
    app.key("Escape", "", () => { if (missing === null) return false; miss(null); return true; });

    return {
      classes(value) { classes = value; if (missing !== null && !classOf(missing)) miss(null); else draw(); },
      chosen(value) { corrections.chosen = value; app.judge.forgetPointer?.(); draw(); corrections.onChosen(); },
      judged(value) { judged = value; draw(); },
    };
  });
})();
