/*
 * Owns which tiles this connection has asked for, and decides which one to ask for next. The session sends what it
 * says. Pure: no socket, and time comes in.
 *
 * The server sends updates only for the last 16 ranges a connection asked for, the least recently asked going first.
 * So a tile on the screen has to be among our last 16 requests, or it would silently grow stale.
 */

/** How many ranges the server remembers for updates. */
const REMEMBERED_MAX = 16;

/** A tile that others fill while the server does not tell us of it is asked for again this often at most. */
const REFRESH_MS = 2_000;
const ASKED_MAX = 100;

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
    /** When each tile was last asked for, of those that may be asked for again. @type {Map<number, number>} */
    this.askedAtMs = new Map();
  }

  /** A new connection: the server remembers nothing of the old one. */
  reset() {
    this.remembered = [];
    this.inFlight.clear();
    this.askedAtMs.clear();
  }

  /**
   * The next tile to ask for, or `undefined` while there is nothing to ask or no room for it.
   * Asking for one tile may push another visible one out; that one is then simply next. While no more tiles are visible
   * than the server remembers, this comes to rest with all of them remembered. With more, each is loaded once, and again
   * when the census says that it has gained boxes behind our back.
   * @param {number[]} visible most wanted first
   * @param {(tile: number) => boolean} knows
   * @param {(tile: number) => boolean} lacks whether a known tile has more boxes checked than we know of
   * @param {number} nowMs
   * @returns {number | undefined}
   */
  next(visible, knows, lacks, nowMs) {
    if (this.inFlight.size >= IN_FLIGHT_MAX) return undefined;
    const few = visible.length <= REMEMBERED_MAX;
    return visible.find((tile) => {
      if (this.inFlight.has(tile)) return false;
      if (!knows(tile)) return true;
      if (this.remembered.includes(tile)) return false;
      return few || (lacks(tile) && nowMs - (this.askedAtMs.get(tile) ?? -Infinity) >= REFRESH_MS);
    });
  }

  /**
   * @param {number} tile
   * @param {number} nowMs
   */
  asked(tile, nowMs) {
    this.inFlight.add(tile);
    this.remembered = this.remembered.filter((other) => other !== tile);
    this.remembered.push(tile);
    if (this.remembered.length > REMEMBERED_MAX) this.remembered.shift();
    // Oldest first, so what is let go is of no interest any more.
    this.askedAtMs.delete(tile);
    this.askedAtMs.set(tile, nowMs);
    const [oldest] = this.askedAtMs.keys();
    if (this.askedAtMs.size > ASKED_MAX) this.askedAtMs.delete(oldest);
  }

  /**
   * An answer came. It may be one we are not waiting for: a server that resyncs us answers unasked.
   * @param {number} tile
   */
  answered(tile) {
    this.inFlight.delete(tile);
  }
}
