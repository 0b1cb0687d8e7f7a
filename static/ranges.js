/*
 * Owns which tiles this connection has asked for, and decides which one to ask for next. The session sends what it
 * says. Pure: no socket, no clock.
 *
 * The server sends updates only for the last 16 ranges a connection asked for, the least recently asked going first.
 * So a tile on the screen has to be among our last 16 requests, or it would silently grow stale. With more than 16 on
 * the screen that cannot be; then each is asked for once, and again whenever a pulse shows that we lack some of it.
 */

/** How many ranges the server remembers for updates. */
const REMEMBERED_MAX = 16;

/** Half of what the server lets one connection have outstanding, so that it never has to stop reading our checks. */
const IN_FLIGHT_MAX = 8;

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
     * The tiles answered on this connection. Whatever is known of others may lack what happened while there was none.
     * @type {Set<number>}
     */
    this.fresh = new Set();
  }

  /** A new connection: the server remembers nothing of the old one. */
  reset() {
    this.remembered = [];
    this.inFlight.clear();
    this.fresh.clear();
  }

  /**
   * The next tile to ask for, or `undefined` while there is nothing to ask or no room for it.
   * Asking for one tile may push another visible one out; that one is then simply next. With at most 16 of them each
   * is pushed out at most once, so this comes to rest.
   * @param {number[]} visible most wanted first
   * @param {(tile: number) => boolean} knows
   * @param {(tile: number) => boolean} isBehind whether there is known to be more of a tile than we know
   * @returns {number | undefined}
   */
  next(visible, knows, isBehind) {
    if (this.inFlight.size >= IN_FLIGHT_MAX) return undefined;
    const canFollow = visible.length <= REMEMBERED_MAX;
    const isSettled = (/** @type {number} */ tile) =>
      knows(tile) && (canFollow ? this.remembered.includes(tile) : this.fresh.has(tile) && !isBehind(tile));
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
   * @returns {boolean} whether we were waiting for it
   */
  answered(tile) {
    this.fresh.add(tile);
    return this.inFlight.delete(tile);
  }
}
