// A map of suggestions: those that look alike lie near each other. The other half is components/patch_map.py.
(() => {
  const app = window.simsearch;
  const GREY = "#9aa0a6";

  /**
   * Options: about(), the active class; at(place), the suggestion there; least(), the threshold; ask(), to have the
   * server lay them out; chosen(items), called with those that were drawn around.
   */
  app.patchMap = ({ about, at, least, ask, chosen }) => {
    const box = document.getElementById("gallery-map");
    const words = document.getElementById("gallery-map-words");
    let points = [];
    let isLaidOut = false;
    let isClearing = false;
    const source = () => app.model("patch_map_points");

    function color(item) {
      const said = app.said(item);
      if (said === "flagged") return item.moved?.color ?? "#d64545";
      return said === "confirmed" || said === "prototype" || item.score >= least() ? about().color : GREY;
    }
    function tell() {
      words.textContent = isLaidOut ? "Patches that look alike lie near each other. Draw around some: they are shown below, to judge at once." : "Looking …";
    }
    function draw() {
      if (box.hidden || !source() || !about()) return;
      const colors = points.map(color);
      if (colors.some((each, row) => each !== source().data.color[row])) source().setv({ data: { ...source().data, color: colors } }, { sync: false });
    }
    /** Take what the server has laid out. */
    function take() {
      if (box.hidden) return;
      const { image, y, x, score } = source().data;
      points = Array.from(y, (_, row) => at({ image: image[row], y: y[row], x: x[row], score: score[row] }));
      isLaidOut = true;
      tell();
      draw();
    }
    /** Nothing is drawn around any more; what was is shown on. */
    function clear() {
      isClearing = true;
      source()?.selected.setv({ indices: [] }, { sync: false });
      isClearing = false;
    }
    app.ready(() => {
      source()?.selected.properties.indices.change.connect(() => { if (!box.hidden && !isClearing) chosen(source().selected.indices.map((row) => points[row]).filter(Boolean)); });
    });

    return {
      open() {
        box.hidden = false;
        points = [];
        isLaidOut = false;
        clear();
        tell();
        ask();
      },
      close() { box.hidden = true; },
      draw,
      take,
      clear,
    };
  };
})();
