// How channels are shown in a viewer: which, in what colour, from which intensity to which, and how bent between.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const STEPS = 500; // of a slider
  const [LEAST_GAMMA, MOST_GAMMA] = [0.1, 10]; // that are taken
  const GAMMA = { start: -0.7, end: 0.7, step: 0.02 }; // of its slider: powers of ten, so that 1 is in the middle
  const KEPT = "channels"; // how they are shown, on all pages, also after a reload
  const WORDS = {
    low: ["Dark", "shown darkest"],
    high: ["Bright", "shown brightest"],
    gamma: ["Gamma", "gamma"],
  };

  /** send(kind, values): tells the server. Gives { element, draw(channels) }. */
  app.channelChoice = (send) => {
    const swatches = h("span", { class: "swatches" });
    const fold = app.fold({ id: "viewer-channels", label: [swatches, "Channels"], tip: "Colour and contrast of channels", side: "left" });
    fold.panel.classList.add("shade-list");
    const refusals = new Map(); // by channel: why its last number was not taken
    let isAtWork = false; // with a slider, that must not be drawn anew under the hand
    let isFirst = true;

    const digits = (value, step) => Number(value.toFixed(step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step)))));
    const words = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });
    const looks = ({ index, color, low, high, gamma, is_on }) => ({ index, color, low, high, gamma, is_on });
    const isUsual = (channel) => channel.is_on && Object.entries(channel.default).every(([key, value]) => channel[key] === value);

    /** Channels are shown as they were before the page was loaded again. */
    function comeBack(channels) {
      const kept = app.remember(KEPT, undefined, true) ?? {};
      const wanted = channels.filter(({ name }) => kept[name]).map(({ index, name }) => ({ ...kept[name], index }));
      if (wanted.length) send("channels", { channels: wanted });
    }
    function keep(channels) {
      const kept = app.remember(KEPT, undefined, true) ?? {};
      for (const channel of channels) {
        if (isUsual(channel)) delete kept[channel.name];
        else kept[channel.name] = looks(channel);
      }
      app.remember(KEPT, kept, true);
    }

    function row(channel, channels) {
      const { index, name, default: usual } = channel;
      const step = (channel.end - channel.start) / STEPS;
      const note = h("p", { class: "small shade-note", role: "status" }, refusals.get(index) ?? null);
      const shown = (which) => digits(channel[which], which === "gamma" ? 0.01 : step);
      function tell(changes) {
        refusals.delete(index);
        send("channels", { channels: [looks(Object.assign(channel, changes))] });
      }
      const isLast = channel.is_on && channels.filter((each) => each.is_on).length === 1;

      /** Why a number cannot be; nothing if it can. */
      function objection(which, text) {
        const value = Number(text);
        if (text === "" || !Number.isFinite(value)) return "That is no number";
        if (which === "low" && value >= channel.high) return `Dark must be less than bright, ${words(shown("high"))}`;
        if (which === "high" && value <= channel.low) return `Bright must be more than dark, ${words(shown("low"))}`;
        if (which === "gamma" && !(value >= LEAST_GAMMA && value <= MOST_GAMMA)) return `Gamma is from ${LEAST_GAMMA} to ${MOST_GAMMA}`;
        return "";
      }
      function take(which, number) {
        const reason = objection(which, number.value);
        if (!reason) return tell({ [which]: Number(number.value) });
        note.textContent = `${reason}: it stays at ${words(shown(which))}.`;
        refusals.set(index, note.textContent);
        number.value = String(shown(which));
        return undefined;
      }
      function bound(which, { start, end, step: by }, toSlider, fromSlider, title) {
        const [label, long] = WORDS[which];
        const number = h("input", { type: "number", value: String(shown(which)), step: "any", "aria-label": `${name}: ${long}`, onchange: () => take(which, number) });
        const at = toSlider(channel[which]);
        const slider = h("input", {
          type: "range", "aria-label": `${name}: ${long}, as a slider`, min: start, max: end, step: by, value: String(at),
          style: { "--fill": `${(100 * (at - start)) / (end - start)}%` },
          onpointerdown: () => { isAtWork = true; }, onpointerup: () => { isAtWork = false; },
          oninput: (event) => { number.value = String(digits(fromSlider(Number(event.target.value)), which === "gamma" ? 0.01 : step)); },
          onchange: (event) => { isAtWork = false; tell({ [which]: fromSlider(Number(event.target.value)) }); },
        });
        return h("div", { class: "shade-bound", title }, h("span", { class: "small quiet" }, label), slider, number);
      }
      const same = (value) => value;
      const range = { start: channel.start, end: Math.max(channel.end, channel.high), step };
      return h("section", { class: "shade", "aria-label": name },
        h("div", { class: "shade-head" },
          h("label", { class: "check" }, h("input", { type: "checkbox", checked: channel.is_on, disabled: isLast, "aria-label": `Show ${name}`, onchange: (event) => tell({ is_on: event.target.checked }) }),
            h("span", { class: "shade-name", title: name }, name)),
          h("span", { class: "grow" }),
          h("button", { class: "text small", type: "button", title: "From the intensities of this image", onclick: () => { refusals.delete(index); send("auto_channel", { index }); } }, "Auto"),
          h("button", { class: "text small", type: "button", title: "As it was", onclick: () => tell({ ...usual, is_on: true }) }, "Reset"),
          h("input", { type: "color", value: channel.color.toLowerCase(), "aria-label": `Colour of ${name}`, onchange: (event) => tell({ color: event.target.value }) })),
        bound("low", range, same, (value) => Math.min(value, channel.high - step)),
        bound("high", range, same, (value) => Math.max(value, channel.low + step)),
        bound("gamma", GAMMA, (value) => Math.log10(value), (value) => digits(10 ** value, 0.01), "Below 1, what is dim is seen better; above 1, what is bright"),
        note);
    }

    return {
      element: fold.element,
      draw(channels) {
        if (channels.length && isFirst) comeBack(channels); else keep(channels);
        isFirst = isFirst && !channels.length;
        swatches.replaceChildren(...channels.filter((each) => each.is_on).map((each) => h("span", { class: "swatch", style: { "--color": each.color } })));
        if (isAtWork) return;
        const focused = fold.panel.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
        fold.panel.replaceChildren(...channels.map((each) => row(each, channels)));
        if (focused) fold.panel.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
      },
    };
  };
})();
