/*
 * Owns the lines that say where one is on the painted map: the edge of the board, the edges of tiles and from afar of
 * every tenth one, and within a tile a line every 50 and every 10 boxes, so that a part in which nothing is checked is a sheet of squared paper and no
 * blank. Each kind fades in as soon as its lines stand far enough apart. Everything is in device pixels.
 */

import { TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { fade } from './scene.js';

/** @typedef {import('./camera.js').Camera} Camera */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./frames.js').Frames} Frames */
/** @typedef {import('./scene.js').Scene} Scene */

/** Ten tiles. */
const TENS = { columns: 10 * TILE_COLUMNS, rows: 10 * TILE_ROWS };
/** Both divide 400 and 250. */
const COARSE = { columns: 50, rows: 50 };
const FINE = { columns: 10, rows: 10 };
const COARSE_STRENGTH = 0.75;
const FINE_STRENGTH = 0.4;

const EDGE_PX = 2;

export class Ruler {
  /**
   * @param {Frames} frames
   * @param {Inks} inks
   */
  constructor(frames, inks) {
    this.frames = frames;
    this.inks = inks;
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
  }

  /**
   * The edge of the board: what is painted later covers all but a line of it.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawEdge(context, scene) {
    const { x, y, width, height } = scene.area;
    if (width <= 0 || height <= 0 || scene.far === 0) return;
    const thick = Math.round(EDGE_PX * scene.ratio);
    context.globalAlpha = scene.far;
    context.fillStyle = this.inks.line;
    context.fillRect(x - thick, y - thick, width + 2 * thick, height + 2 * thick);
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawLines(context, scene) {
    const { area, z, scale, ratio, near, far } = scene;
    if (area.width <= 0 || area.height <= 0) return;
    const tile = { x: TILE_COLUMNS * scale, y: TILE_ROWS * scale };
    // Between blocks there are gaps.
    const gaps = (0.25 + 0.75 * fade(TILE_COLUMNS * z, 8, 60)) * (1 - near);
    if (gaps > 0) {
      const thick = Math.max(1, Math.round(Math.min(TILE_COLUMNS * z * 0.04, 3) * ratio));
      context.globalAlpha = gaps;
      this.frames.lines(context, area, originOf(scene), tile, thick, this.inks.paper);
    }
    // As on the small map.
    this.drawEvery(context, scene, TENS, 0.4 * (1 - fade(TILE_COLUMNS * z, 16, 60)));
    this.drawBoxes(context, scene);
    // Where checkboxes are about to appear, only boxes are left.
    const shown = near * far;
    this.drawEvery(context, scene, FINE, shown * FINE_STRENGTH * fade(z, 1.2, 2.6));
    this.drawEvery(context, scene, COARSE, shown * COARSE_STRENGTH * fade(z, 0.3, 0.7));
    if (shown > 0) {
      context.globalAlpha = shown;
      this.frames.lines(context, area, originOf(scene), tile, Math.round(EDGE_PX * ratio), this.inks.line);
    }
    context.globalAlpha = 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawBoxes(context, scene) {
    const { scale, left, top, z, area } = scene;
    const strength = fade(z, 3, 7);
    if (strength === 0) return;
    context.globalAlpha = strength;
    // Counted from a box nearby: over 40,000 of them rounding errors would add up.
    const near = { x: (Math.floor(left) - left) * scale, y: (Math.floor(top) - top) * scale };
    this.frames.boxes(context, area, near, scale);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {{ columns: number, rows: number }} every
   * @param {number} alpha
   */
  drawEvery(context, scene, { columns, rows }, alpha) {
    if (alpha <= 0) return;
    const { scale, ratio, area } = scene;
    const step = { x: columns * scale, y: rows * scale };
    context.globalAlpha = alpha;
    this.frames.lines(context, area, originOf(scene), step, Math.max(1, Math.round(ratio)), this.inks.line);
  }
}

/** @param {Scene} scene */
function originOf({ left, top, scale }) {
  return { x: -left * scale, y: -top * scale };
}
