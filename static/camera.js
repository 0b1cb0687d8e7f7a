/*
 * Owns where the eye stands: the middle of the screen as a place on the map, and how many CSS pixels a box is wide
 * there (z). Knows how far one may zoom and pan, and which of the three ways of drawing belongs to a zoom. Pure: the
 * view moves it, the layers read it.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';

/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {'board' | 'boxes' | 'close'} Level tiles as blocks, boxes as pixels, boxes as real checkboxes */
/** @typedef {{ x: number, y: number, z: number }} Stand a place of the middle, in boxes, and a scale in px per box */
/** @typedef {{ left: number, top: number, width: number, height: number }} Window in boxes */

/** Real checkboxes smaller than this are no fun to hit. */
export const CLOSE_MIN_PX = 16;
/** What one meets on arriving. Fingers are wider than pointers. */
const NATURAL_PX = 28;
const NATURAL_TOUCH_PX = 36;
const MAX_PX = 56;

/** The page may have 3,000 elements, and this many checkboxes is what one frame can still lay out. */
export const CELLS_MAX = 2_000;

/** 25 x 12.5 KB: what one screen may ask the server for. With more tiles in sight, their counts have to do. */
export const TILES_LOADED_MAX = 25;

/** What is left free around the map, so that its edge is seen to be one. */
const EDGE_PX = 14;
/** Close by, the last boxes must be reachable from under the zoom buttons. */
const EDGE_BUTTONS_PX = 68;

export class Camera {
  /** @param {Geometry} geometry */
  constructor(geometry) {
    this.geometry = geometry;
    this.x = 0;
    this.y = 0;
    this.z = NATURAL_PX;
    this.widthPx = 1;
    this.heightPx = 1;
    /** The whole board fits. */
    this.zMin = 1;
    /** From here on the tiles in sight are few enough to be loaded. */
    this.zLoad = 1;
    /** From here on boxes are real checkboxes. A whole number, because only whole pixels are crisp. */
    this.zClose = CLOSE_MIN_PX;
    this.zNatural = NATURAL_PX;
    this.zMax = MAX_PX;
  }

  /**
   * @param {number} widthPx
   * @param {number} heightPx
   * @param {boolean} touch
   */
  resize(widthPx, heightPx, touch) {
    const { columns, rows, tiles } = this.geometry;
    const whole = this.z <= this.zMin * 1.001;
    // Where only the lower edge moves (words below that wrap, a phone's keyboard), what is seen stays where it is.
    const down = widthPx === this.widthPx ? (heightPx - this.heightPx) / 2 : 0;
    this.widthPx = widthPx;
    this.heightPx = heightPx;
    this.zClose = CLOSE_MIN_PX;
    while (cellsAcross(widthPx, this.zClose) * cellsAcross(heightPx, this.zClose) > CELLS_MAX) this.zClose += 1;
    this.zNatural = Math.max(this.zClose, touch ? NATURAL_TOUCH_PX : NATURAL_PX);
    this.zMax = Math.max(MAX_PX, Math.round(this.zClose * 1.5));
    const fit = Math.min((widthPx - 2 * EDGE_PX) / columns, (heightPx - 2 * EDGE_PX) / rows);
    // A board of a few boxes is not blown up until it fills the screen.
    this.zMin = Math.min(Math.max(fit, 1e-4), this.zNatural);
    // Checkboxes come in whole pixels, also those of a board so small that one never needs to zoom out of them.
    if (this.zMin >= this.zClose) this.zMin = Math.floor(this.zMin);
    this.zLoad = tiles <= TILES_LOADED_MAX ? 1e-4 : loadableFrom(widthPx, heightPx);
    this.stand({ x: this.x, y: this.y + down / this.z, z: whole ? this.zMin : this.z });
  }

  /**
   * Goes there, or as near as the map allows.
   * @param {Stand} stand
   */
  stand({ x, y, z }) {
    this.z = this.clampZoom(z);
    const { columns, rows } = this.geometry;
    const near = Math.min(Math.max(Math.log2(this.z / 4) / 2, 0), 1);
    const edge = EDGE_PX / this.z;
    const edgeRight = (EDGE_PX + (EDGE_BUTTONS_PX - EDGE_PX) * near) / this.z;
    this.x = clampMiddle(x, this.widthPx / this.z, columns, edge, edgeRight);
    this.y = clampMiddle(y, this.heightPx / this.z, rows, edge, edge);
  }

