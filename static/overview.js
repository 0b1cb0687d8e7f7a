/*
 * Owns the small map of the whole board: one pixel per tile, darker the more boxes are checked in it, a glow where
 * something happens, dots where boxes of mine are, and a frame with cross-hairs where the window stands. Clicking it
 * goes there, and so does Enter after moving its cursor by keys. It draws what the census knows and changes nothing.
 */

import { listenToDensity } from './density.js';
import { TILE_COLUMNS, TILE_ROWS, TILES_PER_ROW } from './geometry.js';
import { reachOf } from './overview_words.js';
import { listenToColours, readPalette } from './palette.js';
import { Shading } from './shading.js';

/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./mine.js').Mine} Mine */
/** @typedef {{ left: number, top: number, width: number, height: number }} Area in boxes */

/**
 * @typedef {object} OverviewListener
 * @property {(column: number, row: number) => void} picked a place was clicked: fly there
 * @property {(column: number, row: number) => void} dragged a finger moves over the map: follow it at once
 * @property {() => void} left the keyboard flew somewhere and is done here
 * @property {(tile: number | undefined) => void} pointed the tile under the pointer or the cursor, if any
 */

/** Glow fades over seconds; nobody sees the difference between this and sixty pictures a second. */
const DRAW_INTERVAL_MS = 80;

/** A window smaller than this share of the map gets cross-hairs, or nobody would find its frame. */
const TINY = 0.06;

/** A faint line every so many tiles. */
const LINE_TILES = 10;
const LINE_OPACITY = 0.3;

const HALO_PX = 32;
const CLICK_SLOP_PX = 6;

