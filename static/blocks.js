/*
 * Owns the map as seen from afar: each tile a block in the colour of how full it is, from the census, with a glow
 * over the tiles where something happens now, and words on blocks large enough for them. However many tiles there
 * are, drawing them is stretching two small pictures of a pixel per tile.
 */

import { TILE_BOXES, TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { shadeOf } from './census.js';
import { blankCanvas } from './tilepixels.js';
import { formatNumber } from './words.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./scene.js').Scene} Scene */

/** Tiles of at least this width in CSS pixels have words on them. */
const LABEL_PX = 120;

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
    const { tileColumns, tileRows } = geometry;
    this.blocks = blankCanvas(tileColumns, tileRows);
    this.glow = blankCanvas(tileColumns, tileRows);
    this.image = new ImageData(tileColumns, tileRows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.glowImage = new ImageData(tileColumns, tileRows);
    this.glowPixels = new Uint32Array(this.glowImage.data.buffer);
    /** Tiles whose colour is out of date. @type {Set<number>} */
    this.changed = new Set();
    this.allChanged = true;
    /** @type {number[]} tiles that have a pixel in the glow */
    this.glowing = [];
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
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
    this.update();
    // Smoothed blocks would be a blur; small ones are smaller than what is blurred.
    context.imageSmoothingEnabled = false;
    this.stretch(context, scene, this.blocks.canvas);
  }

  /**
   * Smooth stretching is what makes light of it: each busy tile shines beyond its own edge.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @returns {boolean} whether anything glows
   */
  drawGlow(context, scene) {
    for (const tile of this.glowing) this.glowPixels[tile] = 0;
    this.glowing = this.census.warmTiles(scene.nowMs);
    if (this.glowing.length === 0) return false;
    const colour = this.inks.glowPixel & 0xff_ffff;
    for (const tile of this.glowing) {
      const heat = this.census.heat(tile, scene.nowMs);
      this.glowPixels[tile] = ((Math.round(heat * 235) << 24) | colour) >>> 0;
    }
    this.glow.context.putImageData(this.glowImage, 0, 0);
    context.imageSmoothingEnabled = true;
    this.stretch(context, scene, this.glow.canvas);
    return true;
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

  /**
   * How many boxes of a tile are checked, and where it begins.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number[]} tiles
   * @param {number} alpha
   */
  drawLabels(context, { left, top, scale, ratio }, tiles, alpha) {
    const widthPx = (TILE_COLUMNS * scale) / ratio;
    if (widthPx < LABEL_PX || alpha <= 0 || !this.census.known) return;
    const font = getComputedStyle(context.canvas).fontFamily;
    const large = Math.round(Math.min(22, widthPx / 8) * ratio);
    const small = Math.round(Math.min(13, widthPx / 13) * ratio);
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.save();
    for (const tile of tiles) {
      const { column, row } = this.geometry.placeOf(this.geometry.firstOf(tile));
      const x = (column + TILE_COLUMNS / 2 - left) * scale;
      const y = (row + TILE_ROWS / 2 - top) * scale;
      const checked = this.census.checkedIn(tile);
      const full = shadeOf(checked) > 0.46;
      context.fillStyle = full ? this.inks.paper : this.inks.ink;
      context.globalAlpha = alpha * 0.9;
      context.font = `700 ${large}px ${font}`;
      context.fillText(formatNumber(checked), x, y - small * 0.6);
      context.globalAlpha = alpha * 0.65;
      context.font = `500 ${small}px ${font}`;
      context.fillText(`from ${formatNumber(this.geometry.firstOf(tile))}`, x, y + large * 0.75);
    }
    context.restore();
  }

  update() {
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
    const checked = this.census.checkedIn(tile);
    if (checked === 0 && !this.census.known) return shades.unknown;
    const boxes = this.census.boxesIn(tile);
    return shades.pixel(shadeOf(checked, boxes));
  }
}
