// Keys that say of the region under the pointer, in the image, what it is.
(() => {
  const app = window.simsearch;
  const SAID_MS = 2500;

  app.ready((doc) => {
    const host = document.querySelector(".slot-viewer");
    const figure = doc.get_model_by_name("viewer");
    if (!host || !figure || !app.judge) return; // there may be nothing that judges
    const note = document.createElement("div");
    note.className = "viewer-said";
    note.setAttribute("role", "status");
    host.parentElement.append(note);
    let pointer = null;
    let timer = null;
    host.addEventListener("pointermove", (event) => { pointer = event; }, { passive: true, capture: true });
    host.addEventListener("pointerleave", () => { pointer = null; });
    /** Let keys be about nothing under the pointer until it moves: something else was pointed out. */
    app.judge.forgetPointer = () => { pointer = null; };

    /** Say something over the image for a while, also to screen readers. */
    app.viewer.say = (words) => {
      note.textContent = words;
      clearTimeout(timer);
      timer = setTimeout(() => { note.textContent = ""; }, SAID_MS);
    };

    /**
     * The region whose centre is nearest, of those whose boxes hold a place of the figure; at one place rather one of the active class, and
     * none that is flagged. With `isBelow` of those that do not reach their threshold, and have no frame.
     */
    app.viewer.regionAt = (at, isBelow = false) => {
      const active = app.viewer.activeClass?.() ?? null;
      let best = null;
      for (const { glyph, data_source: source } of figure.renderers) {
        const name = source?.name?.startsWith("peaks:") ? source.name.slice("peaks:".length) : null;
        if (name === null || app.viewer.isUnseen(source.name)) continue;
        const [width, height, least] = [glyph.width.value, glyph.height.value, app.model(`limit of peaks:${name}`).data.threshold[0]];
        const { x, y, score, is_flagged: isFlagged } = source.data;
        for (let row = 0; row < score.length; row += 1) {
          if ((score[row] < least) !== isBelow) { if (isBelow) continue; break; } // rows are sorted
          const [dx, dy] = [Math.abs(x[row] - at.x), Math.abs(y[row] - at.y)];
          if (dx > width / 2 || dy > height / 2 || isFlagged[row] > 1) continue; // which is no object, and hidden
          const rank = Math.hypot(dx, dy) + Math.min(width, height) * ((isFlagged[row] ? 0.25 : 0) + (name === active ? 0 : 0.125));
          if (!best || rank < best.rank) best = { rank, name, y: -y[row] - 0.5, x: x[row] - 0.5, height, width, score: score[row], isFlagged: isFlagged[row] > 0, isOwn: source.data.is_own[row] > 0 };
        }
      }
      return best;
    };
    /** Where in the figure the pointer is; null beside it, or where it is not meant. */
    app.viewer.pointerAt = () => pointer && app.viewer.at(pointer);
    const under = () => { const at = app.viewer.pointerAt(); return at && app.viewer.regionAt(at); };

    function judge(kind, to, words) {
      const found = app.judge.isMissing ? null : under();
      if (!found) return false;
      const places = [{ image: app.viewer.imageIndex, y: found.y, x: found.x }];
      app.judge.send(kind, { name: found.name, to: to ?? found.name, places });
      app.viewer.say(words(found.name));
      return true;
    }
    app.key([..."123456789"], "", (event) => {
      const name = app.viewer.classes()[Number(event.key) - 1];
      return name === undefined ? false : judge("assign", name, () => `This is “${name}”. Z takes it back.`);
    });
    app.key("y", "", () => judge("assign", null, (name) => `This is “${name}”. Z takes it back.`));
    app.key("x", "", () => judge("refuse", "", (name) => `This is no “${name}”. Z takes it back.`));
  });
})();
