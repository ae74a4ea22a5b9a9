// Check what is taken for background. The other half is components/background_gallery.py.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const body = document.getElementById("background-judged");
  const images = document.getElementById("background-images");
  const accept = document.getElementById("background-accept");
  const more = document.getElementById("background-more");
  const NOTHING = "Nothing more: all else is marked or found.";
  const SUGGESTED = ["difficult", "beside", "easy"];
  const KINDS = [
    ["difficult", "Like what you look for", "Most alike of all that no class reaches. Look closely: here is what the model would mix up."],
    ["beside", "Beside objects", "What surrounds them."],
    ["easy", "Like nothing you look for", "Least alike: structure and plain ground in turns. Something you look for is rarely here."],
    ["kept", "Background before", "Said or accepted, and kept."],
    ["flagged", "Not background", "You said so. Click to take it back."],
  ];

  app.island("background", (send) => {
    let patches = null;
    let about = null;
    let grids = null;
    let asked = null; // element of the questions
    let before = null; // how much there was when more was asked for
    const pressed = new Set(); // clicked here, and not yet told by the server
    const seen = new Set(); // was in view, at least half of it

    const place = (image) => app.imageName?.(patches.images[image], patches.images) ?? patches.images[image];
    const url = ({ image, y, x, crop = patches.crop }) => crop.replace("{I}", image).replace("{Y}", y).replace("{X}", x);
    const where = (item) => `row ${Math.round(item.y)}, column ${Math.round(item.x)} of ${place(item.image)}`;
    const suggested = () => SUGGESTED.flatMap((kind) => patches[kind]);

    function makeGrid(kind) {
      const element = h("div", { class: "judged-grid" });
      const items = () => patches[kind];
      const watch = new IntersectionObserver((entries) => {
        for (const { isIntersecting, target } of entries) if (isIntersecting) seen.add(items()[target.dataset.index]?.id);
        drawState();
      }, { threshold: 0.5 });
      const grid = app.pictureGrid(element, {
        size: () => { const [height, width] = patches.shape ?? [1, 1]; const side = 104; return height > width ? [(side * width) / height, side] : [side, (side * height) / width]; },
        make() {
          const tile = h("button", { type: "button" }, h("img", { alt: "", decoding: "async", draggable: false }), h("span", { class: "label" }), h("span", { class: "badge" }, icon("flag")));
          watch.observe(tile);
          return tile;
        },
        draw(tile, index) {
          const item = items()[index];
          if (!item) return;
          const isFlagged = (kind === "flagged") !== pressed.has(item.id);
          const source = url(item);
          const picture = tile.querySelector("img");
          if (picture.getAttribute("src") !== source) picture.src = source;
          tile.classList.toggle("flagged", isFlagged);
          tile.setAttribute("aria-pressed", String(isFlagged));
          tile.setAttribute("aria-label", `${isFlagged ? "Not background" : "Background"}: ${where(item)}`);
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
      return { element, grid, items, reset(n) { watch.disconnect(); grid.reset(n); } };
    }

    function question(item) {
      const answer = (isOne) => {
        if (pressed.has(item.id)) return;
        pressed.add(item.id);
        card.classList.add("answered");
        send("answer", { id: item.id, is_one: isOne });
      };
      const button = (words, isOne, meaning) => h("button", { type: "button", "aria-label": `${words}, ${meaning}: ${where(item)}`, title: meaning, onclick: () => answer(isOne) }, words);
      const card = h("div", { class: "asked-card", "data-id": item.id },
        h("img", { src: url(item), alt: `${item.class}? ${where(item)}`, title: patches.images[item.image], draggable: false }),
        h("span", { class: "asked-class" }, h("span", { class: "swatch", style: { "--color": item.color } }), h("strong", {}, item.class, "?")),
        h("span", { class: "asked-answers" }, button("Yes", true, `it is ${item.class}`), button("No", false, "it is background")));
      return card;
    }

    function drawAsked() {
      const ids = patches.asked.map((item) => item.id).join();
      asked.element.hidden = !patches.asked.length;
      if (asked.ids === ids) return;
      asked.ids = ids;
      asked.cards.replaceChildren(...patches.asked.map(question));
    }

    function empty(title, words, page, link) {
      grids = null;
      images.hidden = true;
      body.replaceChildren(h("section", { class: "panel judged-empty" }, h("div", { class: "empty" }, about.state === "computing" ? h("span", { class: "spinner" }) : icon("spread"), h("h2", {}, title), h("p", {}, words),
        page ? h("a", { class: "button primary", href: app.address(page) }, link) : null)));
    }

    const sections = (kinds) => KINDS.filter(([kind]) => kinds.includes(kind)).map(([kind, title, words]) =>
      h("section", { class: `panel judged judged-${kind}`, "aria-label": title },
        h("header", {}, h("h2", {}, title, " ", h("span", { class: "chip", id: `n-${kind}` })), h("p", { class: "quiet small" }, words)), grids[kind].element));

    function build() {
      grids = Object.fromEntries(KINDS.map(([kind]) => [kind, makeGrid(kind)]));
      const cards = h("div", { class: "asked-cards" });
      asked = { cards, ids: null, element: h("section", { class: "panel judged-asked", "aria-label": "Is this one?" },
        h("header", {}, h("h2", {}, "Is this one?"), h("p", { class: "quiet small" }, "Just below the threshold of a class, so it is not suggested as background. Yes: it is one. No: it is background.")), cards) };
      body.replaceChildren(asked.element, h("div", { class: "judged-row" }, ...sections(SUGGESTED), h("div", { class: "judged-said" }, ...sections(["kept", "flagged"]))));
    }

    function draw() {
      if (!patches || !about) return;
      const n = suggested().length + patches.kept.length + patches.asked.length;
      drawState();
      if (!about.has_prototypes) return empty("Nothing to compare with yet", "Draw a box around something you look for. Background is what is neither marked nor found.", "regions", "Go to Regions");
      if (!n && !patches.flagged.length && about.state === "computing") return empty("Looking for background …", about.message);
      if (!n && about.state === "failed") return empty("The images could not be looked at", about.message);
      if (!n && !patches.flagged.length) return empty("No place for background is left", "All of the displayed images is marked or found. Display more images, or raise the thresholds.", "images", "Go to Images");
      images.hidden = false;
      if (!grids) build();
      drawAsked();
      for (const [kind] of KINDS) {
        document.getElementById(`n-${kind}`).textContent = patches[kind].length;
        grids[kind].element.dataset.empty = patches[kind].length || about.state === "computing" ? "" : NOTHING;
        body.classList.toggle(`has-${kind}`, patches[kind].length > 0);
        const ids = patches[kind].map((item) => item.id).join();
        if (grids[kind].ids !== ids) {
          grids[kind].ids = ids;
          grids[kind].reset(patches[kind].length);
        } else grids[kind].grid.redraw();
      }
      body.classList.toggle("is-waiting", !n && about.state === "computing");
    }

    function drawState() {
      if (!patches || !about) return;
      const state = document.getElementById("background-state");
      const isBusy = about.state === "computing";
      const unseen = about.n_free ? suggested().filter((item) => !seen.has(item.id) && !pressed.has(item.id)).length : 0;
      accept.disabled = !about.n_free || isBusy;
      accept.textContent = !about.n_free ? "Accept" : unseen ? `Accept ${about.n_free}, ${unseen} not looked at` : `Accept ${app.plural(about.n_free, "patch", "patches")}`;
      accept.title = unseen ? `${app.plural(unseen, "patch was", "patches were")} not in view since this page was opened: scroll to see them` : "";
      accept.classList.toggle("primary", !about.is_accepted);
      document.getElementById("background-next").classList.toggle("primary", about.is_accepted);
      const isAll = before && about.rounds > before.rounds && suggested().length <= before.n;
      more.disabled = isBusy || !about.has_prototypes || isAll || (before && about.rounds === before.rounds);
      more.textContent = isAll ? "No more" : "More";
      const chip = isBusy ? ["busy", about.message || "Looking …"]
        : about.is_accepted ? ["good", `${app.plural(about.n_accepted, "patch", "patches")} accepted`]
        : about.open_classes.length && about.has_prototypes ? ["busy", `Not accepted yet: ${about.open_classes.join(", ")}`] : null;
      state.replaceChildren(chip ? h("span", { class: `chip ${chip[0]}` }, chip[1]) : "");
    }

    function askForMore() {
      before = { n: suggested().length, rounds: about.rounds };
      more.disabled = true;
      send("more");
    }

    /** The patch whose picture is under the pointer, or focused. */
    function meant() {
      const card = body.querySelector(".asked-card:hover, .asked-card:focus-within");
      if (card) return patches.asked.find((item) => item.id === card.dataset.id);
      const tile = body.querySelector(".judged .tile:hover") ?? body.querySelector(".judged .tile:focus-visible");
      const grid = tile && Object.values(grids).find(({ element }) => element.contains(tile));
      return grid?.items()[tile.dataset.index];
    }

    function visit() {
      const item = meant();
      if (item) send("visit", { image: item.image, y: item.y, x: item.x });
      return Boolean(item);
    }

    accept.addEventListener("click", () => send("accept"));
    more.addEventListener("click", askForMore);
    app.key("a", "accept the background", () => { if (!accept.disabled) send("accept"); });
    app.key("m", "suggest more background", () => { if (!more.disabled) askForMore(); });
    app.key("v", "show a patch in its image", visit);
    app.drawing.put = (place) => { send("draw", place); app.drawing.draw(); };
    app.key("b", "take the patch under the pointer, or in the middle of the image, for background", () => app.drawing.take((place) => send("draw", place)));
    return {
      patches(value) { app.drawing.shape = value.shape; patches = value; pressed.clear(); draw(); },
      about(value) { about = value; draw(); },
    };
  });
})();
