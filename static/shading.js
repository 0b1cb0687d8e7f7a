/*
 * Owns how dark each tile is drawn. Two small pictures of the whole board depend on it, and on a board of a billion
 * boxes nearly every tile is nearly empty, so a tile is measured against the other tiles and not against a full one.
 * Pure: it reads the census, and time comes in.
 *
 * Most of what tells tiles apart is how many times as full they are (a logarithm, from the emptier tiles to the fullest
 * one), a little is their rank, so that neighbours differ; and a tile is never lighter than its share of checked boxes.
 */

/** @typedef {import('./census.js').Census} Census */

/** The first box of a tile is a step. */
const FIRST = 0.16;
const RANK_WEIGHT = 0.12;
/** The lightest shade belongs to the tile that a twentieth of all others are emptier than; a few strays do not matter. */
const LOW_QUANTILE = 0.05;
/** Tiles that differ by less than this factor in all are not told apart by the whole of the scale. */
const SPAN_MIN = Math.log(8);

/** Every change of the scale colours all tiles anew. */
const SCALE_MS = 1_000;
const SCALE_CHANGE = 0.03;

export class Shading {
  /** @param {Census} census */
  constructor(census) {
    this.census = census;
    /** Counts of the tiles with any, in ascending order, as the scale was made from them. */
    this.ranked = new Uint32Array(0);
    this.low = 0;
    this.span = SPAN_MIN;
    this.madeAtMs = -Infinity;
    this.isStale = true;
    census.listen((tile) => {
      this.isStale = true;
      // All of them at once: before, next to nothing was known.
      if (tile === undefined) this.madeAtMs = -Infinity;
    });
  }

  /**
   * Makes the scale anew if the census has changed enough, once a second at most.
   * @param {number} nowMs
   * @returns {boolean} whether every tile may have another shade now
   */
  update(nowMs) {
    if (!this.isStale || nowMs - this.madeAtMs < SCALE_MS) return false;
    this.isStale = false;
    this.madeAtMs = nowMs;
    const ranked = this.census.counts.slice().sort();
    const empty = firstAbove(ranked, 0);
    const counted = ranked.subarray(empty);
    const before = { low: this.low, span: this.span, tiles: this.ranked.length };
    const low = Math.log1p(counted[Math.floor(counted.length * LOW_QUANTILE)] ?? 0);
    const span = Math.max(SPAN_MIN, Math.log1p(counted.at(-1) ?? 0) - low);
    const moved = Math.abs(low - before.low) + Math.abs(span - before.span);
    const grown = Math.abs(counted.length - before.tiles);
    if (moved < SCALE_CHANGE && grown <= before.tiles * SCALE_CHANGE) return false;
    this.low = low;
    this.span = span;
    this.ranked = counted;
    return true;
  }

  /**
   * From 0 (empty) to 1 (full).
   * @param {number} tile
   */
  shadeOf(tile) {
    const checked = this.census.checkedIn(tile);
    if (checked <= 0) return 0;
    const share = checked / this.census.boxesIn(tile);
    const times = Math.min(Math.max((Math.log1p(checked) - this.low) / this.span, 0), 1);
    const rank = this.ranked.length === 0 ? 0 : firstAbove(this.ranked, checked - 1) / this.ranked.length;
    return FIRST + (1 - FIRST) * Math.max(share, times * (1 - RANK_WEIGHT) + rank * RANK_WEIGHT);
  }
}

/**
 * @param {Uint32Array} ranked
 * @param {number} value
 * @returns {number} how many are not above it
 */
function firstAbove(ranked, value) {
  let [from, to] = [0, ranked.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (ranked[middle] > value) to = middle;
    else from = middle + 1;
  }
  return from;
}
