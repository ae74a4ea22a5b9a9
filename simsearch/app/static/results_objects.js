// What a run found, one by one, and any of its images with that on it. The other half is components/results/objects.py.
(() => {
  const app = window.simsearch;
  const { h, icon, fill, results } = app;
  const { swatch, number } = results;
  const byId = (id) => document.getElementById(id);
  const TYPED_MS = 350; // after what was typed last, it is looked for
  const ORDERS = [["image", "", "Image"], ["class", "", "Class"], ["confidence", "1", "Surest first"], ["confidence", "", "Least sure first"], ["doubt", "", "Nearest to the threshold"]];
  const COLUMNS = [["class", "Class"], ["confidence", "Confidence", "number"], ["image", "Image"], ["row", "Row", "number wide"], ["column", "Column", "number wide"]];
  const SAID = { right: ["check", "right"], wrong: ["close", "wrong"] };

  app.island("objects", (send) => {
    let table = null;
    let asked = ""; // the last question about the table
    let waiting = null; // first or last: what is chosen as soon as the next page is there
    const { where } = app;

    // The table

    function ask() {
      const { run } = results;
      if (!run || run.kind !== "detect") return;
      const { kind, within, find, least, most, by, down, start } = where.now;
      const wanted = { class: kind, within, find, least: Number(least ?? 0), most: Number(most ?? 1), order: by ?? "image", is_descending: Boolean(down), has_nearly: by === "doubt", start: Number(start ?? 0) };
      const words = JSON.stringify(wanted);
      if (words === asked) return;
      asked = words;
      send("table", wanted);
    }

    const filter = (changes) => where.note({ start: null, ...changes });
    const choice = (label, options, value, onchange) => h("select", { "aria-label": label, onchange: (event) => onchange(event.target.value) },
      options.map(([each, title]) => h("option", { value: each, selected: each === value }, title)));
    const limit = (key, label, usual) => h("input", { type: "number", "aria-label": label, title: label, min: 0, max: 1, step: 0.05, value: where.now[key] ?? usual,
      onchange: (event) => filter({ [key]: event.target.value === usual ? null : event.target.value }) });
    let timer = null;
    const search = h("input", { type: "search", placeholder: "Image or well", "aria-label": "Find by image or well", oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => filter({ find: search.value || null }), TYPED_MS);
    } });

    const tools = h("div", { class: "table-tools" });
    const pages = h("div", { class: "table-pages" });
    const scroll = h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Objects" });
    const element = h("div", { class: "table-view" }, tools, scroll, pages);
    const pictures = app.resultPictures({ picture, words, isChosen, color: results.color, look: (row) => { if (row.place !== null) look(row); } });
    const isOfPictures = () => where.now.as === "pictures";

    /** Name of what images lie in: a well, or an image. */
    const withinWords = (within) => (within.endsWith("/") ? `Well ${within.split("/").slice(-3, -1).join("")}` : within);

    let drawnTools = "";
    function drawTools() {
      const { kind, within, least, most } = where.now;
      const wanted = JSON.stringify([results.run.id, kind, within, least, most, isOfPictures()]);
      if (wanted === drawnTools) return; // what is typed in must not lose the focus
      drawnTools = wanted;
      if (document.activeElement !== search) search.value = where.now.find ?? "";
      const isFocused = document.activeElement === search;
      fill(tools,
        choice("Class", [["", "All classes"], ...results.run.classes.map((name) => [name, name])], kind ?? "", (value) => filter({ kind: value || null })),
        within ? h("button", { class: "small", type: "button", title: "Show all", onclick: () => filter({ within: null }) }, withinWords(within), icon("close")) : search,
        h("span", { class: "limits small quiet" }, "Confidence", limit("least", "Confidence at least", "0"), "to", limit("most", "Confidence at most", "1")),
        h("span", { class: "grow" }),
        h("span", { class: "segmented", role: "group", "aria-label": "Show as" }, [[null, "List"], ["pictures", "Pictures"]].map(([as, title]) =>
          h("button", { type: "button", "aria-pressed": String(isOfPictures() === (as !== null)), onclick: () => where.note({ as }) }, title))));
      if (isFocused) search.focus();
    }

    function isChosen(row) {
      const now = app.corrections?.chosen;
      return Boolean(now && now.class === row.class && now.place.image === row.place && Math.abs(now.place.y - row.y) < 0.2 && Math.abs(now.place.x - row.x) < 0.2);
    }
    function look(row, how = "go") { where[how]({ image: row.image, y: row.y, x: row.x, of: row.class }); }
    function picture(row) {
      const [height, width] = table.shapes[row.class];
      return results.crop.replace("{I}", row.place).replace("{Y}", row.y).replace("{X}", row.x).replace("{H}", height).replace("{W}", width);
    }
    function words(row) { return `${row.class}, confidence ${row.confidence.toFixed(2)}, in ${row.image}${row.said ? `, said to be ${row.to ? `of ${row.to}` : row.said}` : ""}`; }
    const mark = (row) => (row.to ? [swatch(row.to), row.to] : row.said ? [icon(SAID[row.said][0]), SAID[row.said][1]] : []);

    function drawRow(row, at) {
      return h("tr", { class: `look ${row.is_object ? "" : "nearly"} ${row.said ? `said-${row.said}` : ""}`, "data-at": at, "aria-current": isChosen(row) ? "true" : null, onclick: () => look(row) },
        h("td", { class: "picture" }, row.place === null ? "" : h("button", { type: "button", "aria-label": `Show ${words(row)}`, "data-key": `${row.image} ${row.y} ${row.x} ${row.class}` }, h("img", { src: picture(row), alt: "", loading: "lazy" }))),
        h("td", {}, swatch(row.class), " ", row.class),
        h("td", { class: "number" }, row.confidence.toFixed(3), row.is_object ? null : h("span", { class: "small quiet", title: "Below the threshold of its class: not counted" }, " below")),
        h("td", { title: row.image }, row.well ? h("strong", {}, row.well) : null, row.well ? " " : "", h("span", { class: row.well ? "quiet small" : "" }, row.well ? row.image.split("/").at(-1) : row.image)),
        h("td", { class: "number wide" }, row.y.toFixed(1)), h("td", { class: "number wide" }, row.x.toFixed(1)),
        h("td", { class: "mark" }, mark(row)));
    }

    function drawTitle([order, title, kind = ""]) {
      const { by = "image", down } = where.now;
      const isSorted = by === order;
      const sort = () => {
        const isDown = isSorted ? !down : order === "confidence"; // the surest first
        filter({ by: order === "image" && !isDown ? null : order, down: isDown ? "1" : null });
      };
      return h("th", { class: kind, "aria-sort": isSorted ? (down ? "descending" : "ascending") : "none" },
        h("button", { class: "sort", type: "button", "data-key": `sort ${order}`, onclick: sort }, title, h("span", { "aria-hidden": "true" }, isSorted ? (down ? " ↓" : " ↑") : "")));
    }

    function drawRows() {
      const key = scroll.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      const { scrollTop } = scroll;
      const body = isOfPictures() && table?.run === results.run.id && table.rows?.length ? pictures.element : scroll;
      if (body.parentElement !== element) element.replaceChildren(tools, body, pages);
      if (body === pictures.element) {
        pictures.draw(table.rows);
        return drawPages();
      }
      if (!table || table.run !== results.run.id) scroll.replaceChildren(h("div", { class: "empty" }, h("span", { class: "spinner" })));
      else if (table.problem) scroll.replaceChildren(h("div", { class: "empty" }, icon("warning"), h("h3", {}, "The table cannot be read"), h("p", {}, table.problem)));
      else if (!table.rows.length) scroll.replaceChildren(h("div", { class: "empty" }, icon("spread"), h("h3", {}, "Nothing was found here"), h("p", {}, "Choose other classes, images or confidences; or lower the thresholds, or train with more examples.")));
      else {
        scroll.replaceChildren(h("table", {},
          h("thead", {}, h("tr", {}, h("th", {}, h("span", { class: "visually-hidden" }, "Picture")), COLUMNS.map(drawTitle), h("th", {}, "Said"))),
          h("tbody", {}, table.rows.map(drawRow))));
      }
      scroll.scrollTop = scrollTop;
      if (key) scroll.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
      return drawPages();
    }

    function drawPages() {
      if (!table?.rows?.length) return void pages.replaceChildren();
      const hadFocus = pages.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      const go = (start) => where.note({ start: start > 0 ? start : null });
      const end = table.start + table.rows.length;
      const { by = "image", down = "" } = where.now;
      const orders = ORDERS.some((each) => each[0] === by && each[1] === down) ? ORDERS : [...ORDERS, [by, down, "A column"]];
      fill(pages,
        h("span", { class: "small quiet" }, "Sorted by"), choice("Sorted by", orders.map(([order, isDown, title]) => [`${order}${isDown}`, title]), `${by}${down}`, (value) => {
          const [order, isDown] = orders.find((each) => each[0] + each[1] === value);
          filter({ by: order === "image" ? null : order, down: isDown || null });
        }),
        h("span", { class: "grow" }),
        h("span", { class: "small quiet number", role: "status" }, `${number(table.start + 1)} to ${number(end)} of ${number(table.total)}`),
        h("button", { class: "icon", type: "button", "aria-label": "Objects before", disabled: table.start === 0, onclick: () => go(table.start - table.n) }, icon("left")),
        h("button", { class: "icon", type: "button", "aria-label": "Next objects", disabled: end >= table.total, onclick: () => go(table.start + table.n) }, icon("right")));
      if (hadFocus) pages.querySelector(`[aria-label="${hadFocus}"]`)?.focus();
    }

    results.views.table = () => {
      drawTools();
      drawRows();
      return element;
    };

    // From one object to the next

    const rowAt = (tr) => (tr ? table?.rows?.[Number(tr.dataset.at)] : null);
    function step(steps) {
      const rows = table?.rows ?? [];
      if (where.now.tab !== "table" || !rows.length) return false;
      const at = rows.findIndex(isChosen);
      const next = at < 0 ? (steps > 0 ? 0 : rows.length - 1) : at + steps;
      if (rows[next]) look(rows[next], where.now.image ? "note" : "go");
      else if (steps > 0 && table.start + rows.length < table.total) { waiting = "first"; where.note({ start: table.start + table.n }); }
      else if (steps < 0 && table.start > 0) { waiting = "last"; where.note({ start: table.start - table.n || null }); }
      scroll.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
      return true;
    }
    app.corrections.step = step;
    /** The object of the row under the pointer. */
    app.corrections.under = () => {
      const row = pictures.under() ?? rowAt(scroll.querySelector("tr.look:hover, tr.look:has(:focus-visible)"));
      return row && row.place !== null ? { class: row.class, place: { image: row.place, y: row.y, x: row.x }, said: row.said, to: row.to } : null;
    };
    app.corrections.onChosen = () => {
      pictures.redraw();
      for (const tr of scroll.querySelectorAll("tr.look")) {
        if (isChosen(rowAt(tr))) tr.setAttribute("aria-current", "true"); else tr.removeAttribute("aria-current");
      }
      scroll.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    };

    // The image

    let awaited = null; // the image that was asked for, and is not there yet
    function follow(now, before) {
      const box = byId("results-image");
      const isShown = Boolean(now.image) && results.run?.kind === "detect";
      box.hidden = !isShown;
      byId("results-body").classList.toggle("has-image", isShown);
      if (!isShown) {
        if (before.image) app.corrections.leave();
        return;
      }
      const isOther = ["image", "y", "x", "of", "run"].some((key) => now[key] !== before[key]);
      if (!isOther) return;
      if (app.viewer.image !== now.image) awaited = now.image;
      if (!now.of && before.of) app.corrections.leave();
      send("look", { image: now.image, y: now.y === undefined ? null : Number(now.y), x: now.x === undefined ? null : Number(now.x), class: now.of });
    }
    app.viewer.onView(({ image }) => {
      if (awaited === null && image !== where.now.image && where.now.image) where.note({ image, y: null, x: null, of: null });
      if (image === awaited) awaited = null;
    });
    byId("image-close").append(icon("close"));
    byId("image-close").addEventListener("click", () => where.go({ image: null, y: null, x: null, of: null }));
    byId("image-objects").addEventListener("click", () => where.go({ tab: "table", within: app.viewer.image, find: null, start: null }));
    app.key("Escape", "leave the object, or the image", () => {
      if (app.judge?.isMissing) return false; // that is ended first
      if (app.corrections.chosen) { app.corrections.leave(); where.note({ y: null, x: null, of: null }); } else if (where.now.image) where.go({ image: null });
      else return false;
      return true;
    });

    where.listen((now, before) => { ask(); follow(now, before); });
    /** Called by the page when it shows a run. */
    results.onRun = () => { asked = ""; ask(); follow(where.now, {}); };
    if (results.run) { results.draw(); results.onRun(); }

    return {
      table(value) {
        table = value;
        if (results.run && app.where.now.tab === "table") results.draw();
        if (waiting && table?.rows?.length) {
          look(waiting === "first" ? table.rows[0] : table.rows.at(-1), "note");
          waiting = null;
        }
      },
    };
  });
})();
