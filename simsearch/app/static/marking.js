// What is drawn in the image, and what is done to what is selected there. The other half is components/marking.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill, plural } = app;
  const CLICK_PX = 6; // a press that moves less is a click, and a box has such sides at least, on the screen
  const BOX_PX = 4; // and in the image
  const TWICE_MS = 350; // after a click, one at the same place is the second of a double click
  const BACK_MS = 250; // after the window was elsewhere, a click only comes back to it
  const NUDGE_MS = 400; // after the last arrow key, a box has come to rest
  const LEAST_PX = 8; // of a side of a box
  const FREE = [64, 64]; // of the first box of a class that is drawn with keys
  const DIGITS = [..."123456789"];
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const TOOLS = [
    ["box", "Box", "box", "Draw boxes of the class (T for the next tool)"],
    ["no", "Not it", "close", "Click what is not of the class, anywhere in the image (T for the next tool)"],
    ["background", "Background", "spread", "Click what is of no class (T for the next tool)"],
    ["region", "Region", "full", "Drag over a part of the image to run and count in (T for the next tool)"],
  ];

  app.island("marking", (send) => {
    const bar = document.getElementById("marking");
    let [classes, sizes] = [[], {}];
    let tool = "box";
    let selected = null; // kind, id, class, place and size, of a mark or a region ("found")
    let asked = null; // the size that a box would have, if that is to be said of many
    let wanted = null; // id of a box that is to be selected as soon as it is shown
    let free = FREE;
    let [frame, marks, nudging, regions] = [null, null, null, null];

    const active = () => app.viewer.activeClass?.() ?? null;
    const classOf = (name) => classes.find((each) => each.name === name);
    const color = (name) => classOf(name)?.color ?? "#9aa0a6";
    const swatch = (name) => h("span", { class: "swatch", style: { "--color": color(name) } });
    const size = ({ height, width }) => `${Number(height.toFixed(1))} × ${Number(width.toFixed(1))} px`;
    const isBox = () => selected?.kind === "prototype";
    const where = ({ y, x }) => `row ${Math.round(y)}, column ${Math.round(x)}`;

    // What there is in the image

    /** Marks that are drawn, as they are selected. */
    function drawnMarks() {
      const { x, y, height, width, kind, id, class: of } = marks.data;
      return app.viewer.marksShown(marks.data).map((row) => ({ kind: kind[row], id: id[row], class: of[row], y: -y[row] - 0.5, x: x[row] - 0.5, height: height[row], width: width[row] }));
    }
    const distance = (each, at) => Math.hypot(at.x - each.x - 0.5, -at.y - each.y - 0.5);
    const found = (region) => region && { ...region, kind: region.isFlagged ? "flagged" : "found", class: region.name };
    /** The nearest of what is drawn around a place; else what is like a class there, and has no frame. */
    function thingAt(at) {
      const around = drawnMarks().filter((each) => Math.abs(at.x - each.x - 0.5) <= each.width / 2 && Math.abs(-at.y - each.y - 0.5) <= each.height / 2);
      const mark = around.sort((a, b) => distance(a, at) - distance(b, at))[0];
      const region = found(app.viewer.regionAt(at));
      if (mark && (!region || region.isOwn || region.isFlagged || distance(mark, at) <= distance(region, at))) return mark;
      if (region && !region.isFlagged) return region;
      const below = app.viewer.regionAt(at, true);
      return below && !below.isOwn && !below.isFlagged ? { ...found(below), isBelow: true } : null;
    }
    function wordsAt(at) {
      const thing = thingAt(at);
      if (!thing) return "";
      return { prototype: `Box of ${thing.class}`, confirmed: `Confirmed ${thing.class}`, negative: `Not ${thing.class}`, background: "Background" }[thing.kind] ?? `Like ${thing.class}, similarity ${thing.score?.toFixed(2) ?? ""}`;
    }

    // Selecting

    function select(thing) {
      settle();
      [selected, asked] = [thing, null];
      app.judge.forgetPointer?.();
      show();
      draw();
    }
    const show = () => frame?.show(selected && { ...selected, ...asked }, isBox(), isBox() && !sizes.is_one);
    const name = (thing) => ({ prototype: `Box of “${thing.class}”`, confirmed: `Confirmed “${thing.class}”`, positive: `Accepted “${thing.class}”`, negative: `Not “${thing.class}”`, background: "Background" }[thing.kind] ?? `Like “${thing.class}”`);

    /** Other marks are drawn: what is selected may be gone, or elsewhere. */
    function follow() {
      const all = drawnMarks();
      const come = wanted && all.find((each) => each.id === wanted);
      if (come) { wanted = null; select(come); return; }
      if (!selected?.id || nudging) return;
      const now = all.find((each) => each.id === selected.id);
      if (!now) { if (!wanted) select(null); return; }
      if (JSON.stringify(now) === JSON.stringify(selected)) return;
      selected = now;
      show();
      draw();
    }

    // Doing

    const place = (thing) => ({ image: app.viewer.imageIndex, y: thing.y, x: thing.x });
    function judge(kind, to, words) {
      app.judge.send(kind, { name: selected.class, to, places: [place(selected)] });
      app.viewer.say(words);
      select(null);
      return true;
    }
    const take = (kind, values, words, thing = selected) => { send(kind, { id: thing.id, ...values }); app.viewer.say(words); };

    function give(to) {
      if (!selected || selected.kind === "background") return false;
      if (isBox()) {
        if (to === selected.class) return true;
        settle();
        wanted = selected.id;
        take("give", { to }, `The box is of “${to}” now. Z takes it back.`);
        return true;
      }
      return judge("assign", to, `This is “${to}”. Z takes it back.`);
    }
    const right = () => (selected && !isBox() && selected.class ? judge("assign", selected.class, `This is “${selected.class}”. Z takes it back.`) : false);
    function wrong() {
      if (!selected) return false;
      if (isBox()) { const gone = selected; nudging = null; select(null); take("remove", {}, `The box of “${gone.class}” is removed. Z brings it back.`, gone); return true; }
      if (selected.kind === "background") { const gone = selected; select(null); take("not_background", {}, "No background any more. Z takes it back.", gone); return true; }
      if (selected.kind === "negative") { toggle(selected); select(null); return true; }
      return judge("refuse", "", `This is no “${selected.class}”. Z takes it back.`);
    }

    /** Say that something is not of its class; or if that was said, that it may be. */
    function toggle(thing) {
      send("toggle", { name: thing.class, ...place(thing) });
      app.viewer.say(thing.kind === "negative" ? `No longer said to be no “${thing.class}”.` : `This is no “${thing.class}”. Z takes it back.`);
    }

    // Moving and resizing

    function settle() {
      if (!nudging) return;
      clearTimeout(nudging.timer);
      const { y, x, id } = nudging;
      nudging = null;
      send("move", { id, y, x });
    }
    /** Take back what keys did, if that is not saved yet. */
    function unmove() {
      if (!nudging) return false;
      clearTimeout(nudging.timer);
      nudging = null;
      follow();
      return true;
    }
    function nudge(event, [rightward, downward]) {
      if (!isBox() || asked || app.drawing.isCross) return false;
      const step = event.shiftKey ? 10 : 1;
      const { y, x } = frame.nudge(downward * step, rightward * step);
      clearTimeout(nudging?.timer);
      nudging = { id: selected.id, y, x, timer: setTimeout(() => { app.viewer.say(`The box is at ${where({ y, x })}.`); settle(); }, NUDGE_MS) };
      selected = { ...selected, y, x };
      draw();
      return true;
    }
    function changed(box, before) {
      if (box.height === before.height && box.width === before.width) {
        selected = { ...selected, y: box.y, x: box.x };
        send("move", { id: selected.id, y: box.y, x: box.x });
        app.viewer.say("The box is moved. Z takes it back.");
        return;
      }
      resize(box);
    }
    /** Resize a box: at once if it is all that there is of its class, as the others get its size. */
    function resize({ y, x, height, width }) {
      settle();
      asked = { y, x, height, width };
      const each = classOf(selected.class);
      if (each && each.n_patches <= 1 && !each.is_accepted) sendSize();
      else { show(); draw(); bar.querySelector(".primary")?.focus(); }
    }
    function sendSize() {
      send("resize", { id: selected.id, ...asked });
      app.viewer.say(`Boxes of “${selected.class}” are ${size(asked)} now. Z takes it back.`);
      selected = { ...selected, ...asked };
      asked = null;
      show();
      draw();
    }
    function keepSize() { asked = null; show(); draw(); }

    // Drawing

    function pick(next) {
      tool = next;
      send("tool", { name: tool });
      if (tool !== "box") select(null);
      drawShape();
      draw();
    }
    /** Of a named region that is drawn with keys: a quarter of the image along each side. */
    const regionShape = () => { const { height, width } = app.viewer.size(); return [height / 4, width / 4]; };
    const boxShape = () => classOf(active())?.shape ?? (sizes.is_one ? sizes.background : null);
    function drawShape() {
      app.drawing.shape = tool === "background" ? sizes.background : tool === "no" ? boxShape() : null;
      app.drawing.draw();
    }
    /** Find a mark of a kind whose middle a place is in: there, it is meant. */
    const markAt = (at, isOf) => drawnMarks().filter(isOf).find((each) => Math.abs(each.x - at.x) <= each.width / 4 && Math.abs(each.y - at.y) <= each.height / 4);
    /** Draw with the tool, or another, where the cross or the pointer is. */
    function put(at, by = tool) {
      if (by === "box") {
        const [height, width] = boxShape() ?? free;
        send("draw", { tool: "box", ...at, height, width });
        app.viewer.say(`A box at ${where(at)}. Z takes it back.`);
      } else if (by === "background") {
        if (!sizes.background) return app.toast("First draw a box: it fixes the size of background too.");
        const there = markAt(at, (each) => each.kind === "background");
        if (there) return void take("not_background", {}, "No background any more. Z takes it back.", there);
        send("draw", { tool: "background", ...at });
        app.viewer.say(`Background at ${where(at)}. Z takes it back.`);
      } else if (by === "region") {
        const [height, width] = regionShape();
        send("draw", { tool: "region", ...at, height, width });
        app.viewer.say(`A named region around ${where(at)}. Z takes it back.`);
      } else no(at);
      return undefined;
    }
    /** Say that there is none of the class at a place, whether something was found there or not. */
    function no(at) {
      if (!boxShape()) return app.toast("First draw a box of the class: there is nothing yet that could be mistaken for it.");
      const point = { x: at.x + 0.5, y: -at.y - 0.5 };
      const negative = markAt(at, (each) => each.kind === "negative" && each.class === active());
      const region = app.viewer.regionAt(point);
      const own = thingAt(point);
      if (negative) toggle(negative);
      else if (own?.kind === "prototype" && own.class === active()) select(own);
      else if (region && !region.isFlagged && region.name === active()) toggle({ ...found(region) });
      else toggle({ kind: "found", class: active(), y: at.y, x: at.x });
      return undefined;
    }

    let [lastClick, cameBack] = [null, 0];
    window.addEventListener("focus", () => { cameBack = performance.now(); });
    /** A click in the image: what is framed of the class does not belong, else what is there is selected. */
    function click(event) {
      const now = performance.now();
      const at = app.viewer.at(event);
      const isTwice = lastClick && now - lastClick.time < TWICE_MS && Math.hypot(event.clientX - lastClick.x, event.clientY - lastClick.y) < CLICK_PX;
      lastClick = { time: now, x: event.clientX, y: event.clientY };
      const { width, height } = app.viewer.size() ?? {};
      if (!at || isTwice || at.x < 0 || at.x > width || at.y > 0 || at.y < -height) return isTwice ? undefined : select(null);
      if (tool === "region") return undefined; // which is dragged
      if (tool !== "box") return now - cameBack < BACK_MS ? undefined : put({ image: app.viewer.imageIndex, y: -at.y - 0.5, x: at.x - 0.5 });
      const thing = thingAt(at);
      const isFramed = thing && thing.class === active() && ((thing.kind === "found" && !thing.isBelow) || thing.kind === "negative");
      if (!isFramed || now - cameBack < BACK_MS) return select(thing);
      select(null);
      return toggle(thing);
    }

    // The bar

    const button = (words, glyph, key, act, props = {}) => h("button", { type: "button", class: "small", onclick: act, ...props }, glyph ? icon(glyph) : null, words, key ? h("kbd", {}, key) : null);
    const tools = TOOLS.map(([id, words, glyph, tip]) => h("button", { type: "button", "data-tool": id, "aria-label": words, "aria-pressed": "false", "data-tip": tip, "data-tip-side": "up", onclick: () => pick(id) }, icon(glyph), h("span", {}, words)));
    const about = h("div", { class: "marking-about" });
    bar.append(h("div", { class: "segmented marking-tools", role: "group", "aria-label": "Draw" }, tools), about);

    function choice() {
      const options = classes.map((each) => h("option", { value: each.name, selected: each.name === selected.class }, each.name));
      return h("select", { "aria-label": "Class", title: "Its class: keys 1 to 9", onchange: (event) => { const to = event.target.value; document.querySelector(".slot-viewer").focus({ preventScroll: true }); give(to); } }, options);
    }
    function side(key, words) {
      const most = app.viewer.size()[key];
      const input = h("input", { type: "number", min: String(LEAST_PX), max: String(most), step: "1", value: String(Math.round(selected[key])), "aria-label": `${words} of the boxes of ${selected.class} in pixels`,
        onchange() {
          const next = Math.round(Number(input.value));
          if (next >= LEAST_PX && next <= most && next !== selected[key]) return resize({ ...selected, [key]: next });
          if (next < LEAST_PX || next > most) app.viewer.say(`${words} of ${LEAST_PX} to ${most} px, please.`);
          input.value = String(Math.round(selected[key]));
          return undefined;
        } });
      return input;
    }
    function aboutSize() {
      const each = classOf(selected.class);
      const many = each?.n_patches > 1 ? `${plural(each.n_boxes, "box has", "boxes have")} one size` : "";
      if (sizes.is_one) return h("span", { class: "quiet small", title: "This study has one patch for all classes (--one-patch): it cannot be resized." }, `${size(selected)}, as all classes`);
      return h("span", { class: "marking-size", title: `Height and width of all boxes of the class: they have one size. ${many}` }, side("height", "Height"), "×", side("width", "Width"), h("span", { class: "quiet small" }, "px"));
    }
    function aboutAsked() {
      const each = classOf(selected.class);
      const others = each.n_boxes > 1 ? `All ${each.n_boxes} boxes of “${each.name}”` : `All that is marked of “${each.name}”`;
      return [h("span", { class: "small marking-words", role: "status" }, `${others} become ${size(asked)}${each.is_accepted ? "; accept the class again then" : ""}.`),
        button("Change all", "check", "", sendSize, { class: "small primary" }), button(`Keep ${size(selected)}`, null, "Esc", keepSize)];
    }
    function aboutSelected() {
      if (asked) return aboutAsked();
      if (isBox()) return [swatch(selected.class), h("strong", { class: "small" }, "Box of"), choice(), aboutSize(), button("Remove", "trash", "Del", wrong)];
      if (selected.kind === "background") return [h("strong", { class: "small" }, "Background"), button("Not background", "close", "Del", wrong)];
      const score = selected.score === undefined ? null : h("span", { class: "quiet small number" }, selected.score.toFixed(2));
      return [swatch(selected.class), h("strong", { class: "small" }, { negative: "Not", confirmed: "Is", positive: "Accepted" }[selected.kind] ?? (selected.isBelow ? "Below threshold:" : "Like")), choice(), score,
        selected.kind === "confirmed" ? null : button("Yes", "check", "Y", right), selected.kind === "negative" ? button("Take back", "undo", "Del", wrong) : button("Not it", "close", "X", wrong)];
    }
    /** The named regions of the image: their names can be changed. */
    function aboutRegions() {
      const image = app.viewer.imageIndex;
      return h("div", { class: "marking-regions" }, [...regions.data.name].map((name) => h("span", { class: "marking-region" },
        h("input", { type: "text", value: name, maxlength: "60", "aria-label": `Name of ${name}`, onchange: (event) => { const to = event.target.value.trim(); if (to && to !== name) send("rename_region", { image, name, new_name: to }); else event.target.value = name; } }),
        h("button", { type: "button", class: "icon", "aria-label": `Remove ${name}`, title: "Remove this region", onclick: () => { send("remove_region", { image, name }); app.viewer.say(`“${name}” is removed. Z brings it back.`); } }, icon("close")))));
    }
    function hint() {
      const each = classOf(active());
      const of = each ? `“${each.name}”` : "what you look for";
      if (tool === "no") return `Click what is no ${of}, framed or not. Esc ends it.`;
      if (tool === "region") return "Drag over a part to run and count in. Esc ends it.";
      if (tool === "background") return "Click what is of no class. Esc ends it.";
      return each?.n_boxes ? "Drag around one more. Click a box of yours to change it." : `Drag around ${of}.`;
    }
    function draw() {
      for (const each of tools) each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
      const focused = about.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent : null;
      bar.classList.toggle("asking", Boolean(asked));
      bar.classList.toggle("busy", Boolean(selected) || tool === "region");
      fill(about, selected ? aboutSelected() : tool === "region" && regions?.data.name.length ? aboutRegions() : h("span", { class: "quiet small marking-words" }, hint()));
      if (focused) [...about.querySelectorAll("button, select, input")].find((each) => (each.getAttribute("aria-label") ?? each.textContent) === focused)?.focus();
      document.querySelector(".slot-viewer")?.classList.toggle("adding", tool !== "box");
    }

    // Keys

    /** Whether keys are about what is selected: not with the pointer over something else. */
    function isMeant() {
      const at = selected && app.viewer.pointerAt?.();
      return Boolean(selected) && (!at || frame.holds(at) || !app.viewer.regionAt(at));
    }
    app.drawing.put = put;
    app.drawing.crossShape = () => (tool === "background" ? sizes.background : tool === "region" ? regionShape() : boxShape() ?? free);
    app.drawing.grow = (factor) => { if (tool !== "box" || boxShape()) return false; free = free.map((each) => Math.max(8, Math.round(each * factor))); return true; };
    app.drawing.words = wordsAt;
    /** Select a box as soon as it is shown. */
    app.marking = { want(id) { if (tool !== "box") pick("box"); wanted = id; follow(); } };

    app.ready((doc) => {
      const host = document.querySelector(".slot-viewer");
      marks = app.model("marks");
      if (!host || !marks) return;
      frame = app.selectedBox(host, changed);
      const figure = doc.get_model_by_name("viewer");
      for (const range of [figure.x_range, figure.y_range]) range.change.connect(frame.draw);
      marks.properties.data.change.connect(follow);
      let before = active();
      marks.change.connect(() => { if (active() !== before) { before = active(); drawShape(); draw(); } });
      window.addEventListener("refused", () => {
        app.viewer.say("");
        if (selected?.id) select(drawnMarks().find((each) => each.id === selected.id) ?? null);
      });
      regions = app.model("regions");
      regions.properties.data.change.connect(draw);
      app.viewer.onView(({ image }) => { if (selected && image !== selected.image && !wanted) { selected.id ? follow() : select(null); } });
      app.viewer.onArrow(nudge);
      let press = null;
      host.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        settle();
        press = event;
        if (isBox() && !asked && frame.take(event)) { press = null; event.preventDefault(); event.stopImmediatePropagation(); }
      }, true);
      window.addEventListener("pointerup", (event) => {
        const began = press;
        press = null;
        if (!began) return;
        const [dx, dy] = [event.clientX - began.clientX, event.clientY - began.clientY].map(Math.abs);
        if (Math.hypot(dx, dy) < CLICK_PX) click(event);
        else if (["box", "region"].includes(tool) && Math.min(dx, dy) < Math.max(CLICK_PX, BOX_PX / app.viewer.scale())) app.viewer.say("That is too small. Drag over more, or zoom in.");
      }, true);
      document.addEventListener("keydown", (event) => { if (nudging && !(event.key in ARROWS) && event.key !== "Shift" && event.key.toLowerCase() !== "z") settle(); }, true);
      window.addEventListener("pagehide", settle);

      app.key("t", "next tool: box, not of the class, background, named region", () => pick(TOOLS[(TOOLS.findIndex(([id]) => id === tool) + 1) % TOOLS.length][0]));
      app.key("b", "take the place of the pointer, or of the cross, for background", () => { const at = (app.drawing.isCross || app.viewer.pointerAt()) && app.drawing.place(); if (!at) return false; put(at, "background"); return true; });
      app.key(Object.keys(ARROWS).flatMap((key) => [key, `shift+${key}`]), "", (event) => nudge(event, ARROWS[event.key]));
      app.key(["z", "ctrl+z"], "", unmove);
      app.gesture("Arrow keys, with Shift by 10 px", "move the box that is selected; drag it, or a handle, to move or resize it");
      app.key(["Delete", "Backspace"], "remove the box that is selected; what is selected does not belong", () => (selected ? wrong() : false));
      app.key(DIGITS, "", (event) => { const each = classes[Number(event.key) - 1]; return each && isMeant() ? give(each.name) : false; });
      app.key("y", "", () => (isMeant() ? right() : false));
      app.key("x", "", () => {
        if (app.drawing.isCross) { put(app.drawing.place(), "no"); return true; }
        return isMeant() && !isBox() ? wrong() : false;
      });
      app.key("Escape", "", () => {
        if (asked) { keepSize(); return true; }
        if (app.drawing.leave()) return true;
        if (selected) { select(null); return true; }
        if (tool !== "box") { pick("box"); return true; }
        return false;
      });
      draw();
    });

    return {
      classes(value) { classes = value; drawShape(); draw(); },
      sizes(value) { sizes = value; drawShape(); show(); draw(); },
    };
  });
})();
