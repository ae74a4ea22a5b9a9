// Things that unfold over a page: they close with Esc and with a click elsewhere.
(() => {
  const app = window.simsearch;
  const { h } = app;

  /**
   * A button that unfolds a panel. Gives { element, panel, close }.
   * label: words or elements of the button; tip: what it is for, and to which `side` of it that is said. opened(): called when it unfolds. Further properties are those of the panel.
   */
  app.fold = ({ id, label, tip, side = null, opened = () => {}, ...rest }) => {
    const button = h("summary", { class: "button small", "data-tip": tip, "data-tip-side": side }, label);
    const panel = h("div", { class: "panel fold-panel", ...rest });
    const element = h("details", { id, class: "fold" }, button, panel);
    const close = () => { element.open = false; };
    element.addEventListener("toggle", () => { if (element.open) opened(); });
    document.addEventListener("pointerdown", (event) => { if (element.open && !event.composedPath().includes(element)) close(); }, true);
    document.addEventListener("keydown", (event) => {
      if (!element.open || event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();
      close();
      button.focus();
    }, true);
    return { element, panel, button, close };
  };
})();
