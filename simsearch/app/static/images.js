// Choose images: on plates or among thumbnails. The other half is components/image_picker.py.
(() => {
  const app = window.simsearch;
  const { h, icon, plural } = app;
  const byId = (id) => document.getElementById(id);

  app.island("picker", (send) => {
    let all = null;
    let shown = new Set();
    let marked = new Set();
    let treated = [];
    let view = null;
    let words = "";
    let open = null; // the well whose fields are listed
    let redraw = () => {};

    byId("random").append(icon("dice"), "at random");
    byId("diverse").append(icon("spread"), "that differ most");
    const wish = () => ({ n: Number(byId("how-many").value) || 6 });
    byId("random").addEventListener("click", () => send("random", wish()));
    byId("diverse").addEventListener("click", () => send("diverse", wish()));
    byId("by-column").addEventListener("change", (event) => { if (event.target.value) send("by", { ...wish(), column: event.target.value }); event.target.value = ""; });
    byId("find").addEventListener("input", (event) => { words = event.target.value.trim().toLowerCase(); draw(); });

    const thumbnail = (index) => all.thumbnail.replace("{I}", index);
    const picture = (index) => h("img", { src: thumbnail(index), alt: "", loading: "lazy", decoding: "async", draggable: "false" });
    const toggle = (images, on) => send("show", { images, on });
    const badge = () => h("span", { class: "badge" }, icon("check"));

    function thumbnails(area, indices) {
      if (!indices.length) return nothing(area);
      const element = h("div", { class: "thumbnails" });
      area.replaceChildren(element);
      const grid = app.pictureGrid(element, {
        size: () => [148, 124],
        gap: 8,
        label: "Images",
        make: (at) => h("button", { type: "button", title: all.names[indices[at]], "aria-label": all.names[indices[at]] },
          picture(indices[at]), h("span", { class: "label" }, app.imageName(all.names[indices[at]], all.names)), badge()),
        draw: (tile, at) => tile.setAttribute("aria-pressed", shown.has(indices[at])),
        act: (at) => toggle([indices[at]], !shown.has(indices[at])),
      });
      grid.reset(indices.length);
      redraw = grid.redraw;
    }

    function nothing(area) {
      area.replaceChildren(h("div", { class: "empty" }, h("h3", {}, "No image is called so"), h("p", {}, "Search for a part of a name, a well such as B03, or a treatment.")));
      redraw = () => {};
    }

    function plates(area) {
      const wells = new Map();
      const sheets = all.plates.map((plate, number) => {
        const table = h("div", { class: "plate", role: "group", "aria-label": `Plate ${plate.name}`, style: { "--columns": plate.columns, "--rows": plate.rows } });
        table.append(h("span"));
        for (let column = 1; column <= plate.columns; column += 1) table.append(h("span", { class: "plate-head" }, column));
        const at = new Map(plate.wells.map((well) => [`${well.row},${well.column}`, well]));
        for (let row = 0; row < plate.rows; row += 1) {
          table.append(h("span", { class: "plate-head" }, row < 26 ? String.fromCharCode(65 + row) : `A${String.fromCharCode(39 + row)}`));
          for (let column = 0; column < plate.columns; column += 1) {
            const well = at.get(`${row},${column}`);
            table.append(well ? wellButton(well, number, wells) : h("span", { class: "well none" }));
          }
        }
        return h("section", {}, all.plates.length > 1 ? h("h3", {}, plate.name) : null, table);
      });
      area.replaceChildren(h("div", { class: "plates" }, sheets));
      redraw = () => {
        for (const [button, { well, number }] of wells) {
          const n = well.images.filter((index) => shown.has(index)).length;
          button.setAttribute("aria-pressed", n > 0);
          button.querySelector(".well-count").textContent = n && well.images.length > 1 ? n : "";
          const treatment = treated[number]?.[well.name] ?? "";
          button.dataset.tip = [well.name, treatment, well.images.length > 1 ? plural(well.images.length, "field") : ""].filter(Boolean).join(" · ");
          button.classList.toggle("faint", Boolean(words) && !matches(well.name, treatment));
          button.classList.toggle("open", open === well);
        }
      };
      redraw();
    }

    function wellButton(well, number, wells) {
      const button = h("button", { class: "well", type: "button", "aria-label": `Well ${well.name}`, onclick: () => {
        if (well.images.length === 1) return toggle(well.images, !shown.has(well.images[0]));
        open = open === well ? null : well;
        redraw();
        drawShown();
        return undefined;
      } }, picture(well.images[0]), h("span", { class: "well-count" }), badge());
      wells.set(button, { well, number });
      return button;
    }

    const matches = (...texts) => texts.some((text) => text.toLowerCase().includes(words));

    function treatmentOf(index) {
      for (const [number, plate] of all.plates.entries()) {
        const well = plate.wells.find((each) => each.images.includes(index));
        if (well) return [well.name, treated[number]?.[well.name] ?? ""];
      }
      return ["", ""];
    }

    function draw() {
      if (!all) return;
      const area = byId("images-area");
      const hasPlates = all.plates.length > 0;
      view ??= app.remember("view") ?? (hasPlates ? "plate" : "all");
      const views = [["plate", all.plates.length > 1 ? "Plates" : "Plate"], ["all", "Thumbnails"], ["displayed", "Displayed"]];
      byId("views").replaceChildren(...views.filter(([key]) => key !== "plate" || hasPlates).map(([key, title]) =>
        h("button", { type: "button", "aria-pressed": view === key, onclick: () => { view = key; app.remember("view", key); draw(); } }, title)));
      byId("plate-hint").textContent = view === "plate"
        ? all.plates.some((plate) => plate.wells.some((well) => well.images.length > 1)) ? "Click a well to choose among its fields" : "Click a well to display it"
        : "Click an image to display it";
      if (view === "plate") return plates(area);
      let indices = all.names.map((_, index) => index);
      if (view === "displayed") indices = indices.filter((index) => shown.has(index));
      if (words) indices = indices.filter((index) => matches(all.names[index], ...(hasPlates ? treatmentOf(index) : [])));
      return thumbnails(area, indices);
    }

    function drawShown() {
      const indices = open ? open.images : [...shown].sort((a, b) => a - b);
      byId("n-shown").textContent = shown.size;
      const head = open ? h("div", { class: "well-title" }, h("h3", {}, `Fields of ${open.name}`), h("span", { class: "grow" }),
        h("button", { class: "text", type: "button", onclick: () => toggle(open.images, true) }, "All"),
        h("button", { class: "text", type: "button", onclick: () => { open = null; redraw(); drawShown(); } }, "Done")) : null;
      byId("shown").replaceChildren(...[head].filter(Boolean), h("div", { class: "shown-list" }, indices.map((index) => {
        const [well, treatment] = all.plates.length ? treatmentOf(index) : ["", ""];
        const isOn = shown.has(index);
        const cannotGo = isOn && shown.size === 1;
        return h("div", { class: `shown-item${isOn ? "" : " off"}` }, picture(index),
          h("div", {}, h("strong", { title: all.names[index] }, well || all.names[index]), h("p", { class: "quiet small" }, [treatment || (well ? all.names[index] : ""), marked.has(index) ? "marked" : ""].filter(Boolean).join(" · "))),
          h("button", { class: "icon", type: "button", disabled: cannotGo, "aria-label": `${isOn ? "Do not display" : "Display"} ${all.names[index]}`,
            title: cannotGo ? "At least one image is displayed" : isOn ? "Do not display" : "Display", onclick: () => toggle([index], !isOn) }, icon(isOn ? "close" : "plus")));
      })));
    }

    return {
      images(value) {
        all = value;
        byId("how-many").max = value.names.length;
        draw();
      },
      displayed(value) {
        shown = new Set(value.indices);
        marked = new Set(value.marked);
        const where = all.plates.length ? ` on ${plural(all.plates.length, "plate")}` : "";
        byId("image-count").textContent = `${plural(all.names.length, "image")}${where}. You look at ${plural(shown.size, "image")}; the model runs over all of them.`;
        byId("diverse").disabled = value.is_choosing;
        if (view === "displayed") draw(); else redraw();
        drawShown();
      },
      columns(value) {
        const choice = byId("by-column");
        choice.hidden = !value.length;
        app.fill(choice, h("option", { value: "" }, "of each …"), value.map(({ name, n }) => h("option", { value: name }, `${name} (${n})`)));
      },
      treatments(value) { treated = value; redraw(); if (all) drawShown(); },
    };
  });
})();
