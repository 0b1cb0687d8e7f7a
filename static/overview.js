/*
 * Owns the small map of the whole board: one pixel per tile, brighter the more boxes are checked in it, a short glow
 * where something happens, and a frame where the window stands. Clicking it goes there. It learns counts from loaded
 * tiles and from the server's pulse, and knows nothing of tiles that neither has mentioned.
 */

import { TILE_BOXES } from './geometry.js';

/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {[number, number, number]} Colour */

const UNKNOWN = -1;

/** A faint line every so many tiles. */
const LINE_TILES = 10;

/** Glows fade in ten steps of 120 ms, a little longer than the time between two pulses. */
const GLOW_STEPS = 10;
const GLOW_STEP_MS = 120;

export class Overview {
  /**
   * @param {HTMLElement} root holds a canvas and the frame
   * @param {Geometry} geometry
   * @param {(column: number, row: number) => void} goTo
   */
  constructor(root, geometry, goTo) {
    this.root = root;
    this.geometry = geometry;
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector('canvas'));
    this.marker = /** @type {HTMLElement} */ (root.querySelector('.marker'));
    this.canvas.width = geometry.tileColumns;
    this.canvas.height = geometry.tileRows;
    /** Checked boxes per tile, or UNKNOWN. */
    this.checked = new Int32Array(geometry.tiles).fill(UNKNOWN);
    /** @type {Map<number, number>} tile to steps of glow left */
    this.glows = new Map();
    this.drawTimer = 0;
    // One tile needs no map of itself.
    root.hidden = geometry.tiles === 1;
    root.style.setProperty('--map-ratio', String(geometry.columns / geometry.rows));
    root.style.setProperty('--map-x-step', `${(LINE_TILES / geometry.tileColumns) * 100}%`);
    root.style.setProperty('--map-y-step', `${(LINE_TILES / geometry.tileRows) * 100}%`);
    this.readColours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.readColours());
    this.listen(goTo);
  }

  /**
   * @param {number} tile
   * @param {number} checked
   */
  learn(tile, checked) {
    if (tile >= this.checked.length || this.checked[tile] === checked) return;
    this.checked[tile] = checked;
    this.drawSoon();
  }

  /**
   * Something was checked in this tile just now.
   * @param {number} tile
   */
  glow(tile) {
    if (tile >= this.checked.length) return;
    this.glows.set(tile, GLOW_STEPS);
    this.drawSoon();
  }

  /** @param {{ left: number, top: number, width: number, height: number }} window in boxes */
  showWindow({ left, top, width, height }) {
    const { columns, rows } = this.geometry;
    const share = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ count) =>
      Math.min(Math.max(start / Math.max(1, count - size), 0), 1);
    // Like the thumb of a scrollbar: at share 0 it touches the one edge, at share 1 the other.
    const x = share(left, width, columns);
    const y = share(top, height, rows);
    this.root.style.setProperty('--map-x', String(x));
    this.root.style.setProperty('--map-y', String(y));
    this.marker.style.left = `${x * 100}%`;
    this.marker.style.top = `${y * 100}%`;
    this.marker.style.width = `${Math.min(1, width / columns) * 100}%`;
    this.marker.style.height = `${Math.min(1, height / rows) * 100}%`;
  }

  /** @param {(column: number, row: number) => void} goTo */
  listen(goTo) {
    const go = (/** @type {PointerEvent} */ event) => {
      const area = this.canvas.getBoundingClientRect();
      goTo(
        ((event.clientX - area.left) / area.width) * this.geometry.columns,
        ((event.clientY - area.top) / area.height) * this.geometry.rows,
      );
    };
    this.root.addEventListener('pointerdown', (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      this.root.setPointerCapture(event.pointerId);
      go(event);
    });
    this.root.addEventListener('pointermove', (event) => {
      if (this.root.hasPointerCapture(event.pointerId)) go(event);
    });
  }

  readColours() {
    const style = getComputedStyle(this.root);
    const read = (/** @type {string} */ name) => parseColour(style.getPropertyValue(name));
    this.colours = {
      unknown: read('--map-unknown'),
      empty: read('--map-empty'),
      full: read('--map-full'),
      glow: read('--map-glow'),
    };
    this.drawSoon();
  }

  drawSoon() {
    if (this.drawTimer === 0) this.drawTimer = setTimeout(() => this.draw(), GLOW_STEP_MS);
  }

  draw() {
    this.drawTimer = 0;
    const context = this.canvas.getContext('2d');
    if (!context) return;
    const image = context.createImageData(this.canvas.width, this.canvas.height);
    for (let tile = 0; tile < this.checked.length; tile++) {
      const glow = (this.glows.get(tile) ?? 0) / GLOW_STEPS;
      const [red, green, blue] = mix(this.colourOf(tile), this.colours?.glow ?? BLACK, glow);
      image.data.set([red, green, blue, 255], tile * 4);
    }
    context.putImageData(image, 0, 0);
    for (const [tile, steps] of this.glows) {
      if (steps > 1) this.glows.set(tile, steps - 1);
      else this.glows.delete(tile);
    }
    // One more draw after the last glow is gone wipes it away.
    if (this.glows.size > 0 || this.wasGlowing) this.drawSoon();
    this.wasGlowing = this.glows.size > 0;
  }

  wasGlowing = false;

  /**
   * @param {number} tile
   * @returns {Colour}
   */
  colourOf(tile) {
    const { unknown, empty, full } = this.colours ?? { unknown: BLACK, empty: BLACK, full: BLACK };
    const checked = this.checked[tile];
    if (checked === UNKNOWN) return unknown;
    // Most of a billion boxes stay empty for long, so a logarithm: the first box shows, and so does the thousandth.
    return mix(empty, full, Math.log1p(checked) / Math.log1p(TILE_BOXES));
  }
}

/** @type {Colour} */
const BLACK = [0, 0, 0];

/**
 * @param {Colour} from
 * @param {Colour} to
 * @param {number} share
 * @returns {Colour}
 */
function mix(from, to, share) {
  const between = (/** @type {0 | 1 | 2} */ part) => Math.round(from[part] + (to[part] - from[part]) * share);
  return [between(0), between(1), between(2)];
}

/**
 * @param {string} text a colour of the style sheet, written as #rrggbb
 * @returns {Colour}
 */
function parseColour(text) {
  const value = Number.parseInt(text.trim().slice(1), 16) || 0;
  return [value >> 16, (value >> 8) & 255, value & 255];
}
