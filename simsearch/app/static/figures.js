// Colours of Bokeh figures, out of the page's own: a figure follows the switch between light and dark.
(() => {
  const app = window.simsearch;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function styleOf(model) {
    const [ink, quiet, line, panel] = ["--ink", "--ink-2", "--line", "--panel"].map(token);
    const text = { text_color: quiet, text_font: "system-ui, sans-serif" };
    const prefixed = (prefix, values) => Object.fromEntries(Object.entries(values).map(([k, v]) => [`${prefix}_${k}`, v]));
    if ("axis_label_text_color" in model.attributes) {
      return {
        axis_line_color: null, major_tick_line_color: line, minor_tick_line_color: null,
        ...prefixed("major_label", { ...text, text_font_size: "11px" }),
        ...prefixed("axis_label", { ...text, text_font_size: "12px", text_font_style: "normal" }),
      };
    }
    if ("grid_line_color" in model.attributes && model.grid_line_color !== null) return { grid_line_color: line };
    if (model.type === "Figure" || model.type === "Plot") {
      const isPicture = model.tags.includes("picture");
      return { background_fill_color: isPicture ? token("--well") : panel, border_fill_color: isPicture ? token("--well") : panel, outline_line_color: null };
    }
    if (model.type === "Title") return { text_color: ink, text_font: "system-ui, sans-serif", text_font_size: "12px", text_font_style: "normal" };
    if (model.type === "Legend") {
      return { background_fill_color: panel, background_fill_alpha: 0.85, border_line_color: null, label_text_color: quiet, label_text_font: "system-ui, sans-serif", label_text_font_size: "11px" };
    }
    if (model.type === "ColorBar") {
      return { background_fill_color: null, major_label_text_color: quiet, major_label_text_font: "system-ui, sans-serif", title_text_color: quiet, title_text_font_style: "normal" };
    }
    if (model.tags.includes("ink") && "text_color" in model.attributes) return { text_color: ink };
    if (model.tags.includes("accent") && "line_color" in model.attributes) return { line_color: token("--accent") };
    return null;
  }

  function paint(doc) {
    for (const model of doc._all_models.values()) {
      const style = styleOf(model);
      if (style) model.setv(style, { sync: false });
    }
  }

  app.ready((doc) => {
    paint(doc);
    app.theme.listen(() => paint(doc));
  });
  app.paintFigures = () => app.ready(paint);
})();
