/*
 * Owns the way from one stand to another: out, across and in again along the path of J. van Wijk and W. Nuij ("Smooth
 * and efficient zooming and panning", 2003), on which the picture seems to move at one speed. Pure: time comes in.
 */

/** @typedef {import('./camera.js').Stand} Stand */

/** How much a flight prefers rising over crossing; the authors' users liked about this most. */
const RHO = Math.SQRT2;
/** A step of the path is a factor of e in zoom, over rho. */
const MS_PER_STEP = 185;
const DURATION_MIN_MS = 240;
const DURATION_MAX_MS = 1_900;

export class Flight {
  /**
   * @param {Stand} from
   * @param {Stand} to
   * @param {number} widthPx of the screen
   */
  constructor(from, to, widthPx) {
    this.from = { x: from.x, y: from.y, z: from.z };
    this.to = { x: to.x, y: to.y, z: to.z };
    this.width = widthPx / from.z;
    this.distance = Math.hypot(to.x - from.x, to.y - from.y);
    const end = widthPx / to.z;
    if (this.distance < this.width * 1e-6) {
      // Straight up or down; the general formula would divide by the distance.
      this.straight = true;
      this.steps = Math.abs(Math.log(end / this.width)) / RHO;
      this.r0 = 0;
      this.rises = end > this.width;
    } else {
      const d2 = this.distance ** 2;
      const rise = end ** 2 - this.width ** 2;
      const slope = (/** @type {number} */ w, /** @type {1 | -1} */ side) => {
        const b = (rise + side * RHO ** 4 * d2) / (2 * w * RHO ** 2 * this.distance);
        // The same as ln(sqrt(b^2 + 1) - b), without its cancellation for large b.
        return -Math.asinh(b);
      };
      this.straight = false;
      this.r0 = slope(this.width, 1);
      this.steps = (slope(end, -1) - this.r0) / RHO;
      this.rises = false;
    }
    this.durationMs = Math.min(Math.max(this.steps * MS_PER_STEP, DURATION_MIN_MS), DURATION_MAX_MS);
  }

  /**
   * @param {number} elapsedMs
   * @returns {Stand}
   */
  at(elapsedMs) {
    if (elapsedMs >= this.durationMs) return this.to;
    const s = this.steps * ease(Math.max(elapsedMs, 0) / this.durationMs);
    const { from, to, width, distance, r0 } = this;
    if (this.straight) {
      const share = this.steps === 0 ? 1 : s / this.steps;
      const z = from.z * Math.exp(RHO * s * (this.rises ? -1 : 1));
      return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share, z };
    }
    const across = (width / RHO ** 2) * (Math.cosh(r0) * Math.tanh(RHO * s + r0) - Math.sinh(r0));
    const share = across / distance;
    const z = (from.z * Math.cosh(RHO * s + r0)) / Math.cosh(r0);
    return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share, z };
  }
}

/**
 * Starts and lands gently.
 * @param {number} t in [0, 1]
 */
function ease(t) {
  return t < 0.5 ? 2 * t * t : 1 - 2 * (1 - t) ** 2;
}
