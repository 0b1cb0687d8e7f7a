/*
 * Owns the map as seen from afar: each tile a block in the colour of how full it is, from the census, with a glow
 * over the tiles where something happens now. However many tiles there are, drawing them is stretching a small picture
 * of a pixel per tile.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { Shading } from './shading.js';
import { blankCanvas } from './tilepixels.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./scene.js').Scene} Scene */

/** However small a tile is, its light is seen. */
const HALO_MIN_PX = 11;
const HALO_SIZE = 64;
const HALOS_MAX = 600;

export class Blocks {
  /**
   * @param {Geometry} geometry
   * @param {Census} census
   * @param {Inks} inks
   */
  constructor(geometry, census, inks) {
    this.geometry = geometry;
    this.census = census;
    this.inks = inks;
    this.shading = new Shading(census);
    const { tileColumns, tileRows } = geometry;
    this.blocks = blankCanvas(tileColumns, tileRows);
    this.image = new ImageData(tileColumns, tileRows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.halo = this.drawHalo();
    /** Tiles whose colour is out of date. @type {Set<number>} */
    this.changed = new Set();
    this.allChanged = true;
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
    this.halo = this.drawHalo();
    this.allChanged = true;
  }

  /** @param {number | undefined} tile one tile, or any */
  learn(tile) {
    if (tile === undefined) this.allChanged = true;
    else this.changed.add(tile);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  draw(context, scene) {
    this.update(scene.nowMs);
    // Smoothed blocks would be a blur; small ones are smaller than what is blurred.
    context.imageSmoothingEnabled = false;
    this.stretch(context, scene, this.blocks.canvas);
  }

  /**
   * Light over busy tiles, that shines beyond their own edge.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number} alpha
   * @returns {boolean} whether anything glows
   */
  drawGlow(context, scene, alpha) {
    const warm = this.census.warmTiles(scene.nowMs);
    const { left, top, scale, ratio, nowMs } = scene;
    const reach = Math.max(TILE_COLUMNS * scale * 0.75, HALO_MIN_PX * ratio);
    // The newest, if there are more than a frame can draw: the last ones are the ones that happened last.
    for (const tile of warm.slice(-HALOS_MAX)) {
      const { column, row } = this.geometry.placeOf(this.geometry.firstOf(tile));
      const x = (column + TILE_COLUMNS / 2 - left) * scale;
      const y = (row + TILE_ROWS / 2 - top) * scale;
      if (x < -reach || y < -reach || x > scene.width + reach || y > scene.height + reach) continue;
      context.globalAlpha = alpha * this.census.heat(tile, nowMs);
      context.drawImage(this.halo, x - reach, y - reach, 2 * reach, 2 * reach);
    }
    context.globalAlpha = 1;
    return warm.length > 0;
  }

  /** @returns {HTMLCanvasElement} a light that fades with the distance */
  drawHalo() {
    const { canvas, context } = blankCanvas(HALO_SIZE, HALO_SIZE);
    const middle = HALO_SIZE / 2;
    const light = context.createRadialGradient(middle, middle, 0, middle, middle, middle);
    for (const [at, strength] of [[0, 0.95], [0.18, 0.8], [0.45, 0.3], [1, 0]]) {
      const opacity = Math.round(strength * 255).toString(16).padStart(2, '0');
      light.addColorStop(at, `${this.inks.glow}${opacity}`);
    }
    context.fillStyle = light;
    context.fillRect(0, 0, HALO_SIZE, HALO_SIZE);
    return canvas;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {HTMLCanvasElement} picture
   */
  stretch(context, { left, top, scale }, picture) {
    const { tileColumns, tileRows } = this.geometry;
    const x = -left * scale;
    const y = -top * scale;
    context.drawImage(picture, x, y, tileColumns * TILE_COLUMNS * scale, tileRows * TILE_ROWS * scale);
  }

  /**
   * The board may end within a row of tiles, and within a tile; beyond its end there is paper, whatever was drawn.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  cutEnd(context, { left, top, scale, width }) {
    const { geometry } = this;
    const start = geometry.placeOf(geometry.firstOf(geometry.tiles - 1));
    const end = geometry.placeOf(geometry.boxes);
    const x = (/** @type {number} */ column) => (column - left) * scale;
    const y = (/** @type {number} */ row) => (row - top) * scale;
    context.fillStyle = this.inks.paper;
    const erase = (/** @type {number} */ x0, /** @type {number} */ y0, /** @type {number} */ x1, /** @type {number} */ y1) =>
      context.fillRect(x0, y0, Math.max(0, x1 - x0), Math.max(0, y1 - y0));
    const bottom = y(start.row + TILE_ROWS) + 1;
    erase(x(start.column), y(end.row + 1), x(start.column + TILE_COLUMNS), bottom);
    erase(x(end.column + 1), y(end.row), x(start.column + TILE_COLUMNS), bottom);
    erase(x(start.column + TILE_COLUMNS), y(start.row), width, bottom);
  }

  /** @param {number} nowMs */
  update(nowMs) {
    if (this.shading.update(nowMs)) this.allChanged = true;
    if (!this.allChanged && this.changed.size === 0) return;
    const tiles = this.allChanged ? this.pixels.keys() : this.changed;
    for (const tile of tiles) if (tile < this.geometry.tiles) this.pixels[tile] = this.colourOf(tile);
    this.changed.clear();
    this.allChanged = false;
    this.blocks.context.putImageData(this.image, 0, 0);
  }

  /** @param {number} tile */
  colourOf(tile) {
    const { shades } = this.inks;
    const shade = this.shading.shadeOf(tile);
    return shade === 0 && !this.census.known ? shades.unknown : shades.pixel(shade);
  }
}
