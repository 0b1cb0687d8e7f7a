/*
 * Owns the lines between boxes and between tiles, and the small pictures of boxes that stand in for checkboxes while
 * the map moves too fast for real ones. Everything is in device pixels. The style sheet's `.box` and this must look
 * the same, because the one replaces the other under the eye of the player.
 */

import { blankCanvas } from './tilepixels.js';

/** @typedef {import('./colours.js').Inks} Inks */

/** Of a box of 28 px, 3 px on each side are the gap to its neighbours, and 6 px are the roundness of its corners. */
const GAP = 3 / 28;
const ROUND = 6 / 28;
const LINE = 1.5 / 28;

/** Below this, lines are drawn one by one: a scaled pattern would shimmer. */
const PATTERN_PX = 12;

const KEPT_MAX = 40;

export class Frames {
  /** @param {Inks} inks */
  constructor(inks) {
    this.inks = inks;
    /** @type {Map<number, HTMLCanvasElement>} */
    this.patterns = new Map();
    /** @type {Map<string, HTMLCanvasElement>} */
    this.sprites = new Map();
  }

  /** @param {Inks} inks */
  recolour(inks) {
    this.inks = inks;
    this.patterns.clear();
    this.sprites.clear();
  }

  /**
   * Lines over everything inside an area, `step` apart, counted from an origin.
   * @param {CanvasRenderingContext2D} context
   * @param {{ x: number, y: number, width: number, height: number }} area
   * @param {{ x: number, y: number }} origin a corner of any cell
   * @param {{ x: number, y: number }} step
   * @param {number} thick
   * @param {string} colour
   */
  lines(context, area, origin, step, thick, colour) {
    context.fillStyle = colour;
    const half = Math.floor(thick / 2);
    const firstX = Math.ceil((area.x - origin.x) / step.x);
    for (let at = firstX; origin.x + at * step.x <= area.x + area.width; at++) {
      context.fillRect(Math.round(origin.x + at * step.x) - half, area.y, thick, area.height);
    }
    const firstY = Math.ceil((area.y - origin.y) / step.y);
    for (let at = firstY; origin.y + at * step.y <= area.y + area.height; at++) {
      context.fillRect(area.x, Math.round(origin.y + at * step.y) - half, area.width, thick);
    }
  }

  /**
   * What makes squares of colour look like boxes: gaps between them, round corners, and an outline.
   * @param {CanvasRenderingContext2D} context
   * @param {{ x: number, y: number, width: number, height: number }} area
   * @param {{ x: number, y: number }} origin
   * @param {number} size of a box
   */
  boxes(context, area, origin, size) {
    if (size < PATTERN_PX) {
      const thick = Math.max(1, Math.round(size * 2 * GAP));
      return this.lines(context, area, origin, { x: size, y: size }, thick, this.inks.grid);
    }
    const whole = Math.round(size);
    let tile = this.patterns.get(whole);
    if (!tile) {
      tile = this.drawPattern(whole);
      keep(this.patterns, whole, tile);
    }
    const pattern = context.createPattern(tile, 'repeat');
    if (!pattern) return;
    const scale = size / whole;
    pattern.setTransform(new DOMMatrix([scale, 0, 0, scale, origin.x, origin.y]));
    context.imageSmoothingEnabled = true;
    context.fillStyle = pattern;
    context.fillRect(area.x, area.y, area.width, area.height);
  }

  /** @param {number} size */
  drawPattern(size) {
    const { canvas, context } = blankCanvas(size, size);
    context.fillStyle = this.inks.paper;
    context.fillRect(0, 0, size, size);
    context.globalCompositeOperation = 'destination-out';
    outline(context, size, 0);
    context.fill();
    context.globalCompositeOperation = 'source-over';
    context.strokeStyle = this.inks.line;
    // The lines come out of the mist: at full strength only where they are as wide as those of real boxes.
    context.globalAlpha = Math.min(1, Math.max(0.3, (size - 8) / 16));
    context.lineWidth = Math.max(1, size * LINE);
    outline(context, size, context.lineWidth / 2);
    context.stroke();
    return canvas;
  }

  /**
   * A box as it looks in a state other than unchecked.
   * @param {string} state `waiting`, or `checked-` and the tint
   * @param {number} size
   */
  sprite(state, size) {
    const key = `${state} ${size}`;
    let sprite = this.sprites.get(key);
    if (!sprite) {
      sprite = state === 'waiting' ? this.drawWaiting(size) : this.drawChecked(Number(state.slice(-1)), size);
      keep(this.sprites, key, sprite);
    }
    return sprite;
  }

  /**
   * @param {number} tint
   * @param {number} size
   */
  drawChecked(tint, size) {
    const { canvas, context } = blankCanvas(size, size);
    context.fillStyle = this.inks.tints[tint];
    outline(context, size, 0);
    context.fill();
    context.strokeStyle = '#ffffff';
    context.lineCap = context.lineJoin = 'round';
    // The tick of the style sheet: 16 units wide, over 74 % of the box without its gap.
    const unit = (size * (1 - 2 * GAP) * 0.74) / 16;
    const at = (size - 16 * unit) / 2;
    context.lineWidth = 2.6 * unit;
    context.beginPath();
    context.moveTo(at + 3 * unit, at + 8.6 * unit);
    context.lineTo(at + 6.4 * unit, at + 12 * unit);
    context.lineTo(at + 13 * unit, at + 4.6 * unit);
    context.stroke();
    return canvas;
  }

  /** @param {number} size */
  drawWaiting(size) {
    const { canvas, context } = blankCanvas(size, size);
    const { accent, empty } = this.inks;
    context.fillStyle = empty;
    outline(context, size, 0);
    context.fill();
    context.globalAlpha = 0.16;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = Math.max(1, size * LINE);
    outline(context, size, context.lineWidth / 2);
    context.stroke();
    const unit = (size * (1 - 2 * GAP) * 0.74) / 16;
    context.fillStyle = accent;
    context.beginPath();
    for (const x of [-5, 0, 5]) {
      context.moveTo(size / 2 + x * unit, size / 2);
      context.arc(size / 2 + x * unit, size / 2, 1.7 * unit, 0, 2 * Math.PI);
    }
    context.fill();
    return canvas;
  }
}

/**
 * The outline of a box inside its cell.
 * @param {CanvasRenderingContext2D} context
 * @param {number} size
 * @param {number} inset
 */
function outline(context, size, inset) {
  const gap = Math.round(size * GAP) + inset;
  context.beginPath();
  context.roundRect(gap, gap, size - 2 * gap, size - 2 * gap, Math.max(0, size * ROUND - inset));
}

/**
 * @template K
 * @param {Map<K, HTMLCanvasElement>} kept
 * @param {K} key
 * @param {HTMLCanvasElement} made
 */
function keep(kept, key, made) {
  const [oldest] = kept.keys();
  if (kept.size >= KEPT_MAX && oldest !== undefined) kept.delete(oldest);
  kept.set(key, made);
}
