// Before anything is drawn: light or dark, as chosen here before, or as the system has it.
(() => {
  const KEY = "simsearch-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const listeners = [];
  let chosen = null;
  try { chosen = localStorage.getItem(KEY); } catch { /* storage is forbidden: follow the system */ }
  const current = () => chosen ?? (system.matches ? "dark" : "light");
  const apply = () => {
    document.documentElement.dataset.theme = current();
    for (const listen of listeners) listen(current());
  };
  system.addEventListener("change", apply);
  apply();
  window.simsearch = {
    theme: {
      get: current,
      toggle() {
        chosen = current() === "dark" ? "light" : "dark";
        try { localStorage.setItem(KEY, chosen); } catch { /* then for this page only */ }
        apply();
      },
      listen: (listener) => listeners.push(listener),
    },
  };
})();
