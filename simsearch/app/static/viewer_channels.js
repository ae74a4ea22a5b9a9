// How channels are shown in a viewer: which, in what colour, from which intensity to which.
(() => {
  const app = window.simsearch;
  const { h } = app;
  const STEPS = 500; // of a slider

  /** send(kind, values): tells the server. Gives { element, draw(channels) }. */
  app.channelChoice = (send) => {
    const swatches = h("span", { class: "swatches" });
    const fold = app.fold({ id: "viewer-channels", label: [swatches, "Channels"], tip: "Colour and contrast of channels", side: "left" });
    fold.panel.classList.add("shade-list");
    const refusals = new Map(); // by channel: why its last number was not taken
    let isAtWork = false; // with a slider, that must not be drawn anew under the hand

    const digits = (value, step) => Number(value.toFixed(step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step)))));

    function row(channel, channels) {
      const { index, name, default: usual } = channel;
      const tell = (changes) => {
        const { color, low, high, is_on: isOn } = Object.assign(channel, changes);
        send("channel", { index, color, low, high, is_on: isOn });
      };
      const step = (channel.end - channel.start) / STEPS;
      const note = h("p", { class: "small shade-note", role: "status" }, refusals.get(index) ?? null);
      /** Say why a number is not taken, until the channel is changed. */
      function refuse(words, number, which) {
        note.textContent = words;
        refusals.set(index, words);
        number.value = String(digits(channel[which], step));
      }
      function change(which, value) {
        refusals.delete(index);
        tell(which === "low" ? { low: Math.min(value, channel.high - step) } : { high: Math.max(value, channel.low + step) });
      }
      function take(which, number) {
        const value = Number(number.value);
        const [low, high] = [digits(channel.low, step), digits(channel.high, step)];
        if (number.value === "" || !Number.isFinite(value)) refuse("That is no number: it stays as it was.", number, which);
        else if (which === "low" && value >= channel.high) refuse(`Dark must be less than bright, ${high.toLocaleString("en")}: it stays at ${low.toLocaleString("en")}.`, number, which);
        else if (which === "high" && value <= channel.low) refuse(`Bright must be more than dark, ${low.toLocaleString("en")}: it stays at ${high.toLocaleString("en")}.`, number, which);
        else change(which, value);
      }
      const isLast = channel.is_on && channels.filter((each) => each.is_on).length === 1;
      const bound = (which, label, words) => {
        const number = h("input", { type: "number", value: String(digits(channel[which], step)), step: "any", "aria-label": `${name}: ${words}`, onchange: () => take(which, number) });
        const slider = h("input", {
          type: "range", "aria-label": `${name}: ${words}, as a slider`, min: channel.start, max: Math.max(channel.end, channel.high), step, value: String(channel[which]),
          style: { "--fill": `${(100 * (channel[which] - channel.start)) / (Math.max(channel.end, channel.high) - channel.start)}%` },
          onpointerdown: () => { isAtWork = true; }, onpointerup: () => { isAtWork = false; },
          oninput: (event) => { number.value = String(digits(Number(event.target.value), step)); },
          onchange: (event) => { isAtWork = false; change(which, Number(event.target.value)); },
        });
        return h("div", { class: "shade-bound" }, h("span", { class: "small quiet" }, label), slider, number);
      };
      return h("section", { class: "shade", "aria-label": name },
        h("div", { class: "shade-head" },
          h("label", { class: "check" }, h("input", { type: "checkbox", checked: channel.is_on, disabled: isLast, "aria-label": `Show ${name}`, onchange: (event) => tell({ is_on: event.target.checked }) }),
            h("span", { class: "shade-name", title: name }, name)),
          h("span", { class: "grow" }),
          h("button", { class: "text small", type: "button", title: "From the intensities of this image", onclick: () => send("auto_channel", { index }) }, "Auto"),
          h("button", { class: "text small", type: "button", title: "As it was", onclick: () => tell({ ...usual, is_on: true }) }, "Reset"),
          h("input", { type: "color", value: channel.color.toLowerCase(), "aria-label": `Colour of ${name}`, onchange: (event) => tell({ color: event.target.value }) })),
        bound("low", "Dark", "shown darkest"), bound("high", "Bright", "shown brightest"), note);
    }

    return {
      element: fold.element,
      draw(channels) {
        swatches.replaceChildren(...channels.filter((each) => each.is_on).map((each) => h("span", { class: "swatch", style: { "--color": each.color } })));
        if (isAtWork) return;
        const focused = fold.panel.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
        fold.panel.replaceChildren(...channels.map((each) => row(each, channels)));
        if (focused) fold.panel.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
      },
    };
  };
})();
