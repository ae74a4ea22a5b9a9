// Where one is on a page, kept in its address: a reload and the browser's Back come back there.
(() => {
  const app = window.simsearch;
  const listeners = [];
  const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  let now = read();

  function take(next) {
    const before = now;
    now = next;
    for (const listener of listeners) listener(now, before);
  }

  function write(changes, how) {
    const next = Object.fromEntries(Object.entries({ ...now, ...changes })
      .filter(([, value]) => value !== null && value !== undefined && value !== "").map(([key, value]) => [key, String(value)]));
    const words = new URLSearchParams(next).toString();
    if (words === new URLSearchParams(now).toString()) return;
    history[how](null, "", `${location.pathname}${location.search}${words ? `#${words}` : ""}`);
    take(next);
  }

  window.addEventListener("popstate", () => take(read()));

  app.where = {
    get now() { return now; },
    /** Go elsewhere: Back comes here again. What is null is left out. */
    go: (changes) => write(changes, "pushState"),
    /** Be elsewhere, as a part of the same visit. */
    note: (changes) => write(changes, "replaceState"),
    /** Call with where one is and was, whenever that changes. */
    listen: (listener) => listeners.push(listener),
  };
})();
