// The list of classes. The other half is components/class_list.py.
(() => {
  const app = window.simsearch;
  const { h, icon, plural } = app;
  const byId = (id) => document.getElementById(id);

  app.island("classes", (send) => {
    let classes = [];
    let palette = [];
    let active = null;
    let prototypes = { of: {}, crops: {} };
    let editing = null;
    let recoloring = null;
    let isFirst = true;

    const add = () => send("add");
    byId("add-class").append(icon("plus"), "Add");
    byId("add-class").addEventListener("click", add);

    function activate(name) {
      if (name === active) return;
      active = name; // drawn at once; the server follows
      app.remember("class", name);
      app.viewer.activeChanged();
      send("activate", { name });
      draw();
    }
    app.viewer.activeClass = () => active;
    app.viewer.classes = () => classes.map((each) => each.name);

    function rename(name, input) {
      if (editing === null) return;
      editing = null;
      const wanted = input.value.trim();
      if (wanted && wanted !== name) send("rename", { name, new_name: wanted });
      draw();
    }

    function nameOf(each) {
      if (editing !== each.name) {
        return h("span", { class: "class-name", title: `${each.name}: double-click to rename`, ondblclick: () => { editing = each.name; draw(); } }, each.name);
      }
      const input = h("input", { type: "text", value: each.name, maxlength: "60", "aria-label": "Name of the class",
        onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Enter") rename(each.name, input);
          if (event.key === "Escape") { editing = null; draw(); }
        },
        onblur: () => rename(each.name, input) });
      queueMicrotask(() => { input.focus(); input.select(); });
      return input;
    }

    function colors(each) {
      return h("div", { class: "palette", role: "group", "aria-label": "Colour" }, palette.map((color) =>
        h("button", { type: "button", "aria-label": color, "aria-pressed": color === each.color, style: { "--color": color },
          onclick: () => { recoloring = null; if (color !== each.color) send("recolor", { name: each.name, color }); draw(); } })),
      h("input", { type: "color", value: each.color, "aria-label": "Any colour", title: "Any colour", onchange: (event) => { recoloring = null; send("recolor", { name: each.name, color: event.target.value }); } }));
    }

    function counts(each) {
      if (!each.n_prototypes) return "draw a box around one";
      const words = [`${plural(each.n_prototypes, "box", "boxes")} of ${each.shape.map((side) => Number(side.toFixed(1))).join(" × ")} px`];
      if (each.n_confirmed) words.push(`${each.n_confirmed.toLocaleString("en")} yes`);
      if (each.n_negatives) words.push(`${each.n_negatives.toLocaleString("en")} no`);
      return words.join(" · ");
    }

    function boxes(each) {
      const all = prototypes.of[each.name] ?? [];
      const crop = prototypes.crops[each.name];
      if (!all.length || !crop) return null;
      return h("div", { class: "prototypes" }, all.map((patch) => h("div", { class: "prototype" },
        h("button", { type: "button", "aria-label": "Show this box in its image", title: "Show in its image", onclick: () => { app.marking?.want(patch.id); send("visit", { id: patch.id }); } },
          h("img", { src: crop.replace("{I}", patch.image).replace("{Y}", patch.y).replace("{X}", patch.x), alt: "", decoding: "async" })),
        h("button", { class: "remove", type: "button", "aria-label": "Remove this box", title: "Remove this box", onclick: () => send("remove_prototype", { name: each.name, id: patch.id }) }, icon("close")))));
    }

    function row(each, index) {
      const isActive = each.name === active;
      return h("div", { class: `class-row${isActive ? " active" : ""}`, style: { "--color": each.color } },
        h("div", { class: "class-head", onclick: (event) => { if (!event.target.closest("button, input")) activate(each.name); } },
          h("button", { class: "class-color", type: "button", "aria-label": `Colour of ${each.name}`, title: "Another colour", onclick: () => { recoloring = recoloring === each.name ? null : each.name; draw(); } }),
          h("button", { class: "class-choose", type: "button", "aria-pressed": isActive, onclick: () => activate(each.name) },
            editing === each.name ? "" : nameOf(each), h("span", { class: "small quiet", title: `${plural(each.n_prototypes, "box", "boxes")}, ${plural(each.n_confirmed, "region")} confirmed one by one, ${plural(each.n_negatives, "negative")}` }, counts(each))),
          editing === each.name ? nameOf(each) : null,
          each.is_accepted ? h("span", { class: "chip good", title: `${plural(each.n_positives, "region")} accepted${each.n_changes ? `; ${plural(each.n_changes, "change")} of boxes since: accept again to take what they find` : ""}` }, icon("check"), each.n_positives.toLocaleString("en"), each.n_changes ? ` +${each.n_changes}` : null) : null,
          h("kbd", {}, index < 9 ? index + 1 : "")),
        recoloring === each.name ? colors(each) : null,
        isActive ? boxes(each) : null,
        isActive ? h("div", { class: "class-tools" },
          h("button", { class: "text small", type: "button", onclick: () => { editing = each.name; draw(); } }, "Rename"),
          h("button", { class: "text small", type: "button", onclick: () => { recoloring = recoloring === each.name ? null : each.name; draw(); } }, "Colour"),
          h("button", { class: "text small", type: "button", onclick: () => { send("remove", { name: each.name }); app.toast(`Class ${each.name} is removed. Undo brings it back.`, "good"); } }, "Remove")) : null);
    }

    function draw() {
      const list = byId("class-list");
      if (editing !== null && list.contains(document.activeElement) && document.activeElement.type === "text") return;
      list.replaceChildren(...(classes.length ? classes.map(row) : [h("div", { class: "empty" }, h("h3", {}, "No class yet"), h("p", {}, "Draw a box around something you look for: that begins the first class."))]));
      const left = classes.filter((each) => !each.is_accepted).length;
      const next = byId("regions-next");
      next.classList.toggle("primary", classes.length > 0 && left === 0);
      next.dataset.tip = !classes.length ? "First draw a box" : left ? `${plural(left, "class is", "classes are")} not accepted yet` : "All classes are accepted";
      next.dataset.tipSide = "up";
      hint();
    }

    function hint() {
      const element = byId("viewer-hint");
      const each = classes.find((one) => one.name === active);
      element.hidden = Boolean(each?.n_prototypes);
      const hasShape = classes.some((one) => one.n_prototypes);
      element.replaceChildren(h("strong", {}, each ? `Drag a box around one “${each.name}”` : "Drag a box around something you look for"),
        h("span", {}, hasShape ? "The first box of a class fixes the size of its boxes; of later ones the centre counts." : "Take a little of its surroundings too. The size of this box holds for all others of the class. Shift-drag moves the image, the wheel zooms."));
    }

    app.key("c", "add a class", add);
    app.gesture("Drag", "in the image: draw a box of the class");
    app.gesture("Click", "on a frame of the class: does not belong, or belongs after all; on a box of yours: change it");
    app.gesture("Double click", "on the name of a class: rename it");
    const choose = (event) => { const each = classes[Number(event.code.slice(-1)) - 1]; if (each) activate(each.name); };
    app.key([..."123456789"], "choose a class", choose);
    app.key([..."123456789"].map((digit) => `shift+${digit}`), "choose a class, also over a region", choose);
    app.key("s", "similarity map", () => byId("viewer-heat").click());

    return {
      classes(value) {
        classes = value.list;
        palette = value.palette;
        const remembered = app.remember("class");
        if (isFirst && remembered && classes.some((each) => each.name === remembered)) activate(remembered);
        isFirst = false;
        draw();
      },
      active(name) { active = name; if (name) app.remember("class", name); app.viewer.activeChanged(); draw(); },
      prototypes(value) { prototypes = value; draw(); },
    };
  });
})();
