// Check what is taken for background. The other half is components/background_gallery.py.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const body = document.getElementById("background-body");
  const accept = document.getElementById("background-accept");
  const NOTHING = "Nothing more: all else is marked or found.";
  const KINDS = [
    ["difficult", "Like what you look for", "Most alike of all that is not marked. Look closely: here is what the model would mix up."],
    ["easy", "Like nothing you look for", "Least alike. Something you look for is rarely here."],
    ["flagged", "Not background", "You said so. Click to take it back."],
  ];

  app.island("background", (send) => {
    let patches = null;
    let about = null;
    let grids = null;
    const pressed = new Set(); // clicked here, and not yet told by the server

    const place = (image) => app.imageName?.(patches.images[image], patches.images) ?? patches.images[image];
    const url = ({ image, y, x }) => patches.crop.replace("{I}", image).replace("{Y}", y).replace("{X}", x);

    function makeGrid(kind) {
      const element = h("div", { class: "judged-grid" });
      const items = () => patches[kind];
      const grid = app.pictureGrid(element, {
        size: () => { const [height, width] = patches.shape ?? [1, 1]; const side = 104; return height > width ? [(side * width) / height, side] : [side, (side * height) / width]; },
        make: () => h("button", { type: "button" }, h("img", { alt: "", decoding: "async", draggable: false }), h("span", { class: "label" }), h("span", { class: "badge" }, icon("flag"))),
        draw(tile, index) {
          const item = items()[index];
          if (!item) return;
          const isFlagged = (kind === "flagged") !== pressed.has(item.id);
          const source = url(item);
          const picture = tile.querySelector("img");
          if (picture.getAttribute("src") !== source) picture.src = source;
          tile.classList.toggle("flagged", isFlagged);
          tile.setAttribute("aria-pressed", String(isFlagged));
          tile.setAttribute("aria-label", `${isFlagged ? "Not background" : "Background"}: row ${Math.round(item.y)}, column ${Math.round(item.x)} of ${place(item.image)}`);
          tile.title = patches.images[item.image];
          tile.querySelector(".label").textContent = place(item.image);
        },
        act(index) {
          const item = items()[index];
          if (!item || pressed.has(item.id)) return;
          pressed.add(item.id);
          send("toggle", { id: item.id });
        },
        label: KINDS.find(([name]) => name === kind)[1],
      });
      return { element, grid };
    }

    function empty(title, words, page, link) {
      grids = null;
      body.replaceChildren(h("section", { class: "panel judged-empty" }, h("div", { class: "empty" }, about.state === "computing" ? h("span", { class: "spinner" }) : icon("spread"), h("h2", {}, title), h("p", {}, words),
        page ? h("a", { class: "button primary", href: app.address(page) }, link) : null)));
    }

    function draw() {
      if (!patches || !about) return;
      const n = patches.difficult.length + patches.easy.length;
      drawState();
      if (!about.has_prototypes) return empty("Nothing to compare with yet", "Draw a box around something you look for. Background is what is neither marked nor found.", "regions", "Go to Regions");
      if (!n && !patches.flagged.length && about.state === "computing") return empty("Looking for background …", about.message);
      if (!n && about.state === "failed") return empty("The images could not be looked at", about.message);
      if (!n && !patches.flagged.length) return empty("No place for background is left", "All of the displayed images is marked or found. Display more images, or raise the thresholds.", "images", "Go to Images");
      if (!grids) {
        grids = Object.fromEntries(KINDS.map(([kind]) => [kind, makeGrid(kind)]));
        body.replaceChildren(...KINDS.map(([kind, title, words]) => h("section", { class: `panel judged judged-${kind}`, "aria-label": title },
          h("header", {}, h("h2", {}, title, " ", h("span", { class: "chip", id: `n-${kind}` })), h("p", { class: "quiet small" }, words)), grids[kind].element)));
      }
      for (const [kind] of KINDS) {
        document.getElementById(`n-${kind}`).textContent = patches[kind].length;
        grids[kind].element.dataset.empty = patches[kind].length || about.state === "computing" ? "" : NOTHING;
        if (grids[kind].count !== patches[kind].map((item) => item.id).join()) {
          grids[kind].count = patches[kind].map((item) => item.id).join();
          grids[kind].grid.reset(patches[kind].length);
        } else grids[kind].grid.redraw();
      }
      body.classList.toggle("has-flagged", patches.flagged.length > 0);
      body.classList.toggle("is-waiting", !n && about.state === "computing");
    }

    function drawState() {
      const state = document.getElementById("background-state");
      const isBusy = about.state === "computing";
      accept.disabled = !about.n_free || isBusy;
      accept.textContent = about.n_free ? `Accept ${app.plural(about.n_free, "patch", "patches")}` : "Accept";
      accept.classList.toggle("primary", !about.is_accepted);
      document.getElementById("background-next").classList.toggle("primary", about.is_accepted);
      const chip = isBusy ? ["busy", about.message || "Looking …"]
        : about.is_accepted ? ["good", `${app.plural(about.n_accepted, "patch", "patches")} accepted`]
        : about.open_classes.length && about.has_prototypes ? ["busy", `Not accepted yet: ${about.open_classes.join(", ")}`] : null;
      state.replaceChildren(chip ? h("span", { class: `chip ${chip[0]}` }, chip[1]) : "");
    }

    accept.addEventListener("click", () => send("accept"));
    app.key("a", "accept the background", () => { if (!accept.disabled) send("accept"); });
    return {
      patches(value) { patches = value; pressed.clear(); draw(); },
      about(value) { about = value; draw(); },
    };
  });
})();
