/*
 * Owns the words under the small map, and its size on a phone.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { element } from './page.js';
import { formatNumber } from './words.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./geometry.js').Geometry} Geometry */

/** The words follow the counts, but nobody reads more than four a second. */
const WORDS_INTERVAL_MS = 250;

/** @typedef {'tile' | 'around' | 'whole'} Reach whether the window is within about a tile, or shows more, or everything */

/**
 * How much of the board a window shows.
 * @param {Geometry} geometry
 * @param {{ left: number, top: number, width: number, height: number }} window in boxes
 * @returns {Reach}
 */
export function reachOf({ columns, rows }, { left, top, width, height }) {
  if (left <= 0 && top <= 0 && left + width >= columns && top + height >= rows) return 'whole';
  return width > TILE_COLUMNS && height > TILE_ROWS ? 'around' : 'tile';
}

/**
 * What is seen of the board, in words. A window of many tiles is not in the one that happens to be in its middle.
 * @param {Geometry} geometry
 * @param {Census} census
 * @param {number} here
 * @param {Reach} reach
 */
export function hereWords(geometry, census, here, reach) {
  if (reach !== 'whole') return { label: reach === 'tile' ? 'You are in' : 'Around', ...tileWords(geometry, census, here) };
  const checked = census.counts.reduce((sum, count) => sum + count, 0);
  return {
    label: 'You see',
    range: `1 – ${formatNumber(geometry.boxes)}`,
    count: countWords(census, checked),
  };
}

/**
 * What a tile is, in words.
 * @param {Geometry} geometry
 * @param {Census} census
 * @param {number} tile
 */
export function tileWords(geometry, census, tile) {
  return {
    range: `${formatNumber(geometry.firstOf(tile))} – ${formatNumber(geometry.lastOf(tile))}`,
    count: countWords(census, census.checkedIn(tile)),
  };
}

/**
 * @param {Census} census
 * @param {number} checked
 */
function countWords(census, checked) {
  if (checked > 0) return `${formatNumber(checked)} checked`;
  return census.known ? 'none yet' : 'not known yet';
}

/**
 * @param {Geometry} geometry
 * @param {Census} census
 * @returns {(here: number, pointed: number | undefined, reach: Reach) => void}
 */
export function tileDisplay(geometry, census) {
  const overview = element('overview');
  const label = element('tile-label');
  const range = element('tile-range');
  const count = element('tile-count');
  let shown = { here: 0, pointed: /** @type {number | undefined} */ (undefined), reach: /** @type {Reach} */ ('tile') };
  let timer = 0;
  const write = () => {
    const { here, pointed, reach } = shown;
    const tile = pointed ?? here;
    const words = tileWords(geometry, census, tile);
    const seen = pointed === undefined ? hereWords(geometry, census, here, reach) : { label: 'Boxes', ...words };
    label.textContent = seen.label;
    range.textContent = seen.range;
    count.textContent = seen.count;
    // A slider's value is read out when keys change it, and only then: nothing to be announced by us.
    overview.setAttribute('aria-valuenow', String(tile + 1));
    overview.setAttribute('aria-valuetext', `boxes ${words.range}, ${words.count}`);
  };
  census.listen((tile) => {
    const isSeen = tile === undefined || tile === (shown.pointed ?? shown.here) || shown.reach === 'whole';
    if (timer !== 0 || !isSeen) return;
    timer = setTimeout(() => {
      timer = 0;
      write();
    }, WORDS_INTERVAL_MS);
  });
  write();
  return (here, pointed, reach) => {
    shown = { here, pointed, reach };
    write();
  };
}

/** A phone shows the map small, and large on demand. */
export function listenToMapSize() {
  const card = element('map-card');
  const button = element('map-size');
  button.addEventListener('click', () => {
    const isLarge = card.classList.toggle('large');
    document.body.classList.toggle('large-map', isLarge);
    button.setAttribute('aria-expanded', String(isLarge));
  });
}
