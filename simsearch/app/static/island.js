// The scripts' half of islands: parts come down as JSON and are drawn, messages go up. The other half is island.py.
(() => {
  const app = window.simsearch;
  const PATIENCE_MS = 30000;
  const islands = {};
  let doc = null;

  /** Make an element. Properties: class, data-*, aria-* and other attributes; on* are listeners; others are set. */
  app.h = (tag, props = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(props ?? {})) {
      if (name.startsWith("aria-") && typeof value === "boolean") { element.setAttribute(name, String(value)); continue; }
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.entries(value).forEach(([k, v]) => element.style.setProperty(k, v));
      else if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };

  /** Fill an element anew; what is null or false is left out, as in `h`. */
  app.fill = (element, ...children) => {
    element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  };

  /** An icon. */
  app.icon = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", "glyph");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  };
  const ICONS = {
    undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
    redo: "m15 14 5-5-5-5M20 9H10a6 6 0 0 0 0 12h3",
    sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
    moon: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5",
    check: "m5 12.5 4.5 4.5L19 7.5",
    close: "M6 6l12 12M18 6 6 18",
    plus: "M12 5v14M5 12h14",
    trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
    pencil: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
    dice: "M5 5h14v14H5zM9 9h.01M15 9h.01M12 12h.01M9 15h.01M15 15h.01",
    box: "M5 5h14v14H5z",
    spread: "M6 6h.01M18 6h.01M12 12h.01M6 18h.01M18 18h.01",
    flag: "M5 21V4h12l-2 4 2 4H5",
    warning: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
    left: "m14 6-6 6 6 6",
    right: "m10 6 6 6-6 6",
    chevron: "m6 9 6 6 6-6",
    layers: "m12 4 9 5-9 5-9-5zM3 14l9 5 9-5",
    map: "M4 5h16v14H4zM12 11h6v6h-6z",
    full: "M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5",
    eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
    hidden: "M4 4l16 16M9.9 5.8A9 9 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a17 17 0 0 1-3 3.7M6 7.5A17 17 0 0 0 2.5 12S6 18.5 12 18.5a9 9 0 0 0 4-1",
    down: "M12 4v15M6 13l6 6 6-6",
    target: "M12 3v4M12 17v4M3 12h4M17 12h4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8",
    download: "M12 4v11M7 11l5 5 5-5M5 20h14",
    play: "M8 5v14l11-7z",
  };

  /** Say how an island draws its parts: setup(send) returns functions by part, called at once and at each change. */
  app.island = (name, setup) => {
    islands[name] = setup;
    if (doc) start(name);
  };

  function start(name) {
    const wire = doc.get_model_by_name(name);
    if (!wire) return;
    let number = 0;
    const send = (kind, values = {}) => { wire.up = JSON.stringify({ ...values, kind, number: ++number }); };
    const parts = islands[name](send);
    for (const [part, draw] of Object.entries(parts)) {
      const property = wire.properties[part];
      if (!property) continue;
      const redraw = () => {
        try { draw(JSON.parse(wire[part])); } catch (error) { // one part must not stop the others
          reportError(error);
          app.toast?.("A part of this page cannot be drawn: reload the page. If that does not help, start the server anew.");
        }
      };
      property.change.connect(redraw);
      if (wire[part] !== "null") redraw();
    }
  }

  /** A model of the page, by its name. */
  app.model = (name) => (name ? doc?.get_model_by_name(name) : null) ?? null; // many have no name: null would be all of them

  /** Call once the page is in touch with the server. */
  const waiting = [];
  app.ready = (listener) => (doc ? listener(doc) : waiting.push(listener));

  const began = Date.now();
  function find() {
    const found = window.Bokeh?.documents?.[0];
    if (!found || !found.get_model_by_name("frame")) {
      if (Date.now() - began > PATIENCE_MS) app.lost?.();
      else setTimeout(find, 20);
      return;
    }
    doc = found;
    doc.on_event("connection_lost", () => app.lost?.());
    for (const name of Object.keys(islands)) start(name);
    for (const listener of waiting) listener(doc);
    document.documentElement.dataset.ready = "";
  }
  document.addEventListener("DOMContentLoaded", find);

  /** What a page remembers over a reload, in this tab; with `everywhere`, what all pages do. */
  app.remember = (key, value, everywhere = false) => {
    const name = `simsearch:${everywhere ? document.body.dataset.prefix : location.pathname}:${key}`;
    try {
      if (value === undefined) return JSON.parse(sessionStorage.getItem(name));
      sessionStorage.setItem(name, JSON.stringify(value));
    } catch { /* storage is forbidden: begin anew */ }
    return null;
  };

  /** Name of an image where there is little room: the well of a field, and the field where a well has several. */
  app.imageName = (name, names = [name]) => {
    const [, well, row, column, field] = name.match(/(([^/]+)\/([^/]+))\/([^/]+)$/) ?? [];
    if (!well) return name;
    const isAlone = names.filter((other) => other.startsWith(name.slice(0, -field.length))).length < 2;
    return `${row}${column}${isAlone ? "" : ` ${field}`}`;
  };

  app.plural = (n, noun, plural = `${noun}s`) => `${n.toLocaleString("en")} ${n === 1 ? noun : plural}`;
})();
