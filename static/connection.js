/*
 * Owns the WebSocket: opening it, noticing that it is gone, and opening it again after a pause that grows and is
 * random, so that a restarted server is not met by everyone at once. A server that turns the page away says how long the
 * pause is. It hands bytes up to the session and never looks into them.
 */

import { whyUrl } from './socket_url.js';
import { askWhy } from './turned_away.js';

/** @typedef {import('./early.js').EarlySocket} EarlySocket */
/** @typedef {import('./turned_away.js').Reason} Reason */

/**
 * `turnedAway`: why the server would not let the page in when it was asked last. It stands until something else is
 * known, so that the same words do not come and go with each attempt.
 * @typedef {{ state: 'connecting', turnedAway?: Reason }
 *   | { state: 'live' }
 *   | { state: 'offline', retryInMs: number, turnedAway?: Reason }} ConnectionState
 */

/**
 * @typedef {object} ConnectionListener
 * @property {() => void} opened a new connection can be written to; nothing of the old one is left
 * @property {(bytes: ArrayBuffer) => void} received
 * @property {(text: string) => void} said
 * @property {(code: number, reason: string) => void} closed
 * @property {(state: ConnectionState) => void} stateChanged
 */

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 15_000;

/** We broke a rule (or an older page of ours did): coming back quickly would only break it again. */
const RETRY_AFTER_POLICY_MIN_MS = 10_000;
const RETRY_AFTER_POLICY_MAX_MS = 60_000;

/** Those who were told the same do not come back in the same moment. */
const RETRY_SPREAD_MS = 1_000;

/** Why the page was turned away is of no use later. */
const ANSWER_TIMEOUT_MS = 5_000;

/** A connection that lasted this long was a good one, so the next pause starts from the shortest again. */
const STABLE_MS = 10_000;

/** No hello for this long after dialling: the server, or something between, is stuck. */
const HELLO_TIMEOUT_MS = 10_000;

/** The server is heard about once a second once it pulses, so this much silence means that the line is dead. */
const SILENCE_MAX_MS = 10_000;
const SILENCE_CHECK_MS = 2_000;
/** The browser lost its network. It may be wrong about a server on the same machine, which pulses once a second. */
const OFFLINE_SILENCE_MAX_MS = 2_500;

const CLOSE_GOING_AWAY = 1001;
/** What a browser calls every end without a Close, and every refused handshake. */
const CLOSE_NONE = 1006;
const CLOSE_POLICY = 1008;
const CLOSE_RESTART = 1012;
const CLOSE_TRY_LATER = 1013;

/** No rule was broken: whoever signed out may play on as somebody else. */
export const SIGNED_OUT = 'signed out';

/**
 * How long to wait before dialling again.
 * @param {number} failures how many times in a row it did not work, counting this one
 * @param {number} code the close code, 1006 when there was none
 * @param {boolean} online whether the browser believes to have a network
 * @param {number} random in [0, 1)
 */
export function retryDelayMs(failures, code, online, random) {
  const grown = (/** @type {number} */ minMs, /** @type {number} */ maxMs) => {
    const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(failures, 16));
    return minMs + (ceiling - minMs) * random;
  };
  if (code === CLOSE_POLICY) return grown(RETRY_AFTER_POLICY_MIN_MS, RETRY_AFTER_POLICY_MAX_MS);
  // The browser says when the network is back. It may be wrong about a server on the same machine, so still try.
  if (!online) return RETRY_MAX_MS;
  const announced = code === CLOSE_GOING_AWAY || code === CLOSE_RESTART || code === CLOSE_TRY_LATER;
  // A server that says goodbye comes back, or another one is there already; still spread over half a second.
  if (announced && failures === 1) return RETRY_MIN_MS * random;
  return grown(RETRY_MIN_MS, RETRY_MAX_MS);
}

export class Connection {
  /**
   * @param {string} url
   * @param {ConnectionListener} listener
   */
  constructor(url, listener) {
    this.url = url;
    this.listener = listener;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.failures = 0;
    this.liveSinceMs = 0;
    this.heardAtMs = 0;
    this.checkedAtMs = 0;
    this.pulses = false;
    this.lastCode = 0;
    this.retryTimer = 0;
    this.retryAtMs = 0;
    this.helloTimer = 0;
    /** @type {Reason | undefined} */
    this.turnedAway = undefined;
    /** The present pause is the one that the server asked for. */
    this.isToldToWait = false;
    /** @type {AbortController | undefined} */
    this.question = undefined;
  }

  /** @param {EarlySocket | undefined} early a socket that was dialled before we were loaded */
  start(early) {
    window.addEventListener('online', () => this.retryEarly());
    window.addEventListener('offline', () => this.doubt());
    document.addEventListener('visibilitychange', () => {
      // Someone looks at the page again; unless we were told off, there is no reason to let them wait.
      if (document.visibilityState === 'visible' && this.lastCode !== CLOSE_POLICY) this.retryEarly();
    });
    setInterval(() => this.checkSilence(), SILENCE_CHECK_MS);
    this.dial(early);
  }

