/*
 * Owns the pictures of loaded tiles, of a pixel per box. A picture is made once from the bits and then kept up to date
 * box by box, so that an update costs one pixel, whatever is on the screen.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { TINTS, tintAt } from './colours.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./geometry.js').Geometry} Geometry */

/**
 * @typedef {object} Picture
 * @property {HTMLCanvasElement} canvas
 * @property {CanvasRenderingContext2D} context
 * @property {number[][]} pending offsets of boxes to be painted, by tint
 * @property {number} count how many are pending
 * @property {number} bornMs when it was first seen, for fading it in
 * @property {boolean} stale has to be made anew from the bits
 */

/** 64 x 400 KB of pixels: two screens full. */
const PICTURES_MAX = 64;

/** From this many on, making the picture anew is cheaper than painting box by box. */
const PENDING_MAX = 4_000;

/** Making one takes half a millisecond, and a frame has eight. */
const MADE_PER_FRAME_MAX = 4;

export class TilePixels {
  /**
   * @param {Geometry} geometry
   * @param {Board} board
   * @param {Inks} inks
   */
  constructor(geometry, board, inks) {
    this.geometry = geometry;
    this.board = board;
    this.inks = inks;
    /**
     * Oldest use first.
     * @type {Map<number, Picture>}
     */
    this.pictures = new Map();
    this.left = MADE_PER_FRAME_MAX;
    this.image = new ImageData(TILE_COLUMNS, TILE_ROWS);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** A new frame has a new allowance. Returns whether the last one used all of it up. */
  beginFrame() {
    const short = this.left < 0;
    this.left = MADE_PER_FRAME_MAX;
    return short;
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
    for (const picture of this.pictures.values()) picture.stale = true;
  }

  /**
   * A box is checked now. Called thousands of times a second, so it only takes note.
   * @param {number} tile
   * @param {number} offset of the box in its tile
   * @param {number} id
   */
  checked(tile, offset, id) {
    const picture = this.pictures.get(tile);
    if (!picture || picture.stale) return;
    const { column, row } = this.geometry.placeOf(id);
    picture.pending[tintAt(column, row)].push(offset);
    picture.count += 1;
    if (picture.count > PENDING_MAX) picture.stale = true;
  }

  /**
   * A whole tile arrived.
   * @param {number} tile
   */
  loaded(tile) {
    const picture = this.pictures.get(tile);
    if (picture) picture.stale = true;
  }

  /**
   * The picture of a tile, up to date; `undefined` when the tile is not loaded or this frame has made enough others.
   * @param {number} tile
   * @param {number} bornMs since when it is seen, if it is new
   * @returns {Picture | undefined}
   */
  of(tile, bornMs) {
    const bits = this.board.bitsOf(tile);
    if (!bits) return undefined;
    let picture = this.pictures.get(tile);
    if (!picture || (picture.stale && this.left >= 0)) {
      this.left -= 1;
      if (this.left < 0) return picture;
      picture ??= this.create(bornMs);
      this.make(picture, tile, bits);
    }
    this.pictures.delete(tile);
    this.pictures.set(tile, picture);
    if (picture.count > 0) this.paintPending(picture);
    return picture;
  }

  /**
   * @param {number} bornMs
   * @returns {Picture}
   */
  create(bornMs) {
    // The longest unused one gives its canvas to the new one: browsers are slow to free canvases.
    const [oldest] = this.pictures.keys();
    const reused = this.pictures.size >= PICTURES_MAX ? this.pictures.get(oldest) : undefined;
    if (reused) this.pictures.delete(oldest);
    const { canvas, context } = reused ?? blankCanvas(TILE_COLUMNS, TILE_ROWS);
    const pending = Array.from({ length: TINTS }, () => []);
    return { canvas, context, pending, count: 0, bornMs, stale: true };
  }

  /**
   * @param {Picture} picture
   * @param {number} tile
   * @param {Uint8Array} bits
   */
  make(picture, tile, bits) {
    const { pixels } = this;
    const { emptyPixel, tintPixels } = this.inks;
    const first = this.geometry.firstOf(tile);
    const boxes = this.geometry.lastOf(tile) - first + 1;
    const place = this.geometry.placeOf(first);
    pixels.fill(emptyPixel, 0, boxes);
    pixels.fill(0, boxes);
    for (let byte = 0; byte < bits.length; byte++) {
      let rest = bits[byte];
      while (rest !== 0) {
        const offset = byte * 8 + 31 - Math.clz32(rest & -rest);
        rest &= rest - 1;
        const row = Math.floor(offset / TILE_COLUMNS);
        pixels[offset] = tintPixels[tintAt(place.column + offset - row * TILE_COLUMNS, place.row + row)];
      }
    }
    picture.context.putImageData(this.image, 0, 0);
    for (const offsets of picture.pending) offsets.length = 0;
    picture.count = 0;
    picture.stale = false;
  }

  /** @param {Picture} picture */
  paintPending(picture) {
    const { context } = picture;
    picture.pending.forEach((offsets, tint) => {
      if (offsets.length === 0) return;
      context.fillStyle = this.inks.tints[tint];
      for (const offset of offsets) {
        context.fillRect(offset % TILE_COLUMNS, Math.floor(offset / TILE_COLUMNS), 1, 1);
      }
      offsets.length = 0;
    });
    picture.count = 0;
  }
}

/**
 * @param {number} width
 * @param {number} height
 */
export function blankCanvas(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser has no canvas to draw on');
  return { canvas, context };
}
