/*
 * Owns the words under the small map, and its size on a phone.
 */

import { element } from './page.js';
import { formatNumber } from './words.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./geometry.js').Geometry} Geometry */

/** The words follow the counts, but nobody reads more than four a second. */
const WORDS_INTERVAL_MS = 250;

/**
 * What a tile is, in words.
 * @param {Geometry} geometry
 * @param {Census} census
 * @param {number} tile
 */
export function tileWords(geometry, census, tile) {
  const checked = census.checkedIn(tile);
  const count = checked > 0 ? `${formatNumber(checked)} checked` : 'none yet';
  return {
    range: `${formatNumber(geometry.firstOf(tile))} – ${formatNumber(geometry.lastOf(tile))}`,
    count: census.known || checked > 0 ? count : 'not known yet',
  };
}

/**
 * @param {Geometry} geometry
 * @param {Census} census
 * @returns {(here: number, pointed: number | undefined) => void}
 */
export function tileDisplay(geometry, census) {
  const overview = element('overview');
  const label = element('tile-label');
  const range = element('tile-range');
  const count = element('tile-count');
  let shown = { here: 0, pointed: /** @type {number | undefined} */ (undefined) };
  let timer = 0;
  const write = () => {
    const tile = shown.pointed ?? shown.here;
    const words = tileWords(geometry, census, tile);
    label.textContent = shown.pointed === undefined ? 'You are in' : 'Boxes';
    range.textContent = words.range;
    count.textContent = words.count;
    // A slider's value is read out when keys change it, and only then: nothing to be announced by us.
    overview.setAttribute('aria-valuenow', String(tile + 1));
    overview.setAttribute('aria-valuetext', `boxes ${words.range}, ${words.count}`);
  };
  census.listen((tile) => {
    if (timer !== 0 || (tile !== undefined && tile !== (shown.pointed ?? shown.here))) return;
    timer = setTimeout(() => {
      timer = 0;
      write();
    }, WORDS_INTERVAL_MS);
  });
  write();
  return (here, pointed) => {
    shown = { here, pointed };
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
