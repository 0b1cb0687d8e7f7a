/*
 * Owns what the layers of the painted map share about one frame: where the window stands, in device pixels, and when
 * it is. A value; made anew for each frame.
 */

/** @typedef {import('./camera.js').Camera} Camera */

/** Blocks have become boxes when the zoom has grown by this factor. */
const NEAR_WITHIN = 1.3;

export class Scene {
  /**
   * @param {Camera} camera
   * @param {number} ratio device pixels per CSS pixel
   * @param {number} nowMs
   * @param {boolean} still whether the player asked for less motion
   */
  constructor(camera, ratio, nowMs, still) {
    const { left, top, width, height } = camera.window;
    this.geometry = camera.geometry;
    this.window = camera.window;
    this.z = camera.z;
    this.ratio = ratio;
    /** Device pixels per box. */
    this.scale = camera.z * ratio;
    this.left = left;
    this.top = top;
    this.width = width * this.scale;
    this.height = height * this.scale;
    /**
     * From 0 to 1: how near it is. Blocks for tiles become boxes as soon as so few tiles are in sight that all of them
     * are loaded, so a tile never looks emptier than its neighbour for having been loaded.
     */
    this.near = fade(camera.z, camera.zLoad, camera.zLoad * NEAR_WITHIN);
    /** From 1 to 0: how far it still is from checkboxes, which have no lines and no words between them. */
    this.far = 1 - fade(camera.z, camera.zClose * 0.8, camera.zClose);
    this.nowMs = nowMs;
    this.still = still;
  }

  /** The part of the board that is in sight, in device pixels. */
  get area() {
    const { columns, rows } = this.geometry;
    const x = Math.max(0, -this.left * this.scale);
    const y = Math.max(0, -this.top * this.scale);
    return {
      x,
      y,
      width: Math.min(this.width, (columns - this.left) * this.scale) - x,
      height: Math.min(this.height, (rows - this.top) * this.scale) - y,
    };
  }

  /**
   * The middle of a box, and whether it is in sight.
   * @param {number} id
   */
  middleOf(id) {
    const { column, row } = this.geometry.placeOf(id);
    const x = (column + 0.5 - this.left) * this.scale;
    const y = (row + 0.5 - this.top) * this.scale;
    const inside = (/** @type {number} */ at, /** @type {number} */ size) => at > -this.scale && at < size + this.scale;
    return { x, y, seen: inside(x, this.width) && inside(y, this.height) };
  }
}

/**
 * From 0 to 1 between two zooms, gently; on a logarithm, as zooming is.
 * @param {number} z
 * @param {number} from
 * @param {number} to
 */
export function fade(z, from, to) {
  const t = Math.min(Math.max(Math.log(z / from) / Math.log(to / from), 0), 1);
  return t * t * (3 - 2 * t);
}
