/*
 * Owns the choice of a place worth looking at: a tile that others have been to, and in it a free box beside checked
 * ones, with room to go on. Pure, and for a given `random` always the same.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {{ columns: number, rows: number }} Screen how many boxes are seen at once */

/** A tile with more is crowded: a fifth of it is checked, and its emptier neighbours need company more. */
const CROWDED = 20_000;

/** With so many boxes a tile can fill a screen, and more are not more worth a visit. */
const SCREENFUL = 2_000;

/** A newcomer is sent to one of this many tiles, so that newcomers meet, and not all in the same place. */
const NEWCOMERS_TILES = 16;
/** None of them has much less to show than the best. */
const NEWCOMERS_SHARE = 0.1;

/** With fewer boxes, a tile where something happens is hardly company, as long as there is a better one. */
const LIVELY_COMPANY = 10;

/** How much of a screen should be free, and beyond which more company is no better. */
const FREE_SHARE = 0.5;
const COMPANY_SHARE = 0.3;

/** Places nearly as good as the best one are as good: not everyone should land on the same box. */
const GOOD_ENOUGH = 0.8;

/**
 * Where a newcomer lands: where something happens, or else where most boxes are checked short of a crowd.
 * @param {Census} census
 * @param {number[]} busy tiles where something happened lately
 * @param {() => number} random in [0, 1)
 * @returns {number | undefined} nothing on a board that is empty or full
 */
export function tileForNewcomer(census, busy, random) {
  const inviting = (/** @type {number} */ tile) => census.checkedIn(tile) > 0 && census.checkedIn(tile) <= CROWDED;
  const checked = (/** @type {number} */ tile) => census.checkedIn(tile);
  const lively = busy.filter((tile) => inviting(tile) && checked(tile) >= LIVELY_COMPANY);
  if (lively.length > 0) return pick(lively, random);
  const tiles = [...census.counts.keys()];
  const best = tiles.filter(inviting).sort((a, b) => checked(b) - checked(a) || a - b);
  const enough = best.length > 0 ? checked(best[0]) * NEWCOMERS_SHARE : 0;
  if (best.length > 0) return pick(best.slice(0, NEWCOMERS_TILES).filter((tile) => checked(tile) >= enough), random);
  // Everything is either empty or crowded: the emptiest of the crowded ones still has room.
  const roomy = tiles.filter((tile) => checked(tile) > 0 && checked(tile) < census.boxesIn(tile));
  return roomy.sort((a, b) => checked(a) - checked(b) || a - b)[0];
}

/**
 * Any tile with something in it and room beside it, fuller ones more often.
 * @param {Census} census
 * @param {number} except the tile one is in
 * @param {() => number} random in [0, 1)
 * @returns {number | undefined}
 */
export function tileAtRandom(census, except, random) {
  const weightOf = (/** @type {number} */ tile) => {
    const checked = census.checkedIn(tile);
    const worth = Math.min(checked, SCREENFUL, census.boxesIn(tile) - checked);
    // Ten boxes together are more to look at than ten on their own.
    return tile === except ? 0 : worth ** 1.5;
  };
  let total = 0;
  for (const tile of census.counts.keys()) total += weightOf(tile);
  let left = random() * total;
  for (const tile of census.counts.keys()) {
    const weight = weightOf(tile);
    if (weight > 0 && left < weight) return tile;
    left -= weight;
  }
  return undefined;
}

/**
 * A free box of a tile beside a checked one, with free ones around; or any free one where none has company.
 * @param {Uint8Array} bits of the tile
 * @param {number} boxes how many the tile has
 * @param {Screen} screen
 * @param {() => number} random in [0, 1)
 * @returns {number | undefined} its offset in the tile; nothing when all are checked
 */
export function boxInCompany(bits, boxes, screen, random) {
  const isChecked = (/** @type {number} */ offset) => ((bits[offset >> 3] >> (offset & 7)) & 1) === 1;
  const sums = sumsOf(isChecked, boxes);
  const area = screen.columns * screen.rows;
  /** @type {{ offset: number, score: number }[]} */
  const places = [];
  for (let offset = 0; offset < boxes; offset++) {
    if (isChecked(offset) || !hasCheckedBeside(isChecked, offset, boxes)) continue;
    places.push({ offset, score: scoreOf(sums, offset, boxes, screen, area) });
  }
  const best = places.reduce((most, { score }) => Math.max(most, score), -Infinity);
  const good = places.filter(({ score }) => score >= best * (best > 0 ? GOOD_ENOUGH : 1));
  if (good.length > 0) return pick(good, random).offset;
  const free = [...Array(boxes).keys()].filter((offset) => !isChecked(offset));
  return free.length > 0 ? pick(free, random) : undefined;
}

/**
 * The company in sight, or how much room is missing, as a negative number.
 * @param {Uint32Array} sums
 * @param {number} offset
 * @param {number} boxes
 * @param {Screen} screen
 * @param {number} area
 */
function scoreOf(sums, offset, boxes, { columns, rows }, area) {
  const [column, row] = [offset % TILE_COLUMNS, Math.floor(offset / TILE_COLUMNS)];
  const [west, north] = [column - (columns >> 1), row - (rows >> 1)];
  const [left, right] = [Math.max(0, west), Math.min(TILE_COLUMNS, west + columns)];
  const [top, bottom] = [Math.max(0, north), Math.min(Math.ceil(boxes / TILE_COLUMNS), north + rows)];
  const at = (/** @type {number} */ x, /** @type {number} */ y) => sums[y * (TILE_COLUMNS + 1) + x];
  const checked = at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
  // Of what lies beyond the tile nothing is known, so it does not count as room.
  const missing = area * FREE_SHARE - ((right - left) * (bottom - top) - checked);
  return missing > 0 ? -missing : Math.min(checked, area * COMPANY_SHARE);
}

/**
 * For each corner, how many boxes above and to the left of it are checked: then any window costs four look-ups.
 * @param {(offset: number) => boolean} isChecked
 * @param {number} boxes
 */
function sumsOf(isChecked, boxes) {
  const width = TILE_COLUMNS + 1;
  const sums = new Uint32Array(width * (TILE_ROWS + 1));
  for (let row = 0; row < TILE_ROWS; row++) {
    for (let column = 0; column < TILE_COLUMNS; column++) {
      const offset = row * TILE_COLUMNS + column;
      const here = (row + 1) * width + column + 1;
      const own = offset < boxes && isChecked(offset) ? 1 : 0;
      sums[here] = own + sums[here - 1] + sums[here - width] - sums[here - width - 1];
    }
  }
  return sums;
}

/**
 * @param {(offset: number) => boolean} isChecked
 * @param {number} offset
 * @param {number} boxes
 */
function hasCheckedBeside(isChecked, offset, boxes) {
  const column = offset % TILE_COLUMNS;
  return (
    (column > 0 && isChecked(offset - 1)) ||
    (column < TILE_COLUMNS - 1 && offset + 1 < boxes && isChecked(offset + 1)) ||
    (offset >= TILE_COLUMNS && isChecked(offset - TILE_COLUMNS)) ||
    (offset + TILE_COLUMNS < boxes && isChecked(offset + TILE_COLUMNS))
  );
}

/**
 * @template T
 * @param {T[]} items
 * @param {() => number} random
 * @returns {T}
 */
function pick(items, random) {
  return items[Math.floor(random() * items.length)];
}