  /**
   * @param {ArrayBuffer | string} bytes
   * @returns {boolean} whether it was handed to an open socket, which is no promise that it arrives
   */
  send(bytes) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(bytes);
    return true;
  }

  /** The server pulses on this connection, so from now on silence means something. */
  expectPulses() {
    this.pulses = true;
  }

  /** @param {EarlySocket} [early] */
  dial(early) {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    this.liveSinceMs = 0;
    this.pulses = false;
    this.isToldToWait = false;
    // An answer that comes from here on would be about an earlier attempt.
    this.question?.abort();
    this.question = undefined;
    this.listener.stateChanged({ state: 'connecting', turnedAway: this.turnedAway });

    const socket = early?.socket ?? new WebSocket(this.url);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    // A socket that was given up may still report; `this.socket` tells whether it is the one that counts.
    socket.onopen = () => {
      if (socket === this.socket) this.listener.opened();
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.socket) this.heard(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.socket) this.lost(code, reason);
    };
    this.helloTimer = setTimeout(() => this.giveUp(), HELLO_TIMEOUT_MS);
    if (socket.readyState === WebSocket.OPEN) this.listener.opened();
    for (const data of early?.received ?? []) this.heard(data);
  }

  /** @param {unknown} data */
  heard(data) {
    this.heardAtMs = performance.now();
    if (typeof data === 'string') this.listener.said(data);
    if (!(data instanceof ArrayBuffer)) return;
    if (this.liveSinceMs === 0) {
      clearTimeout(this.helloTimer);
      this.liveSinceMs = this.heardAtMs;
      this.listener.stateChanged({ state: 'live' });
    }
    this.listener.received(data);
  }

  /**
   * @param {number} closeCode
   * @param {string} [reason]
   */
  lost(closeCode, reason = '') {
    const code = closeCode === CLOSE_POLICY && reason === SIGNED_OUT ? CLOSE_RESTART : closeCode;
    clearTimeout(this.helloTimer);
    const wasLive = this.liveSinceMs > 0;
    const wasStable = wasLive && performance.now() - this.liveSinceMs >= STABLE_MS;
    this.failures = wasStable ? 1 : this.failures + 1;
    this.lastCode = code;
    this.socket = null;
    // Of a connection that was heard no handshake was refused.
    const why = code === CLOSE_NONE && !wasLive ? whyUrl(this.url, location.href) : undefined;
    if (!why) this.turnedAway = undefined;
    this.listener.closed(closeCode, reason);
    this.retryIn(retryDelayMs(this.failures, code, navigator.onLine, Math.random()));
    if (why) void this.ask(why);
  }

  /** @param {number} retryInMs */
  retryIn(retryInMs) {
    clearTimeout(this.retryTimer);
    this.retryAtMs = performance.now() + retryInMs;
    this.retryTimer = setTimeout(() => this.dial(), retryInMs);
    this.listener.stateChanged({ state: 'offline', retryInMs, turnedAway: this.turnedAway });
  }

  /**
   * The handshake may have been refused: the server says why, and when to come back.
   * @param {string} url
   */
  async ask(url) {
    const question = (this.question = new AbortController());
    const timeout = setTimeout(() => question.abort(), ANSWER_TIMEOUT_MS);
    const answer = await askWhy(url, question.signal);
    clearTimeout(timeout);
    // Dialled again meanwhile.
    if (question !== this.question) return;
    const before = this.turnedAway;
    this.turnedAway = answer?.reason;
    this.isToldToWait = answer !== undefined;
    if (answer) this.retryIn(answer.retryInMs + RETRY_SPREAD_MS * Math.random());
    // Otherwise the pause is what it was.
    else if (before) this.retryIn(Math.max(0, this.retryAtMs - performance.now()));
  }

  /** Closing a dead line can take a minute to be reported, so it counts as lost at once. */
  giveUp() {
    const socket = this.socket;
    if (!socket) return;
    this.lost(1006);
    socket.close();
  }

  /** Whether the line is dead shows by the next pulse. */
  doubt() {
    const doubtedAtMs = performance.now();
    setTimeout(() => {
      if (this.pulses && this.heardAtMs < doubtedAtMs) this.giveUp();
    }, OFFLINE_SILENCE_MAX_MS);
  }

  /** The connection is not whose it should be: a new one takes its place. */
  renew() {
    const { socket } = this;
    if (!socket) return this.retryNow();
    this.socket = null;
    clearTimeout(this.helloTimer);
    socket.close();
    this.listener.closed(CLOSE_NONE, '');
    this.dial();
  }

  /** Somebody asked for it. */
  retryNow() {
    if (this.retryTimer !== 0) this.dial();
  }

  /** There may be no reason to wait any longer, unless the server gave one. */
  retryEarly() {
    if (!this.isToldToWait) this.retryNow();
  }

  checkSilence() {
    const nowMs = performance.now();
    // This page itself stood still or slept; what arrived meanwhile has yet to be heard.
    const overslept = nowMs - this.checkedAtMs > 2 * SILENCE_CHECK_MS;
    this.checkedAtMs = nowMs;
    if (overslept) return;
    if (this.socket && this.pulses && nowMs - this.heardAtMs > SILENCE_MAX_MS) this.giveUp();
  }
}
