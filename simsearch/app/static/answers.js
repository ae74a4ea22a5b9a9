// What was sent to the server and has no answer yet: until it has, nothing may be called saved. To be loaded before Bokeh.
(() => {
  const app = (window.simsearch ??= {});
  const waiting = new Map(); // since when, by the id of a message

  /** Milliseconds that the oldest message waits for its answer; 0 if none does. */
  app.unansweredMs = () => (waiting.size ? Date.now() - Math.min(...waiting.values()) : 0);

  /** Read the head of a message; its other parts, and what is not Bokeh's, give nothing. */
  function headOf(part) {
    if (typeof part !== "string" || part.length > 1000 || !part.includes('"msgtype"')) return {};
    try { return JSON.parse(part) ?? {}; } catch { return {}; }
  }

  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      this.addEventListener("message", ({ data }) => waiting.delete(headOf(data).reqid));
    }

    send(part) {
      const { msgid, msgtype } = headOf(part);
      if (msgtype === "PATCH-DOC") waiting.set(msgid, Date.now());
      super.send(part);
    }
  };
})();
