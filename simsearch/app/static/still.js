// Things that must not move under a moving pointer, and places that are looked up by where they are.
(() => {
  const app = window.simsearch;
  const REST_MS = 1500;

  /**
   * Have something done that moves what lies in an element, as soon as nobody is at work in it: the pointer has left, or
   * has rested. `isHeld()` puts it off; whoever held it calls `soon()` then.
   */
  app.whenStill = (element, act, isHeld = () => false) => {
    let until = 0;
    let timer = null;
    let isWanted = false;
    function check() {
      clearTimeout(timer);
      if (!isWanted || isHeld()) return;
      const left = until - performance.now();
      if (left > 0) { timer = setTimeout(check, left); return; }
      isWanted = false;
      act();
    }
    const work = () => { until = performance.now() + REST_MS; };
    for (const kind of ["pointermove", "pointerdown", "wheel", "keydown"]) element.addEventListener(kind, work, { passive: true });
    element.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch") return; // a finger leaves after each touch
      until = 0;
      check();
    });
    return {
      soon() { isWanted = true; check(); },
      now() { isWanted = false; clearTimeout(timer); act(); },
    };
  };

  /** Find things with image, y and x that are nearer to a place than a radius. */
  app.placeIndex = (things, radius) => {
    const cells = new Map();
    const cell = (image, row, column) => `${image}:${row}:${column}`;
    const of = (at) => Math.floor(at / radius);
    for (const thing of things) {
      const name = cell(thing.image, of(thing.y), of(thing.x));
      if (cells.has(name)) cells.get(name).push(thing); else cells.set(name, [thing]);
    }
    return {
      near({ image, y, x }, take) {
        for (let row = of(y) - 1; row <= of(y) + 1; row += 1) {
          for (let column = of(x) - 1; column <= of(x) + 1; column += 1) {
            for (const thing of cells.get(cell(image, row, column)) ?? []) if (Math.hypot(thing.y - y, thing.x - x) < radius) take(thing);
          }
        }
      },
    };
  };
})();
