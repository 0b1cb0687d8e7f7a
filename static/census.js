/*
 * Owns what this page knows of how full each tile is and where something happens just now. The overview answer, the
 * pulses and the loaded tiles feed it; the overview panel and the zoomed-out map draw from it.
 *
 * Counts are merged with max: boxes are never unchecked, so the highest number heard of a tile is the newest, in
 * whatever order news arrives. Only what is known from an earlier connection is doubted, since the board may have been
 * reset meanwhile, and gives way to the next overview. Pure, apart from a clock that can be passed in: no document, no socket.
 */

/** @typedef {import('./geometry.js').Geometry} Geometry */
/**
 * One tile changed, or with `undefined` all of them may have; `news` boxes were checked in it just now, as far as one
 * can tell.
 * @typedef {(tile: number | undefined, news: number) => void} CensusListener
 */

/** A heat of 1 is gone after this long: three pulses, so that a tile that is busy all the time glows steadily. */
export const HEAT_MS = 3_000;

/** How hot a single check makes a tile; it takes a few hundred within one pulse to make it glow fully. */
const HEAT_OF_ONE = 0.45;
const HEAT_FULL_RISE = 256;

const MAGIC = 0x314f_5842; // "BXO1" read as a little-endian u32
const HEADER_BYTES = 16;
const PLANES = 3;

export class Census {
  /**
   * @param {Geometry} geometry
   * @param {() => number} now a clock in milliseconds, the one `heat` is asked with
   */
  constructor(geometry, now = () => performance.now()) {
    this.geometry = geometry;
    this.now = now;
    this.known = false;
    /** When the last overview was merged; counts heard since then came from pulses and tiles. */
    this.learnedAtMs = -Infinity;
    this.counts = new Uint32Array(geometry.tiles);
    /**
     * What was heard since the counts are doubted; `undefined` while they are not.
     * @type {Map<number, number> | undefined}
     */
    this.heard = undefined;
    /**
     * Tiles that may still be warm. Bounded by the number of tiles; `warmTiles` lets the cold ones go.
     * @type {Map<number, { level: number, atMs: number }>}
     */
    this.warm = new Map();
    /** @type {Set<CensusListener>} */
    this.listeners = new Set();
  }

  /** @param {CensusListener} listener */
  listen(listener) {
    this.listeners.add(listener);
  }

  /** @param {number} tile */
  checkedIn(tile) {
    return this.counts[tile] ?? 0;
  }

  /** A new connection begins: the next overview has the last word. */
  doubt() {
    this.heard = new Map();
  }

  /**
   * @param {number} tile
   * @param {number} checked
   * @param {boolean} isNews whether a rise means that something happened now. Before the first overview nearly every
   *   count rises just because it is heard for the first time; only a pulse knows better.
   */
  learn(tile, checked, isNews = this.known) {
    if (!(tile >= 0 && tile < this.counts.length)) return;
    if (this.heard) this.heard.set(tile, Math.max(checked, this.heard.get(tile) ?? 0));
    const rise = Math.min(checked, this.boxesIn(tile)) - this.counts[tile];
    if (!(rise > 0)) return;
    this.counts[tile] += rise;
    // Before the first overview most of a rise is history.
    const news = isNews ? (this.known ? rise : 1) : 0;
    if (news > 0) this.warmUp(tile, news);
    for (const listener of this.listeners) listener(tile, news);
  }

  /**
   * The answer of `GET /overview`. What cannot be one is not merged: a wrong count that is too high would stay.
   * @param {ArrayBuffer} bytes
   * @param {number} nowMs
   * @returns {boolean} whether it was merged
   */
  learnOverview(bytes, nowMs) {
    const counts = decodeOverview(bytes, this.geometry);
    if (!counts) return false;
    for (let tile = 0; tile < counts.length; tile++) {
      const before = this.heard ? Math.min(this.heard.get(tile) ?? 0, this.boxesIn(tile)) : this.counts[tile];
      this.counts[tile] = Math.max(counts[tile], before);
    }
    this.heard = undefined;
    this.known = true;
    this.learnedAtMs = nowMs;
    for (const listener of this.listeners) listener(undefined, 0);
    return true;
  }

  /**
   * How busy a tile is, from 0 to 1.
   * @param {number} tile
   * @param {number} nowMs
   */
  heat(tile, nowMs) {
    const warm = this.warm.get(tile);
    return warm ? cooled(warm, nowMs) : 0;
  }

  /**
   * The tiles that glow, least recently warmed first.
   * @param {number} nowMs
   * @returns {number[]}
   */
  warmTiles(nowMs) {
    for (const [tile, warm] of this.warm) {
      if (cooled(warm, nowMs) === 0) this.warm.delete(tile);
    }
    return [...this.warm.keys()];
  }

  /**
   * @param {number} tile
   * @param {number} rise
   */
  warmUp(tile, rise) {
    const atMs = this.now();
    const share = Math.min(1, Math.log2(rise) / Math.log2(HEAT_FULL_RISE));
    const level = HEAT_OF_ONE + (1 - HEAT_OF_ONE) * share;
    // Inserted anew, so that the order is that of warming.
    const before = this.heat(tile, atMs);
    this.warm.delete(tile);
    this.warm.set(tile, { level: Math.min(1, level + before / 2), atMs });
  }

  /** @param {number} tile */
  boxesIn(tile) {
    return this.geometry.lastOf(tile) - this.geometry.firstOf(tile) + 1;
  }
}

/**
 * @param {{ level: number, atMs: number }} warm
 * @param {number} nowMs
 */
function cooled({ level, atMs }, nowMs) {
  return Math.max(0, level - Math.max(0, nowMs - atMs) / HEAT_MS);
}

/**
 * @param {ArrayBuffer} bytes
 * @param {Geometry} geometry
 * @returns {Uint32Array | undefined}
 */
function decodeOverview(bytes, geometry) {
  const { boxes, tiles } = geometry;
  if (bytes.byteLength !== HEADER_BYTES + PLANES * tiles) return undefined;
  const header = new DataView(bytes, 0, HEADER_BYTES);
  const u32 = (/** @type {number} */ at) => header.getUint32(at, true);
  if (u32(0) !== MAGIC || u32(4) !== boxes || u32(12) !== tiles) return undefined;

  const plane = (/** @type {number} */ index) => new Uint8Array(bytes, HEADER_BYTES + index * tiles, tiles);
  const [low, middle, high] = [plane(0), plane(1), plane(2)];
  const counts = new Uint32Array(tiles);
  let total = 0;
  for (let tile = 0; tile < tiles; tile++) {
    const checked = low[tile] | (middle[tile] << 8) | (high[tile] << 16);
    if (checked > geometry.lastOf(tile) - geometry.firstOf(tile) + 1) return undefined;
    counts[tile] = checked;
    total += checked;
  }
  return total === u32(8) ? counts : undefined;
}
