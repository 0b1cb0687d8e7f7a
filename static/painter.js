/*
 * Owns the painted map: the canvas under the checkboxes, and in which order its layers go onto it. From far to near:
 * blocks for tiles, a pixel per box, squares with gaps, squares with ticks. Each fades into the next, for all tiles alike.
 * It paints what it is told to and keeps no place of its own.
 */

import { TILE_BOXES, TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { Blocks } from './blocks.js';
import { CLOSE_MIN_PX } from './camera.js';
import { readInks, tintAt } from './colours.js';
import { Frames } from './frames.js';
import { Labels } from './labels.js';
import { Marks } from './marks.js';
import { Ruler } from './ruler.js';
import { Scene, fade } from './scene.js';
import { TilePixels } from './tilepixels.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./camera.js').Camera} Camera */
/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./marks.js').Mine} Mine */

/** A canvas of more pixels than this is slow to fill, and nobody sees the difference. */
const PIXELS_MAX = 6_000_000;
const TILE_FADE_MS = 220;
/** Glows fade over seconds; this many milliseconds a frame are smooth enough for that. */
const GLOW_FRAME_MS = 50;
/** Ticks on more boxes than this would not be painted within a frame. */
const SPRITES_MAX = 6_000;

export class Painter {
  /**
   * @param {HTMLElement} root
   * @param {Camera} camera
   * @param {{ board: Board, census: Census, mine: Mine }} known
   */
  constructor(root, camera, { board, census, mine }) {
    this.root = root;
    this.camera = camera;
    this.geometry = camera.geometry;
    this.board = board;
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'painted';
    root.prepend(this.canvas);
    const context = this.canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('this browser has no canvas to draw on');
    this.context = context;
    this.inks = readInks(root);
    this.blocks = new Blocks(this.geometry, census, this.inks);
    this.pixels = new TilePixels(this.geometry, board, this.inks);
    this.frames = new Frames(this.inks);
    this.ruler = new Ruler(this.frames, this.inks);
    this.labels = new Labels(this.geometry, board, census, this.inks);
    this.marks = new Marks(this.geometry, board, this.inks, mine);
    this.ratio = 1;
  }

  /**
   * @param {number} widthPx
   * @param {number} heightPx
   */
  resize(widthPx, heightPx) {
    this.ratio = Math.min(devicePixelRatio, Math.sqrt(PIXELS_MAX / (widthPx * heightPx)));
    this.canvas.width = Math.round(widthPx * this.ratio);
    this.canvas.height = Math.round(heightPx * this.ratio);
  }

  recolour() {
    this.inks = readInks(this.root);
    for (const layer of [this.blocks, this.pixels, this.frames, this.ruler, this.labels]) layer.recolour(this.inks);
    this.marks.inks = this.inks;
  }

  /**
   * A box changed; thousands a second do.
   * @param {number} id
   */
  boxChanged(id) {
    const tile = this.geometry.tileOf(id);
    if (this.board.stateOf(id) === 'checked') this.pixels.checked(tile, (id - 1) % TILE_BOXES, id);
    this.marks.boxChanged(id, performance.now());
  }

  /** @param {boolean} shown */
  show(shown) {
    this.canvas.style.visibility = shown ? '' : 'hidden';
  }

  /**
   * @param {number} nowMs
   * @param {boolean} still
   * @returns {number | undefined} in how many milliseconds to paint again though nothing changes
   */
  paint(nowMs, still) {
    const { context, camera } = this;
    const scene = new Scene(camera, this.ratio, nowMs, still);
    const { z } = scene;
    let moving = this.pixels.beginFrame();
    context.globalAlpha = 1;
    context.fillStyle = this.inks.paper;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);

    this.ruler.drawEdge(context, scene);
    this.blocks.draw(context, scene);
    this.paintUnknown(scene);
    moving = this.paintTiles(scene) || moving;
    this.ruler.drawLines(context, scene);
    this.blocks.cutEnd(context, scene);
    this.paintTicks(scene);

