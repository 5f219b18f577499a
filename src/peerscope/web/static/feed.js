// The live feed: one WebSocket that reconnects by itself.
//
// The agent sends a snapshot, then changes with consecutive `seq`. After a gap the page reconnects
// and gets a fresh snapshot; until then it keeps its last picture. It ignores unknown message types
// of newer agents.

import { monotonic } from "./state.js";

const RETRY_S_MIN = 0.5;
const RETRY_S_MAX = 15;
// The agent sends a message at least every few seconds. After a minute of silence the connection is
// probably dead: the laptop slept, or a NAT dropped it.
const SILENCE_S_MAX = 60;

/** Seconds before attempt n+1: doubling, with jitter so that many tabs do not return in step. */
export function backoff(attempt, random = Math.random) {
  const ceiling = Math.min(RETRY_S_MAX, RETRY_S_MIN * 2 ** attempt);
  return Math.max(RETRY_S_MIN, ceiling * (0.5 + random() / 2));
}

export class Feed {
  #socket = null;
  #seq = null;
  #attempt = 0;
  #timer = null;
  #lastMessage = 0;

  /**
   * `address()` returns the URL for each attempt. `take(message)` gets every snapshot and all changes in order.
   * `report(state)` gets every change of the connection. `refused()` resolves to true if the peer requires
   * a token that the page lacks.
   */
  constructor({ address, take, report, refused }) {
    Object.assign(this, { address, take, report, refused });
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#checkSilence();
    });
    setInterval(() => this.#checkSilence(), 5000);
  }

  connect() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#drop();
    this.report({ name: "connecting", retryAt: null });
    const socket = new WebSocket(this.address());
    let opened = false;
    this.#socket = socket;
    this.#seq = null;
    this.#lastMessage = monotonic();
    socket.onopen = () => { opened = true; };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#lost(opened, event.code);
  }

  /** End a wait and connect, when the user asks or the machine is online again. */
  retry() {
    if (this.#timer !== null) this.connect();
  }

  #receive(text) {
    this.#lastMessage = monotonic();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#resync("a message is not JSON");
    }
    if (message?.type === "snapshot") {
      this.#attempt = 0;
      this.#seq = message.seq ?? null;
      this.take(message);
      this.report({ name: "live", retryAt: null });
    } else if (message?.type === "changes") {
      if (this.#seq !== null && message.seq !== this.#seq + 1) {
        return this.#resync(`expected message ${this.#seq + 1}, got ${message.seq}`);
      }
      if (this.#seq !== null) this.#seq = message.seq;
      this.take(message);
    }
  }

  #resync(reason) {
    console.info(`feed: ${reason}; asking for a fresh snapshot`);
    this.#drop();
    this.#wait();
  }

  async #lost(opened, code) {
    this.#drop();
    this.#wait();
    // Browsers hide why a handshake failed, but the API answers 401 or 403. Close code 1008 is from a
    // server that checks the token after accepting. The page does not retry until the user enters a
    // token, which calls `connect`.
    if (code === 1008 || (!opened && (await this.refused()))) {
      if (this.#timer === null) return;
      clearTimeout(this.#timer);
      this.#timer = null;
      this.report({ name: "refused", retryAt: null });
    }
  }

  #wait() {
    const delay = backoff(this.#attempt);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.connect(), delay * 1000);
    this.report({ name: "waiting", retryAt: monotonic() + delay });
  }

  #drop() {
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #checkSilence() {
    if (this.#socket && monotonic() - this.#lastMessage > SILENCE_S_MAX) this.#resync("silent for a minute");
  }
}
