/*
 * Owns when `GET /overview` is asked for: after the hello of each connection, because pulses of that connection make
 * up for everything later, after a resync, and every minute while someone looks, for what may have slipped through. The
 * browser's cache makes the question conditional (`no-cache`), so that an unchanged board costs a 304.
 */

/** @typedef {import('./census.js').Census} Census */

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 20_000;
const RETRY_MS = 5_000;

/** The first boxes come first; and a resync greets once for each of its answers. */
const GREETED_MS = 150;

export class OverviewFeed {
  /** @param {Census} census */
  constructor(census) {
    this.census = census;
    /** @type {AbortController | undefined} */
    this.asking = undefined;
    this.timer = 0;
    this.failures = 0;
    this.isGreeted = false;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden || !this.isGreeted) return;
      if (performance.now() - this.census.learnedAtMs >= INTERVAL_MS) void this.ask();
    });
  }

  /** A connection begins or starts over: what was asked before does not count. */
  greeted() {
    this.isGreeted = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), GREETED_MS);
  }

  /** The connection is gone. Its successor's hello starts everything again. */
  lost() {
    this.isGreeted = false;
    this.asking?.abort();
    clearTimeout(this.timer);
  }

  /** Asks before there is a connection, for a page that cannot decide what to show without the answer. */
  async askAhead() {
    const asking = new AbortController();
    const timeout = setTimeout(() => asking.abort(), TIMEOUT_MS);
    await this.fetchOnce(asking.signal, 'high');
    clearTimeout(timeout);
  }

  async ask() {
    this.asking?.abort();
    clearTimeout(this.timer);
    const asking = (this.asking = new AbortController());
    const timeout = setTimeout(() => asking.abort(), TIMEOUT_MS);
    const answered = await this.fetchOnce(asking.signal);
    clearTimeout(timeout);
    // Someone asked again meanwhile, or the connection is gone.
    if (this.asking !== asking || !this.isGreeted) return;
    this.failures = answered ? 0 : this.failures + 1;
    const pauseMs = answered ? INTERVAL_MS : Math.min(INTERVAL_MS, RETRY_MS * 2 ** (this.failures - 1));
    this.timer = setTimeout(() => {
      // A page in the background asks when it is looked at again.
      if (!document.hidden) void this.ask();
    }, pauseMs);
  }

  /**
   * @param {AbortSignal} signal
   * @param {'high' | 'low'} [priority]
   * @returns {Promise<boolean>} whether the census knows the board now
   */
  async fetchOnce(signal, priority = 'low') {
    try {
      const base = document.body.dataset.base ?? '';
      const response = await fetch(`${base}/overview`, { cache: 'no-cache', signal, priority });
      if (!response.ok) return false;
      return this.census.learnOverview(await response.arrayBuffer(), performance.now());
    } catch {
      return false;
    }
  }
}
