// The scripts' half of a viewer: its bar, and boxes filtered at once. What is seen of the image is in viewer_view.js.
(() => {
  const app = window.simsearch;
  const PIXELS_SEEN = 3; // enlarged so many times, pixels are drawn as squares instead of smoothed
  const SIDES_AROUND = 6; // a place that is gone to is shown with this many patches around
  const WITH_ADDRESS = "results"; // the page whose address says what image is shown

  let view = null; // what the server says is shown
  let names = [];
  const seen = new Map(); // by image: where one was
  const listeners = []; // of what was drawn
  const viewListeners = [];

  /** Show those boxes of a class that reach a threshold; the server is not asked. Returns how many there are here. */
  function threshold(className, least) {
    const limit = app.model(`limit of peaks:${className}`);
    const source = app.model(`peaks:${className}`);
    if (!limit || !source) return 0;
    limit.data.threshold[0] = least;
    source.change.emit();
    const { score, is_flagged: isFlagged } = source.data;
    let count = 0;
    for (let row = 0; row < score.length && score[row] >= least; row += 1) count += isFlagged[row] ? 0 : 1;
    return count;
  }

  Object.defineProperties(app.viewer, {
    image: { get: () => view?.image ?? "" },
    imageIndex: { get: () => view?.index },
  });
  Object.assign(app.viewer, {
    threshold,
    images: () => names,
    /** Call when the server has drawn other boxes. */
    onSources: (listener) => listeners.push(listener),
    /** Call with what the server says is shown, whenever it says so. */
    onView: (listener) => viewListeners.push(listener),
  });

  app.island("viewer_bar", (send) => {
    const step = (steps) => {
      if (names.length) send("image", { name: names[(names.indexOf(view.image) + steps + names.length) % names.length] });
    };
    app.key(["n", "ArrowRight"], "next image", () => step(1));
    app.key(["p", "ArrowLeft"], "image before", () => step(-1));
    const images = app.imageChoice(document.getElementById("viewer-tabs"), { choose: (name) => send("image", { name }), step });
    const channels = app.channelChoice(send);
    const layers = app.viewer.layerChoice(send);
    document.getElementById("viewer-folds").append(layers.element, channels.element);

    // The image and the place in it are those of before the page was loaded again

    let before = app.remember("place");
    window.addEventListener("pagehide", () => { if (view) app.remember("place", { image: view.image, seen: app.viewer.place() }); });
    function comeBack(value) {
      if (!before || !names.length) return false;
      const { image, seen: place } = before;
      before = null;
      if (!names.includes(image)) return false;
      if (place) seen.set(image, place);
      if (image === value.image || document.body.dataset.page === WITH_ADDRESS) return false;
      send("image", { name: image });
      return true;
    }

    return {
      images(value) { names = value.names; images.draw(names, view?.image ?? ""); if (view) comeBack(view); },
      drawn() { for (const listener of listeners) listener(); },
      view(value) {
        const last = view;
        if (last && last.image !== value.image) seen.set(last.image, app.viewer.place());
        view = value;
        app.viewer.measure(value);
        images.draw(names, value.image);
        app.viewer.foot.view(value);
        const isLeaving = !value.at && comeBack(value);
        if (value.at) app.viewer.centre(value.at.x + 0.5, -value.at.y - 0.5, SIDES_AROUND * value.at.side, SIDES_AROUND * value.at.side);
        else if (last?.image !== value.image && !isLeaving) app.viewer.show(seen.get(value.image));
        for (const listener of viewListeners) listener(value);
      },
      channels(value) { channels.draw(value); app.viewer.foot.channels(value); },
      layers(value) { layers.draw(value); },
      overview(value) { app.viewer.foot.overview(value.url); },
      scale(value) { app.viewer.foot.pixelUm(value.um); },
      heat(value) {
        document.getElementById("viewer-heat")?.setAttribute("aria-pressed", String(Boolean(value?.name)));
        layers.heat(value?.name ?? null);
      },
    };
  });

  app.ready((doc) => {
    const figure = doc.get_model_by_name("viewer");
    const tiles = figure?.renderers.find((renderer) => renderer.type === "TileRenderer");
    if (!tiles) return;
    const smooth = () => { if (app.viewer.scale()) tiles.setv({ smoothing: app.viewer.scale() > 1 / PIXELS_SEEN }, { sync: false }); };
    figure.x_range.change.connect(smooth);
    smooth();
  });

  /** Have a class's similarity drawn over the image, or nothing. */
  app.ready(() => {
    const heat = document.getElementById("viewer-heat");
    const wire = app.model("viewer_bar");
    if (!heat || !wire) return;
    heat.addEventListener("click", () => {
      const isOn = heat.getAttribute("aria-pressed") === "true";
      const wanted = isOn ? null : app.viewer.activeClass?.() ?? null;
      wire.up = JSON.stringify({ kind: "heat", name: wanted, number: Date.now() });
    });
  });
})();
