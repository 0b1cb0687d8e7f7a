/*
 * Owns the words on the painted map: from afar how many boxes of a tile are checked, nearer which tile this is and which
 * box begins each square of the ruler. Words stand on plates, so that they can be read on any colour. A plate is drawn
 * once and then copied: panning would have a hundred of them drawn in every frame.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { fade } from './scene.js';
import { blankCanvas } from './tilepixels.js';
import { formatNumber } from './words.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./scene.js').Scene} Scene */
/** @typedef {{ large: string, small: string }} Words */
/** @typedef {{ x: number, y: number, width: number, height: number }} Area in device pixels */

const LARGE_PX = 14;
const SMALL_PX = 11;
const PADDING_PX = 5;
const PLATE_OPACITY = 0.88;

/** From this width on a tile has room for how many of its boxes are checked; from the second one also for its number. */
const COUNT_PX = 64;
const NUMBER_PX = 150;

/** Squares of so many boxes have the number of their first one in the corner. */
const SQUARE = { columns: 100, rows: 50 };

const KEPT_MAX = 600;
/** Drawing a plate takes a twentieth of a millisecond; the rest come in the next frames. */
const DRAWN_PER_FRAME_MAX = 24;

export class Labels {
  /**
   * @param {Geometry} geometry
   * @param {Board} board
   * @param {Census} census
   * @param {Inks} inks
   */
  constructor(geometry, board, census, inks) {
    this.geometry = geometry;
    this.board = board;
    this.census = census;
    this.inks = inks;
    /** Oldest use first. @type {Map<string, HTMLCanvasElement>} */
    this.plates = new Map();
    this.ratio = 1;
    this.left = 0;
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
    this.plates.clear();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @returns {boolean} whether some are still to come
   */
  draw(context, scene) {
    const { z, near, far, ratio } = scene;
    const tilePx = TILE_COLUMNS * z;
    if (tilePx < COUNT_PX || !this.census.known) return false;
    if (ratio !== this.ratio) this.plates.clear();
    this.ratio = ratio;
    this.left = DRAWN_PER_FRAME_MAX;
    const tiles = this.geometry.tilesIn(scene.window);
    const strength = strengths(near);
    const counts = fade(tilePx, COUNT_PX, COUNT_PX * 1.2) * strength.counts;
    if (counts > 0) for (const tile of tiles) this.drawCount(context, scene, tile, counts, tilePx >= NUMBER_PX);
    const numbers = strength.numbers * far;
    if (numbers > 0) {
      /** @type {Area[]} */
      const taken = [];
      for (const tile of tiles) this.drawCorner(context, scene, tile, numbers, taken);
      const squares = numbers * fade(z, 1.4, 2);
      if (squares > 0) this.drawSquares(context, scene, squares, taken);
    }
    context.globalAlpha = 1;
    return this.left < 0;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number} tile
   * @param {number} alpha
   * @param {boolean} numbered
   */
  drawCount(context, { left, top, scale }, tile, alpha, numbered) {
    const first = this.geometry.firstOf(tile);
    const checked = this.census.checkedIn(tile);
    if (checked === 0 && !numbered) return;
    const { column, row } = this.geometry.placeOf(first);
    const plate = this.plateOf(numbered ? `tile ${first} ${checked}` : `count ${checked}`, () => ({
      large: formatNumber(checked),
      small: numbered ? `from ${formatNumber(first)}` : '',
    }));
    if (!plate) return;
    const x = (column + TILE_COLUMNS / 2 - left) * scale - plate.width / 2;
    const y = (row + TILE_ROWS / 2 - top) * scale - plate.height / 2;
    context.globalAlpha = alpha;
    context.drawImage(plate, Math.round(x), Math.round(y));
  }

  /**
   * In the corner of a tile, or of what is in sight of it.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number} tile
   * @param {number} alpha
   * @param {Area[]} taken gets where it is
   */
  drawCorner(context, { left, top, scale, width, height, ratio }, tile, alpha, taken) {
    const first = this.geometry.firstOf(tile);
    const { column, row } = this.geometry.placeOf(first);
    const checked = this.census.checkedIn(tile);
    const plate = this.plateOf(`corner ${first} ${checked}`, () => ({
      large: `from ${formatNumber(first)}`,
      small: `${formatNumber(checked)} checked`,
    }));
    if (!plate) return;
    const inset = 6 * ratio;
    const along = (/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ size) =>
      Math.min(Math.max(start, 0) + inset, end - size - inset);
    const x = along((column - left) * scale, (column + TILE_COLUMNS - left) * scale, plate.width);
    const y = along((row - top) * scale, (row + TILE_ROWS - top) * scale, plate.height);
    if (x > width || y > height) return;
    taken.push({ x, y, width: plate.width, height: plate.height });
    context.globalAlpha = alpha;
    context.drawImage(plate, Math.round(x), Math.round(y));
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number} alpha
   * @param {Area[]} taken where other words are
   */
  drawSquares(context, { left, top, scale, window, ratio }, alpha, taken) {
    const { columns, rows } = SQUARE;
    const inset = 2 * ratio;
    context.globalAlpha = alpha;
    for (let row = Math.floor(top / rows) * rows; row < top + window.height; row += rows) {
      for (let column = Math.floor(left / columns) * columns; column < left + window.width; column += columns) {
        // There the tile's own number stands.
        if (column % TILE_COLUMNS === 0 && row % TILE_ROWS === 0) continue;
        const id = this.geometry.idAt(column, row);
        // Nor on what somebody has drawn.
        if (id === 0 || this.board.stateOf(id) === 'checked') continue;
        const plate = this.plateOf(`box ${id}`, () => ({ large: '', small: formatNumber(id) }));
        if (!plate) continue;
        const x = Math.round((column - left) * scale + inset);
        const y = Math.round((row - top) * scale + inset);
        const { width, height } = plate;
        if (taken.some((area) => meet(area, { x, y, width, height }))) continue;
        context.drawImage(plate, x, y);
      }
    }
  }

  /**
   * @param {string} key
   * @param {() => Words} words asked for once: writing a number takes longer than copying a plate
   * @returns {HTMLCanvasElement | undefined} nothing while this frame has drawn enough others
   */
  plateOf(key, words) {
    let plate = this.plates.get(key);
    if (plate) this.plates.delete(key);
    else {
      this.left -= 1;
      if (this.left < 0) return undefined;
      plate = this.drawPlate(words());
      const [oldest] = this.plates.keys();
      if (this.plates.size >= KEPT_MAX && oldest !== undefined) this.plates.delete(oldest);
    }
    this.plates.set(key, plate);
    return plate;
  }

  /** @param {Words} words */
  drawPlate({ large, small }) {
    const { ratio } = this;
    const { canvas, context } = blankCanvas(1, 1);
    const lines = [
      { text: large, px: LARGE_PX, weight: 700, colour: this.inks.ink },
      { text: small, px: SMALL_PX, weight: 500, colour: large ? this.inks.soft : this.inks.ink },
    ].filter(({ text }) => text !== '');
    const fontOf = (/** @type {{ weight: number, px: number }} */ { weight, px }) =>
      `${weight} ${Math.round(px * ratio)}px ${this.inks.font}`;
    let width = 0;
    let height = 0;
    for (const line of lines) {
      context.font = fontOf(line);
      width = Math.max(width, context.measureText(line.text).width);
      height += line.px * 1.25 * ratio;
    }
    const padding = PADDING_PX * ratio * (large ? 1 : 0.6);
    canvas.width = Math.ceil(width + 2 * padding);
    canvas.height = Math.ceil(height + padding);
    context.globalAlpha = PLATE_OPACITY;
    context.fillStyle = this.inks.raised;
    context.beginPath();
    context.roundRect(0, 0, canvas.width, canvas.height, 5 * ratio);
    context.fill();
    context.globalAlpha = 1;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    let y = padding / 2;
    for (const line of lines) {
      context.font = fontOf(line);
      context.fillStyle = line.colour;
      context.fillText(line.text, canvas.width / 2, y + (line.px * 1.25 * ratio) / 2);
      y += line.px * 1.25 * ratio;
    }
    return canvas;
  }
}

/**
 * How visible both kinds of words on tiles are. One comes as the other goes, within little, so that a map that is left
 * half way has words, too, and hardly ever both.
 * @param {number} near
 */
export function strengths(near) {
  const numbers = Math.min(Math.max((near - 0.45) / 0.1, 0), 1);
  return { counts: 1 - numbers, numbers };
}

/**
 * @param {Area} one
 * @param {Area} other
 */
function meet(one, other) {
  const along = (/** @type {'x' | 'y'} */ axis, /** @type {'width' | 'height'} */ size) =>
    one[axis] < other[axis] + other[size] && other[axis] < one[axis] + one[size];
  return along('x', 'width') && along('y', 'height');
}
