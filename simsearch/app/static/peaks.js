// The suggestions that the gallery shows, the most similar first, and what was said of each.
(() => {
  const app = window.simsearch;
  const PATIENCE_MS = (app.PATIENCE_MS = 3000); // what was clicked, and is not told by the server by then, was not done

  app.keyOf = ({ image, y, x }) => `${image}:${y}:${x}`;

  /** What was said of a suggestion: "", "flagged", "confirmed" or "prototype"; what was clicked counts at once. */
  app.said = (item) => item.clicked?.said ?? item.said;

  /** Name of the class that it was said to be of instead, if any. */
  app.movedTo = (item) => (app.said(item) !== "flagged" ? null : item.clicked ? item.clicked.to : item.moved?.name ?? null);

  app.suggestions = () => {
    let items = [];
    let others = new Map(); // by key: items that are not suggested any more, and are still shown somewhere
    let index = null;

    /** Mark what lies at places at which somebody has said something. */
    function mark(marks, radius) {
      const all = [...items, ...others.values()];
      for (const item of all) { item.said = ""; item.moved = null; }
      if (!radius) return;
      if (index?.radius !== radius || index.items !== items || index.n !== all.length) index = { ...app.placeIndex(all, radius), items, radius, n: all.length };
      const say = (patches, what) => patches.forEach((patch) => index.near(patch, (item) => { item.said = what; }));
      say(marks.negatives, "flagged");
      say(marks.confirmed, "confirmed");
      say(marks.prototypes, "prototype");
      for (const other of marks.others) other.patches.forEach((patch) => index.near(patch, (item) => { if (distance(item, patch) < other.radius) item.moved = other; }));
      for (const item of all) if (item.clicked && (item.clicked.said === item.said || Date.now() - item.clicked.at > PATIENCE_MS)) item.clicked = null;
    }

    return {
      get items() { return items; },
      mark,
      /** Take other peaks, from columns; `kept` are items of before that are shown further on, which it gives as they are now. */
      take(columns, kept) {
        const clicked = new Map(items.filter((item) => item.clicked).map((item) => [app.keyOf(item), item.clicked]));
        items = Array.from(columns?.score ?? [], (score, row) => ({ image: columns.image[row], y: columns.y[row], x: columns.x[row], score, said: "", moved: null, clicked: null }));
        others = new Map();
        if (!clicked.size && !kept.length) return kept;
        const byKey = new Map(items.map((item) => [app.keyOf(item), item]));
        for (const [key, value] of clicked) if (byKey.has(key)) byKey.get(key).clicked = value;
        return kept.map((item) => byKey.get(app.keyOf(item)) ?? (others.set(app.keyOf(item), item), item));
      },
      /** Find the item at a place, or make one. */
      at(place) {
        const radius = index?.radius ?? 1;
        let found = null;
        index?.near(place, (item) => { if (!found || distance(item, place) < distance(found, place)) found = item; });
        if (found && distance(found, place) < radius / 4) return found;
        const item = { ...place, said: "", moved: null, clicked: null };
        others.set(app.keyOf(item), item);
        return item;
      },
      /** What was clicked is not on its way any more. */
      forget() { for (const item of items) item.clicked = null; },
      /** Number of those in a list, the most similar first, that reach a threshold. */
      above(least, list = items) {
        let [first, end] = [0, list.length];
        while (first < end) {
          const middle = (first + end) >> 1;
          if (list[middle].score >= least) first = middle + 1; else end = middle;
        }
        return first;
      },
    };
  };
  const distance = (a, b) => Math.hypot(a.y - b.y, a.x - b.x);
})();
