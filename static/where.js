/*
 * Owns the words for where one is: the line under the jump field, and what is told to whoever cannot see the map.
 */

import { formatNumber } from './words.js';

/** @typedef {import('./camera.js').Camera} Camera */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./view.js').View} View */

/** Moving is not worth a word, arriving is. */
const REST_MS = 600;

/** Boxes smaller than this are not pointed at. */
const POINTED_MIN_PX = 6;

/**
 * The box first: where there is room for no more, that is what is left.
 * @param {Camera} camera
 * @param {number} id the box that is meant
 * @returns {string[]} parts that are shown whole or not at all, the first one being the name
 */
export function whereabouts({ geometry, checksByClick, z, zMin, window }, id) {
  const box = `Box ${formatNumber(id)}`;
  if (checksByClick) return [box, ...placeParts(geometry, id)];
  if (z <= zMin * 1.001) return ['The whole board', `${formatNumber(geometry.boxes)} boxes`];
  const across = formatNumber(Math.round(Math.min(window.width, geometry.columns)));
  const down = formatNumber(Math.round(Math.min(window.height, geometry.rows)));
  return [box, `amid ${across} × ${down}`];
}

/**
 * @param {Geometry} geometry
 * @param {number} id
 */
export function placeWords(geometry, id) {
  return placeParts(geometry, id).join('');
}

/**
 * @param {Geometry} geometry
 * @param {number} id
 */
function placeParts(geometry, id) {
  const { column, row } = geometry.placeOf(id);
  return [`row ${formatNumber(row + 1)}`, `, column ${formatNumber(column + 1)}`];
}

/**
 * @param {HTMLElement} line what is seen, up to date at every frame
 * @param {HTMLElement} spoken a live region
 */
export function whereDisplay(line, spoken) {
  // They wrap where there is no room, and only their first line is seen: half a number would be another one.
  const parts = ['strong', 'span', 'span'].map((tag) => document.createElement(tag));
  const [name, place, more] = parts;
  line.replaceChildren(name, ' ', place, document.createElement('wbr'), more);
  let timer = 0;
  let said = '';
  /**
   * @param {Camera} camera
   * @param {number} id
   * @param {number} [hovered] a box that a pointer rests on
   */
  return (camera, id, hovered) => {
    const words = whereabouts(camera, hovered || id);
    parts.forEach((part, at) => {
      const text = words[at] ?? '';
      if (part.textContent !== text) part.textContent = text;
    });
    line.dataset.id = String(id);
    // Close by, the checkbox that has the focus speaks for itself; a pointer is led by an eye.
    const text = `${words[0]}, ${words.slice(1).join('')}`;
    if (camera.level === 'close' || hovered || text === said) return;
    clearTimeout(timer);
    timer = setTimeout(() => (spoken.textContent = said = text), REST_MS);
  };
}

/*
 * Which box the mouse points at, so that its number can be told before it is checked for good. A finger points at nothing
 * without touching it.
 */
export class Hover {
  /**
   * @param {HTMLElement} root
   * @param {View} view
   * @param {(box: number) => void} show the box under the mouse, or 0
   */
  constructor(root, view, show) {
    this.root = root;
    this.view = view;
    this.show = show;
    /** @type {{ clientX: number, clientY: number } | undefined} */
    this.mouse = undefined;
    root.addEventListener('pointermove', (event) => {
      if (event.pointerType !== 'mouse') return;
      this.mouse = event;
      this.moved();
    });
    root.addEventListener('pointerleave', () => {
      this.mouse = undefined;
      this.moved();
    });
  }

  /** The mouse moved, or the map under it. */
  moved() {
    const { mouse, view } = this;
    if (!mouse || view.motion.moving || view.camera.z < POINTED_MIN_PX) return this.show(0);
    const { left, top } = this.root.getBoundingClientRect();
    this.show(view.boxUnder(mouse.clientX - left, mouse.clientY - top));
  }
}
