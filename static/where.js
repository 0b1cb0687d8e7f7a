/*
 * Owns the words for where one is: the line under the jump field, and what is told to whoever cannot see the map.
 */

import { formatNumber } from './words.js';

/** @typedef {import('./camera.js').Camera} Camera */

/** Moving is not worth a word, arriving is. */
const REST_MS = 600;

/**
 * @param {Camera} camera
 * @param {number} id the box that is meant
 */
export function whereabouts({ geometry, level, z, zMin, window }, id) {
  const { column, row } = geometry.placeOf(id);
  const place = `row ${formatNumber(row + 1)}, column ${formatNumber(column + 1)}, box ${formatNumber(id)}`;
  if (level === 'close') return `${place} of ${formatNumber(geometry.boxes)}`;
  if (z <= zMin * 1.001) return `the whole board: ${formatNumber(geometry.boxes)} boxes`;
  const across = formatNumber(Math.round(Math.min(window.width, geometry.columns)));
  const down = formatNumber(Math.round(Math.min(window.height, geometry.rows)));
  return `${across} × ${down} boxes around box ${formatNumber(id)}`;
}

/**
 * @param {HTMLElement} line what is seen, up to date at every frame
 * @param {HTMLElement} spoken a live region
 */
export function whereDisplay(line, spoken) {
  let timer = 0;
  let said = '';
  return (/** @type {Camera} */ camera, /** @type {number} */ id) => {
    const text = whereabouts(camera, id);
    if (line.textContent !== text) line.textContent = text;
    line.dataset.id = String(id);
    // Close by, the checkbox that has the focus speaks for itself.
    if (camera.level === 'close' || text === said) return;
    clearTimeout(timer);
    timer = setTimeout(() => (spoken.textContent = said = text), REST_MS);
  };
}