  /** @param {number} z */
  clampZoom(z) {
    return Math.min(Math.max(z, this.zMin), this.zMax);
  }

  /**
   * Moves by a distance on the screen.
   * @param {number} dxPx
   * @param {number} dyPx
   */
  pan(dxPx, dyPx) {
    this.stand({ x: this.x + dxPx / this.z, y: this.y + dyPx / this.z, z: this.z });
  }

  /**
   * Zooms so that what lies under a point of the screen stays under it.
   * @param {number} z
   * @param {number} xPx from the left of the board
   * @param {number} yPx
   */
  zoomAt(z, xPx, yPx) {
    const { x, y } = this.under(xPx, yPx);
    const zoom = this.clampZoom(z);
    this.stand({ x: x - (xPx - this.widthPx / 2) / zoom, y: y - (yPx - this.heightPx / 2) / zoom, z: zoom });
  }

  /**
   * The place on the map, in boxes and fractions of boxes, under a point of the screen.
   * @param {number} xPx
   * @param {number} yPx
   */
  under(xPx, yPx) {
    return { x: this.x + (xPx - this.widthPx / 2) / this.z, y: this.y + (yPx - this.heightPx / 2) / this.z };
  }

  /** @returns {Level} */
  get level() {
    return this.levelAt(this.z);
  }

  /**
   * @param {number} z
   * @returns {Level}
   */
  levelAt(z) {
    if (z >= this.zClose) return 'close';
    return z >= this.zLoad ? 'boxes' : 'board';
  }

  /**
   * Whether a box is large enough that a click means it, and not the way to it. A large screen has too many such boxes
   * for checkboxes at first: there they are painted, and can be checked all the same.
   */
  get checksByClick() {
    return this.z >= CLOSE_MIN_PX;
  }

  /** @returns {Window} */
  get window() {
    const width = this.widthPx / this.z;
    const height = this.heightPx / this.z;
    return { left: this.x - width / 2, top: this.y - height / 2, width, height };
  }

  /** The tiles worth loading for this window, nearest to the middle first; none when there are too many. */
  get tilesWanted() {
    if (this.z < this.zLoad) return [];
    return this.geometry.tilesIn(this.window).slice(0, TILES_LOADED_MAX);
  }

  /** A zoom near enough to checkboxes becomes one at which they are crisp; any other stays what it is. */
  get restZoom() {
    if (this.z < this.zClose * 0.85) return this.z;
    return Math.min(Math.max(Math.round(this.z), this.zClose), this.zMax);
  }

  /**
   * Where a tap goes that is too far out to mean a box: first so near that the tile fills the screen, then to the box.
   * @param {number} z
   */
  zoomAfter(z) {
    const tile = Math.min(this.widthPx / TILE_COLUMNS, this.heightPx / TILE_ROWS);
    const nearer = Math.max(tile, this.zLoad) * 1.2;
    return this.levelAt(z) === 'board' && nearer < this.zClose / 2 ? nearer : this.zNatural;
  }

  /** Where Escape goes: from the boxes to their tile, from there to everything. */
  get zoomBefore() {
    if (this.level !== 'close') return this.zMin;
    const before = this.zoomAfter(this.zMin);
    return before < this.zClose ? Math.max(before, this.zMin) : this.zMin;
  }
}

/**
 * How many checkboxes a stretch of the screen can touch.
 * @param {number} px
 * @param {number} z
 */
export function cellsAcross(px, z) {
  return Math.ceil(px / z) + 1;
}

/**
 * The smallest zoom at which a window never touches more tiles than may be loaded, however it lies.
 * @param {number} widthPx
 * @param {number} heightPx
 */
function loadableFrom(widthPx, heightPx) {
  const touched = (/** @type {number} */ z) =>
    cellsAcross(widthPx, TILE_COLUMNS * z) * cellsAcross(heightPx, TILE_ROWS * z);
  let z = CLOSE_MIN_PX;
  while (touched(z / 1.02) <= TILES_LOADED_MAX) z /= 1.02;
  return z;
}

/**
 * A window stays on the map and its edge; a map smaller than the window stands in its middle.
 * @param {number} middle
 * @param {number} size
 * @param {number} count
 * @param {number} before
 * @param {number} after
 */
function clampMiddle(middle, size, count, before, after) {
  if (count + before + after <= size) return count / 2;
  return Math.min(Math.max(middle, size / 2 - before), count + after - size / 2);
}
