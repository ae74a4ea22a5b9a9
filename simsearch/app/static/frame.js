// The frame of every page: steps, undo and redo, what is saved and being done, messages, keys, a lost connection.
(() => {
  const app = window.simsearch;
  const { h, icon } = app;
  const byId = (id) => document.getElementById(id);
  const put = (id, ...children) => byId(id).replaceChildren(...children);
  const prefix = document.body.dataset.prefix.replace(/\/$/, "");

  // Messages

  app.toast = (text, kind = "error") => {
    const toast = h("div", { class: `toast ${kind}` },
      icon(kind === "error" ? "warning" : "check"),
      h("p", {}, text),
      h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: () => toast.remove() }, icon("close")));
    const toasts = byId("toasts");
    toasts.append(toast);
    while (toasts.children.length > 3) toasts.firstChild.remove();
    if (kind !== "error") setTimeout(() => toast.remove(), 5000);
    return toast;
  };

  // Keys

  const keys = [];
  /** Have a key do something; `?` lists it. What was told last goes first; where `act` gives false, the one before it. With a name that begins with "ctrl+" also where something is typed. */
  app.key = (names, hint, act) => keys.push({ names: [names].flat(), hint, act });
  /** Have `?` list what is done with the mouse. */
  app.gesture = (words, hint) => keys.push({ names: [], words, hint });
  const nameOf = (event) => {
    const digit = event.shiftKey && event.code?.match(/^(?:Digit|Numpad)([1-9])$/); // with Shift, the key is another
    if (digit) return `shift+${digit[1]}`;
    const key = event.key === " " ? "space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const shift = event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key)) ? "shift+" : "";
    return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${shift}${key}`;
  };
  document.addEventListener("keydown", (event) => {
    const target = event.composedPath()[0];
    const isTyping = target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
    if (isTyping || event.altKey || byId("help").open) return;
    const moves = /^(Arrow|Home|End|Page)/.test(event.key); // a slider that is focused takes these
    if (moves && target.matches?.("input, [role=tab]")) return;
    const name = nameOf(event);
    const isButton = target.matches?.("button, a, summary");
    if (isButton && (name === "space" || name === "Enter")) return;
    if (keys.filter((key) => key.names.includes(name)).reverse().some((key) => key.act(event) !== false)) event.preventDefault();
  });
  const LABELS = { "shift+1": "Shift 1", "shift+9": "Shift 9", Escape: "Esc", space: "Space", "ctrl+z": "Ctrl Z", "ctrl+shift+z": "Ctrl Shift Z", "shift+z": "Shift Z", ArrowLeft: "←", ArrowRight: "→" };
  const label = (name) => LABELS[name] ?? (name.length === 1 ? name.toUpperCase() : name);
  function showKeys() {
    const rows = keys.filter((key) => key.hint).map((key) =>
      h("div", { class: "key" }, h("dt", {}, key.words ? key.words : key.names.length > 3 ? [h("kbd", {}, label(key.names[0])), "–", h("kbd", {}, label(key.names.at(-1)))] : key.names.map((name) => h("kbd", {}, label(name)))), h("dd", {}, key.hint)));
    const dialog = byId("help");
    dialog.replaceChildren(
      h("header", {}, h("h2", {}, "Keys"),
        h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
      h("dl", { tabindex: "0" }, rows));
    dialog.showModal();
  }
  byId("keys").addEventListener("click", showKeys);
  byId("help").addEventListener("click", (event) => { if (event.target === byId("help")) byId("help").close(); });

  // Light and dark

  const drawTheme = (theme) => put("theme", icon(theme === "dark" ? "sun" : "moon"));
  app.theme.listen(drawTheme);
  drawTheme(app.theme.get());
  byId("theme").addEventListener("click", app.theme.toggle);

  // A lost connection: wait until the server answers, then load the same page again

  let isLost = false;
  app.lost = () => {
    if (isLost) return;
    isLost = true;
    put("banner", h("span", { class: "spinner" }),
      h("span", {}, "The connection to the server is lost; what was saved is safe. The page comes back by itself as soon as the server answers."));
    byId("banner").hidden = false;
    document.body.classList.add("is-lost");
    put("saved", h("span", { class: "dot bad" }), "Not connected");
    retry();
  };
  async function retry() {
    try {
      const answer = await fetch(location.href, { cache: "no-store", redirect: "follow" });
      if (answer.ok) return void location.reload();
    } catch { /* not yet */ }
    setTimeout(retry, 700);
  }

  // A page that the browser had put aside has no connection any more, and must not look as if it had

  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // A server that does not answer: what was done waits, and is not called saved

  const SLOW_MS = 400;
  const SILENT_MS = 4000;
  let silence = ""; // what is said of it
  setInterval(() => {
    if (isLost) return;
    const waited = app.unansweredMs();
    const said = waited > SILENT_MS ? "silent" : waited > SLOW_MS ? "slow" : "";
    if (said === silence) return;
    silence = said;
    byId("banner").hidden = said !== "silent";
    if (said === "silent") put("banner", h("span", { class: "spinner" }), h("span", {}, "The server does not answer. What you did last is not saved yet; it is sent, and done as soon as the server goes on."));
    drawSaved();
  }, 200);

  // What the server tells

  const time = (iso) => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const seconds = (s) => (s < 90 ? `${Math.max(1, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
  const isOver = (job) => !["waiting", "running"].includes(job.state);
  let history = null;
  let saving = null;
  let refusal = null; // what is said of a change that was not made, until another one is
  const told = new Map();

  /** Whether something that was done here is still on its way to the server, or waits there. */
  app.isSaving = () => Boolean(isLost || silence || saving?.n_waiting);

  function drawSaved() {
    if (isLost) return;
    if (silence === "silent") return put("saved", h("span", { class: "dot bad" }), "Not saved yet");
    if (saving?.error) return put("saved", h("span", { class: "dot bad" }), h("span", { title: saving.error }, "The last change was not made"));
    if (saving?.n_waiting || silence) return put("saved", h("span", { class: "dot busy" }), "Saving …");
    const when = history?.saved ? `All changes saved, last at ${time(history.saved)}` : "Nothing changed yet";
    put("saved", h("span", { class: "dot good" }), h("span", { title: history?.by ? `by ${history.by}` : "" }, when));
  }

  function drawJob(job, send) {
    const share = job.total ? job.done / job.total : null;
    const words = [job.title, job.total ? `${job.done} of ${job.total}` : job.step, job.eta ? `${seconds(job.eta)} left` : ""];
    return h("span", { class: "job" },
      h("span", { class: "job-words" }, words.filter(Boolean).join(" · ")),
      h("progress", share === null ? { "aria-label": job.title } : { "aria-label": job.title, max: 1, value: share }),
      h("button", { class: "text", type: "button", "data-tip": `Stop: ${job.title}`, onclick: () => send("cancel", { job: job.id }) }, "Cancel"));
  }

  function tellJob(job) {
    const before = told.get(job.id);
    told.set(job.id, job.state);
    if (!before || before === job.state || !isOver(job)) return;
    if (job.state === "failed") app.toast(`${job.title}: ${job.message}`);
    if (job.state === "done" && ["train", "detect", "segment", "diverse"].includes(job.kind)) app.toast(`${job.title}: done`, "good");
  }

  app.island("frame", (send) => {
    const undo = () => send("undo");
    const redo = () => send("redo");
    put("undo", icon("undo"));
    put("redo", icon("redo"));
    const past = app.past(send);
    byId("redo").after(past.element);
    byId("undo").addEventListener("click", undo);
    byId("redo").addEventListener("click", redo);
    app.key(["z", "ctrl+z"], "undo what you did last", () => { if (!byId("undo").disabled) undo(); });
    app.key(["shift+z", "ctrl+shift+z"], "redo it", () => { if (!byId("redo").disabled) redo(); });
    app.key("?", "show this list", showKeys);
    return {
      steps({ finished, next }) {
        document.querySelectorAll(".steps a").forEach((link, index) => {
          const { step } = link.dataset;
          const isDone = finished.includes(step);
          link.classList.toggle("done", isDone);
          link.classList.toggle("next", step === next);
          link.querySelector(".mark").replaceChildren(isDone ? icon("check") : String(index + 1));
        });
        app.finished = finished;
      },
      history(value) {
        if (value.saved !== history?.saved || value.undo !== history?.undo) refusal?.remove();
        history = value;
        for (const [id, words] of [["undo", value.undo], ["redo", value.redo]]) {
          byId(id).disabled = !words;
          byId(id).dataset.tip = words ? `${id === "undo" ? "Undo" : "Redo"}: ${words}` : `Nothing to ${id}`;
        }
        drawSaved();
      },
      past: past.draw,
      saving(value) { saving = value; drawSaved(); },
      toast(value) {
        if (!value) return;
        refusal?.remove();
        refusal = app.toast(value.text);
        window.dispatchEvent(new Event("refused"));
      },
      scripts(version) { if (version !== document.body.dataset.scripts) app.toast("This page is not of the same version of simsearch as the server: reload it. If that does not help, the server was updated while it ran: start it anew."); },
      notice(text) { if (text && app.remember("notice") !== text) { app.remember("notice", text); app.toast(text); } },
      jobs(jobs) {
        jobs.forEach(tellJob);
        const running = jobs.filter((job) => !isOver(job));
        put("jobs", ...running.slice(-2).map((job) => drawJob(job, send)));
      },
      cluster(cluster) {
        put("cluster", h("span", { class: `dot ${cluster.is_connected ? "good" : "bad"}` }),
          h("span", { title: cluster.address }, cluster.is_connected
            ? `${app.plural(cluster.n_workers, "worker")}, ${app.plural(cluster.n_threads, "thread")}`
            : "No cluster"));
      },
    };
  });
  app.address = (page) => `${prefix}/${page}`;
})();