    const near = camera.tilesWanted;
    // Where single boxes are seen to light up, tiles need not.
    const glow = 1 - fade(z, camera.zLoad * 0.6, camera.zLoad * 1.2);
    const glows = glow > 0 && this.blocks.drawGlow(context, scene, glow);
    moving = this.labels.draw(context, scene) || moving;
    moving = this.marks.draw(context, scene, near) || moving;
    if (moving || this.pixels.left < 0) return 0;
    return glows ? GLOW_FRAME_MS : undefined;
  }

  /**
   * Where boxes are seen, tiles that are not here yet look like boxes of which nothing is known: with the shade of a
   * block, a tile of a few checks would look full beside one that is loaded. Those that fade in do so from here, too.
   * @param {Scene} scene
   */
  paintUnknown(scene) {
    if (scene.near === 0) return;
    const { context } = this;
    context.globalAlpha = scene.near;
    context.fillStyle = this.inks.unknown;
    for (const tile of this.geometry.tilesIn(scene.window)) {
      const { x, y, width, height } = this.tileArea(scene, tile);
      context.fillRect(x, y, width, height);
    }
    context.globalAlpha = 1;
  }

  /**
   * What is loaded of the tiles in sight.
   * @param {Scene} scene
   * @returns {boolean} whether one is still fading in
   */
  paintTiles(scene) {
    const { z, near } = scene;
    if (near === 0) return false;
    // Close by, its boxes were seen as checkboxes a moment ago: fading in, all of them would flash.
    const bornMs = z >= this.camera.zClose * 0.6 ? -Infinity : scene.nowMs;
    let fading = false;
    for (const tile of this.camera.tilesWanted) {
      const picture = this.pixels.of(tile, bornMs);
      if (!picture) continue;
      const born = scene.still ? 1 : Math.min(1, (scene.nowMs - picture.bornMs) / TILE_FADE_MS);
      fading ||= born < 1;
      this.paintPicture(scene, tile, picture.canvas, near * born);
    }
    this.context.globalAlpha = 1;
    return fading;
  }

  /**
   * @param {Scene} scene
   * @param {number} tile
   * @param {HTMLCanvasElement} picture
   * @param {number} alpha
   */
  paintPicture(scene, tile, picture, alpha) {
    const { context } = this;
    const { x, y, width, height } = this.tileArea(scene, tile);
    context.globalAlpha = alpha;
    context.imageSmoothingEnabled = width < picture.width * 2 && width !== picture.width;
    context.imageSmoothingQuality = 'medium';
    if (scene.scale < 3) return context.drawImage(picture, x, y, width, height);
    // Only what is in sight, in whole boxes: stretching all of a tile over a hundred screens is slow.
    const { column, row } = this.geometry.placeOf(this.geometry.firstOf(tile));
    const clip = (/** @type {number} */ value, /** @type {number} */ end) => Math.min(Math.max(value, 0), end);
    const x0 = clip(Math.floor(scene.left - column), TILE_COLUMNS);
    const y0 = clip(Math.floor(scene.top - row), TILE_ROWS);
    const x1 = clip(Math.ceil(scene.left + scene.window.width - column), TILE_COLUMNS);
    const y1 = clip(Math.ceil(scene.top + scene.window.height - row), TILE_ROWS);
    if (x1 <= x0 || y1 <= y0) return;
    const { scale } = scene;
    const toX = (column + x0 - scene.left) * scale;
    const toY = (row + y0 - scene.top) * scale;
    context.drawImage(picture, x0, y0, x1 - x0, y1 - y0, toX, toY, (x1 - x0) * scale, (y1 - y0) * scale);
  }

  /**
   * Where a tile lies, in whole device pixels so that neighbours meet without a seam.
   * @param {Scene} scene
   * @param {number} tile
   */
  tileArea({ left, top, scale }, tile) {
    const { column, row } = this.geometry.placeOf(this.geometry.firstOf(tile));
    const x = Math.round((column - left) * scale);
    const y = Math.round((row - top) * scale);
    return {
      x,
      y,
      width: Math.round((column + TILE_COLUMNS - left) * scale) - x,
      height: Math.round((row + TILE_ROWS - top) * scale) - y,
    };
  }

  /**
   * Squares become boxes with ticks in them.
   * @param {Scene} scene
   */
  paintTicks(scene) {
    const { context, geometry, board } = this;
    const { scale, window, left, top, z } = scene;
    // By their size alone: on a large screen there are no checkboxes yet at a zoom that is near enough for them.
    const strength = fade(z, CLOSE_MIN_PX * 0.7, CLOSE_MIN_PX);
    if (strength === 0) return;
    const count = Math.ceil(window.width + 1) * Math.ceil(window.height + 1);
    if (count > SPRITES_MAX) return;
    context.globalAlpha = strength;
    context.imageSmoothingEnabled = true;
    const size = Math.round(scale);
    const sprites = Array.from(this.inks.tints, (_, tint) => this.frames.sprite(`checked-${tint}`, size));
    const waiting = this.frames.sprite('waiting', size);
    for (let row = Math.floor(top); row < top + window.height; row++) {
      for (let column = Math.floor(left); column < left + window.width; column++) {
        const id = geometry.idAt(column, row);
        if (id === 0) continue;
        const state = board.stateOf(id);
        if (state !== 'checked' && state !== 'waiting') continue;
        const sprite = state === 'waiting' ? waiting : sprites[tintAt(column, row)];
        context.drawImage(sprite, Math.round((column - left) * scale), Math.round((row - top) * scale), size, size);
      }
    }
    context.globalAlpha = 1;
  }
}
