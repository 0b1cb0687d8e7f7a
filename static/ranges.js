/*
 * Owns which tiles this connection has asked for, and decides which one to ask for next. The session sends what it
 * says. Pure: no socket, and time comes in.
 *
 * The server sends updates only for the last 16 ranges a connection asked for, the least recently asked going first.
 * So a tile on the screen has to be among our last 16 requests, or it would silently grow stale. With more than 16 on
 * the screen that cannot be; then each is asked for once, and again when a pulse shows that we lack some of it.
 */

/** How many ranges the server remembers for updates. */
const REMEMBERED_MAX = 16;

/** Half of what the server lets one connection have outstanding, so that it never has to stop reading our checks. */
const IN_FLIGHT_MAX = 8;

/**
 * A tile that others fill while the server does not tell us of it is asked for again this often at most; also when
 * the answers never catch up with what was heard of it.
 */
const REFRESH_MS = 2_000;

export class Ranges {
  constructor() {
    /**
     * The tiles the server remembers, least recently asked for first.
     * @type {number[]}
     */
    this.remembered = [];
    /** @type {Set<number>} */
    this.inFlight = new Set();
    /**
     * When each tile was last answered on this connection. Whatever is known of others may lack what happened while
     * there was none.
     * @type {Map<number, number>}
     */
    this.answeredAtMs = new Map();
  }

  /** A new connection: the server remembers nothing of the old one. */
  reset() {
    this.remembered = [];
    this.inFlight.clear();
    this.answeredAtMs.clear();
  }

  /**
   * The next tile to ask for, or `undefined` while there is nothing to ask or no room for it.
   * Asking for one tile may push another visible one out; that one is then simply next. With at most 16 of them each
   * is pushed out at most once, so this comes to rest.
   * @param {number[]} visible most wanted first
   * @param {(tile: number) => boolean} knows
   * @param {(tile: number) => boolean} isBehind whether there is known to be more of a tile than we know
   * @param {number} nowMs
   * @returns {number | undefined}
   */
  next(visible, knows, isBehind, nowMs) {
    if (this.inFlight.size >= IN_FLIGHT_MAX) return undefined;
    const canFollow = visible.length <= REMEMBERED_MAX;
    const isSettled = (/** @type {number} */ tile) => {
      if (!knows(tile)) return false;
      if (this.remembered.includes(tile)) return true;
      const answeredAtMs = this.answeredAtMs.get(tile);
      if (canFollow || answeredAtMs === undefined) return false;
      return !isBehind(tile) || nowMs - answeredAtMs < REFRESH_MS;
    };
    return visible.find((tile) => !this.inFlight.has(tile) && !isSettled(tile));
  }

  /** @param {number} tile */
  asked(tile) {
    this.inFlight.add(tile);
    this.remembered = this.remembered.filter((other) => other !== tile);
    this.remembered.push(tile);
    if (this.remembered.length > REMEMBERED_MAX) this.remembered.shift();
  }

  /**
   * An answer came. It may be one we are not waiting for: a server that resyncs us answers unasked.
   * @param {number} tile
   * @param {number} nowMs
   * @returns {boolean} whether we were waiting for it
   */
  answered(tile, nowMs) {
    this.answeredAtMs.set(tile, nowMs);
    return this.inFlight.delete(tile);
  }
}
