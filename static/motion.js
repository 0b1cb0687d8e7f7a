/*
 * Owns how the camera moves over time: flights to a destination, the wheel's zoom that closes in on where the wheel
 * points, and the last bit to a zoom at which checkboxes are crisp. The view asks it to move on with every frame; a
 * hand on the map ends whatever is under way.
 */

import { Flight } from './flight.js';

/** @typedef {import('./camera.js').Camera} Camera */
/** @typedef {import('./camera.js').Stand} Stand */

/** The wheel is at rest after this long. */
const WHEEL_REST_MS = 170;

/** A wheel moves in notches; the picture closes half of what is left of them in about 45 ms. */
const GOAL_LEFT_PER_MS = 0.985;
/** Nearer than this, in natural logarithms of zoom, nobody sees a difference. */
const GOAL_NEAR = 0.004;

const STILL = matchMedia('(prefers-reduced-motion: reduce)');

export class Motion {
  /**
   * @param {Camera} camera
   * @param {() => void} changed there is something to draw
   */
  constructor(camera, changed) {
    this.camera = camera;
    this.changed = changed;
    /** @type {{ flight: Flight, sinceMs: number } | undefined} */
    this.way = undefined;
    /**
     * What the wheel wants to zoom to, and around which point.
     * @type {{ z: number, x: number, y: number } | undefined}
     */
    this.goal = undefined;
    /** Whether a hand is zooming just now: nothing settles under it. */
    this.zooming = false;
    /** Whether a hand is on the map, even if it does not move. */
    this.held = false;
    this.restTimer = 0;
    this.advancedAtMs = 0;
  }

  /** Whether the player asked for less motion. */
  get still() {
    return STILL.matches;
  }

  /** Whether the camera moves by itself. */
  get moving() {
    return this.way !== undefined || this.goal !== undefined;
  }

  /** Where a flight is going to land. */
  get destination() {
    return this.way?.flight.to;
  }

  /** Whatever was under way ends here; the hand on the map is right. */
  interrupt() {
    this.way = undefined;
    this.goal = undefined;
  }

  /**
   * Zooms around a point of the screen, while a hand is at it.
   * @param {number} factor
   * @param {number} xPx
   * @param {number} yPx
   * @param {{ smooth: boolean, held?: boolean }} options `held`: the hand will say when it lets go
   */
  zoomBy(factor, xPx, yPx, { smooth, held = false }) {
    const from = this.goal?.z ?? this.camera.z;
    this.interrupt();
    const z = this.camera.clampZoom(from * factor);
    this.zooming = true;
    if (smooth && !this.still) this.goal = { z, x: xPx, y: yPx };
    else this.camera.zoomAt(z, xPx, yPx);
    if (held) clearTimeout(this.restTimer);
    else this.restSoon();
  }

  /** A hand that stopped a flight half way in may have left a zoom at which there are no checkboxes. */
  panned() {
    if (!this.zooming && this.camera.restZoom !== this.camera.z) this.restSoon();
  }

  /**
   * The board has another size, at which other zooms may be crisp.
   * @param {boolean} close whether boxes were checkboxes, and are to stay ones
   */
  resized(close) {
    if (this.moving || this.zooming || this.held) return;
    const { x, y, restZoom, zClose } = this.camera;
    this.camera.stand({ x, y, z: close ? Math.max(restZoom, zClose) : restZoom });
  }

  /** @param {boolean} held */
  grasp(held) {
    this.held = held;
    if (held) return;
    if (this.zooming) this.zoomRested();
    else this.panned();
  }

  restSoon() {
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => this.zoomRested(), WHEEL_REST_MS);
  }

  /** The hand is off: checkboxes come in whole pixels, so the last bit is ours. */
  zoomRested() {
    clearTimeout(this.restTimer);
    if (this.goal) return this.restSoon();
    if (this.held) return;
    this.zooming = false;
    const { x, y, z, restZoom } = this.camera;
    if (restZoom !== z && !this.way) this.depart({ x, y, z: restZoom });
    this.changed();
  }

  /** @param {Stand} to */
  depart(to) {
    const { camera } = this;
    const from = { x: camera.x, y: camera.y, z: camera.z };
    // Where the camera will really come to stand: near an edge that is not quite where it was sent.
    camera.stand(to);
    const landing = { x: camera.x, y: camera.y, z: camera.z };
    const near = Math.hypot(landing.x - from.x, landing.y - from.y) * camera.z < 1 && landing.z === from.z;
    if (this.still || near) return;
    camera.stand(from);
    this.way = { flight: new Flight(from, landing, camera.widthPx), sinceMs: performance.now() };
  }

  /**
   * Moves the camera on along its way.
   * @param {number} nowMs
   * @returns {boolean} whether a hand moved it, so that no destination is meant
   */
  advance(nowMs) {
    // A frame's time lies a little before the event that set off.
    const elapsedMs = Math.min(Math.max(nowMs - this.advancedAtMs, 0), 100);
    this.advancedAtMs = nowMs;
    if (this.way) {
      const { flight, sinceMs } = this.way;
      this.camera.stand(flight.at(nowMs - sinceMs));
      if (nowMs - sinceMs < flight.durationMs) return false;
      this.way = undefined;
      // The board may have another size than when the flight set off, and other crisp zooms.
      this.panned();
      return false;
    }
    if (!this.goal) return false;
    const { z, x, y } = this.goal;
    const near = Math.abs(Math.log(this.camera.z / z)) < GOAL_NEAR;
    this.camera.zoomAt(near ? z : z * (this.camera.z / z) ** (GOAL_LEFT_PER_MS ** elapsedMs), x, y);
    if (near) this.goal = undefined;
    return true;
  }
}