export class Overview {
  /**
   * @param {HTMLElement} root holds a canvas, the frame, the cross-hairs and the cursor
   * @param {Geometry} geometry
   * @param {Census} census
   * @param {Mine} mine
   * @param {OverviewListener} listener
   */
  constructor(root, geometry, census, mine, listener) {
    this.root = root;
    this.geometry = geometry;
    this.census = census;
    this.mine = mine;
    this.listener = listener;
    this.shading = new Shading(census);
    this.canvas = /** @type {HTMLCanvasElement} */ (root.querySelector('canvas'));
    this.cursorElement = /** @type {HTMLElement} */ (root.querySelector('.cursor'));
    /** One pixel per tile; the visible canvas is this one enlarged, with the glow on top. */
    this.base = document.createElement('canvas');
    this.base.width = geometry.tileColumns;
    this.base.height = geometry.tileRows;
    this.image = new ImageData(this.base.width, this.base.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.palette = readPalette(root);
    this.halo = document.createElement('canvas');
    /** Pixels of the canvas for one of the page. Kept, because asking the page while drawing makes it lay itself out. */
    this.scale = 1;
    /** The tile in the middle of the window. */
    this.here = 0;
    /** @type {import('./overview_words.js').Reach} */
    this.reach = 'tile';
    /** @type {number | undefined} the tile that the keyboard's cursor or the pointer is on */
    this.cursor = undefined;
    this.isScheduled = false;
    this.drawnAtMs = 0;

    // One tile needs no map of itself.
    root.hidden = geometry.tiles === 1;
    root.style.setProperty('--map-ratio', String(geometry.columns / geometry.rows));
    root.setAttribute('aria-valuemax', String(geometry.tiles));
    // The last row of tiles may be cut; the canvas has whole tiles, and what is too much hangs out and is clipped.
    this.canvas.style.width = `${((geometry.tileColumns * TILE_COLUMNS) / geometry.columns) * 100}%`;
    this.canvas.style.height = `${((geometry.tileRows * TILE_ROWS) / geometry.rows) * 100}%`;

    this.recolour();
    listenToColours(() => this.recolour());
    new ResizeObserver(() => this.resize()).observe(root);
    listenToDensity(() => this.resize());
    census.listen((tile) => this.censusChanged(tile));
    mine.listen(() => this.drawSoon());
    this.listenToPointer();
    this.listenToKeys();
  }

  /** @param {number | undefined} tile */
  censusChanged(tile) {
    if (tile === undefined) this.paintAll();
    else this.pixels[tile] = this.pixelOf(tile);
    this.drawSoon();
  }

  /** @param {number} tile */
  pixelOf(tile) {
    const shade = this.shading.shadeOf(tile);
    return shade === 0 && !this.census.known ? this.palette.unknown : this.palette.pixel(shade);
  }

  paintAll() {
    for (let tile = 0; tile < this.geometry.tiles; tile++) this.pixels[tile] = this.pixelOf(tile);
  }

  recolour() {
    this.palette = readPalette(this.root);
    this.halo = haloOf(this.palette.glow);
    this.paintAll();
    this.drawSoon();
  }

  /**
   * The part of the board that is on the screen.
   * @param {Area} area
   */
  showWindow({ left, top, width, height }) {
    const { columns, rows } = this.geometry;
    const within = (/** @type {number} */ value) => Math.min(Math.max(value, 0), 1);
    const [west, east] = [within(left / columns), within((left + width) / columns)];
    const [north, south] = [within(top / rows), within((top + height) / rows)];
    const { style } = this.root;
    style.setProperty('--here-x', String((west + east) / 2));
    style.setProperty('--here-y', String((north + south) / 2));
    style.setProperty('--here-width', String(east - west));
    style.setProperty('--here-height', String(south - north));
    this.root.classList.toggle('tiny', east - west < TINY && south - north < TINY);
    const middle = this.tileAt(((west + east) / 2) * columns, ((north + south) / 2) * rows);
    const reach = reachOf(this.geometry, { left, top, width, height });
    if (middle === this.here && reach === this.reach) return;
    this.here = middle;
    this.reach = reach;
    if (this.cursor === undefined) this.describe();
  }

  /**
   * @param {number} column of boxes
   * @param {number} row
   */
  tileAt(column, row) {
    return this.geometry.tileOf(this.geometry.nearest(column, row));
  }

  /**
   * The middle of a tile, or of what there is of it.
   * @param {number} tile
   */
  middleOf(tile) {
    const first = this.geometry.placeOf(this.geometry.firstOf(tile));
    return {
      column: Math.min(first.column + TILE_COLUMNS / 2, this.geometry.columns),
      row: Math.min(first.row + TILE_ROWS / 2, this.geometry.rows),
    };
  }

  // --- pointing

  listenToPointer() {
    const { root } = this;
    /** @type {{ x: number, y: number, moved: boolean } | undefined} */
    let press;
    root.addEventListener('pointerdown', (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      root.setPointerCapture(event.pointerId);
      press = { x: event.clientX, y: event.clientY, moved: false };
    });
    root.addEventListener('pointermove', (event) => {
      const place = this.placeUnder(event);
      this.point(this.tileAt(place.column, place.row));
      if (!press) return;
      press.moved ||= Math.hypot(event.clientX - press.x, event.clientY - press.y) > CLICK_SLOP_PX;
      if (press.moved) this.listener.dragged(place.column, place.row);
    });
    root.addEventListener('pointerup', (event) => {
      if (!press) return;
      const { moved } = press;
      press = undefined;
      const place = this.placeUnder(event);
      if (!moved) this.listener.picked(place.column, place.row);
      if (event.pointerType !== 'mouse') this.point(undefined);
    });
    root.addEventListener('pointercancel', () => (press = undefined));
    root.addEventListener('pointerleave', () => {
      if (!press) this.point(undefined);
    });
  }

  /** @param {PointerEvent} event */
  placeUnder({ clientX, clientY }) {
    const area = this.root.getBoundingClientRect();
    const share = (/** @type {number} */ at, /** @type {number} */ size) => Math.min(Math.max(at / size, 0), 1);
    return {
      column: share(clientX - area.left, area.width) * this.geometry.columns,
      row: share(clientY - area.top, area.height) * this.geometry.rows,
    };
  }

  listenToKeys() {
    const { geometry } = this;
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
      PageUp: [0, -10],
      PageDown: [0, 10],
    };
    this.root.addEventListener('focus', () => {
      // A click focuses as well, and then the pointer points already.
      if (this.root.matches(':focus-visible')) this.point(this.here);
    });
    this.root.addEventListener('blur', () => this.point(undefined));
    this.root.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const from = this.cursor ?? this.here;
      const step = steps[event.key];
      if (step) this.point(this.stepped(from, step));
      else if (event.key === 'Home') this.point(0);
      else if (event.key === 'End') this.point(geometry.tiles - 1);
      else if (event.key === 'Escape') this.point(this.here);
      else if (event.key === 'Enter' || event.key === ' ') {
        const { column, row } = this.middleOf(from);
        this.listener.picked(column, row);
        this.listener.left();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /**
   * @param {number} tile
   * @param {[number, number]} step
   */
  stepped(tile, [dx, dy]) {
    const { tileColumns, tileRows, tiles } = this.geometry;
    const inside = (/** @type {number} */ value, /** @type {number} */ count) => Math.min(Math.max(value, 0), count - 1);
    const x = inside((tile % TILES_PER_ROW) + dx, tileColumns);
    const y = inside(Math.floor(tile / TILES_PER_ROW) + dy, tileRows);
    return Math.min(y * TILES_PER_ROW + x, tiles - 1);
  }

  /** @param {number | undefined} tile */
  point(tile) {
    if (tile === this.cursor) return;
    this.cursor = tile;
    this.cursorElement.hidden = tile === undefined;
    if (tile !== undefined) {
      const { columns, rows } = this.geometry;
      const { column, row } = this.geometry.placeOf(this.geometry.firstOf(tile));
      const { style } = this.cursorElement;
      style.left = `${(column / columns) * 100}%`;
      style.top = `${(row / rows) * 100}%`;
      style.width = `${(TILE_COLUMNS / columns) * 100}%`;
      style.height = `${(TILE_ROWS / rows) * 100}%`;
    }
    this.describe();
  }

  describe() {
    this.listener.pointed(this.cursor);
  }

  // --- drawing

  resize() {
    const scale = Math.min(devicePixelRatio, 2);
    // With fractions: clientWidth has none, and a canvas one pixel too wide is stretched.
    const { width, height } = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.scale = this.canvas.width / Math.max(1, this.root.clientWidth);
    // The first picture of a new size must not wait: a canvas that was resized is blank.
    if (width > 0) this.draw(performance.now());
  }

  drawSoon() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    const waitMs = this.drawnAtMs + DRAW_INTERVAL_MS - performance.now();
    const draw = () =>
      requestAnimationFrame((nowMs) => {
        this.isScheduled = false;
        this.draw(nowMs);
      });
    if (waitMs > 0) setTimeout(draw, waitMs);
    else draw();
  }

  /** @param {number} nowMs */
  draw(nowMs) {
    this.drawnAtMs = nowMs;
    if (this.shading.update(nowMs)) this.paintAll();
    const { canvas, base } = this;
    const [screen, small] = [canvas.getContext('2d', { alpha: false }), base.getContext('2d')];
    if (!screen || !small || canvas.width === 0) return;
    small.putImageData(this.image, 0, 0);
    screen.imageSmoothingEnabled = false;
    screen.drawImage(base, 0, 0, canvas.width, canvas.height);
    this.drawLines(screen);
    this.drawMine(screen);
    const warm = this.census.warmTiles(nowMs);
    this.drawGlow(screen, warm, nowMs);
    // The draw after the last one cooled down wipes it away.
    if (warm.length > 0) this.drawSoon();
  }

  /** @param {number} tile */
  middleOnCanvas(tile) {
    return {
      x: (((tile % TILES_PER_ROW) + 0.5) / this.geometry.tileColumns) * this.canvas.width,
      y: ((Math.floor(tile / TILES_PER_ROW) + 0.5) / this.geometry.tileRows) * this.canvas.height,
    };
  }

  /**
   * A line every ten tiles, so that even an empty map looks like one, and counting is possible: each on one whole
   * column or row of the screen's own pixels, or some would be wide and others missing.
   * @param {CanvasRenderingContext2D} screen
   */
  drawLines(screen) {
    const { width, height } = this.canvas;
    const { tileColumns, tileRows } = this.geometry;
    const thick = Math.max(1, Math.round(this.scale));
    screen.fillStyle = this.palette.line;
    screen.globalAlpha = LINE_OPACITY;
    for (let at = LINE_TILES; at < tileColumns; at += LINE_TILES) {
      screen.fillRect(Math.round((at / tileColumns) * width) - thick, 0, thick, height);
    }
    for (let at = LINE_TILES; at < tileRows; at += LINE_TILES) {
      screen.fillRect(0, Math.round((at / tileRows) * height) - thick, width, thick);
    }
    screen.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} screen */
  drawMine(screen) {
    const size = Math.max(3, Math.round(this.scale * 3));
    const { mine, ink } = this.palette;
    const dot = (/** @type {string} */ colour, /** @type {number} */ side) => {
      screen.fillStyle = colour;
      for (const tile of this.mine.tiles()) {
        const { x, y } = this.middleOnCanvas(tile);
        screen.fillRect(Math.round(x - side / 2), Math.round(y - side / 2), side, side);
      }
    };
    dot(ink, size + 2);
    dot(mine, size);
  }

  /**
   * @param {CanvasRenderingContext2D} screen
   * @param {number[]} warm
   * @param {number} nowMs
   */
  drawGlow(screen, warm, nowMs) {
    const { scale } = this;
    // A tile can be larger than a halo on a small board, so the halo grows with it, up to what is still a spot.
    const least = Math.min((this.canvas.width / this.geometry.tileColumns) * 0.8, 14 * scale);
    for (const tile of warm) {
      const heat = this.census.heat(tile, nowMs);
      const { x, y } = this.middleOnCanvas(tile);
      const radius = Math.max(least, (4 + 6 * heat) * scale);
      screen.globalAlpha = Math.min(1, heat * 1.4);
      screen.drawImage(this.halo, x - radius, y - radius, radius * 2, radius * 2);
    }
    screen.globalAlpha = 1;
  }
}

/**
 * A soft round spot, drawn once and then copied.
 * @param {string} colour written as #rrggbb
 */
function haloOf(colour) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = HALO_PX;
  const context = canvas.getContext('2d');
  if (!context) return canvas;
  const middle = HALO_PX / 2;
  const spot = context.createRadialGradient(middle, middle, 0, middle, middle, middle);
  spot.addColorStop(0, colour);
  spot.addColorStop(0.22, colour);
  spot.addColorStop(0.4, `${colour}80`);
  spot.addColorStop(1, `${colour}00`);
  context.fillStyle = spot;
  context.fillRect(0, 0, HALO_PX, HALO_PX);
  return canvas;
}
