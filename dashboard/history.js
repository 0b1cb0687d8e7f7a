/*
 * Owns the last minutes of each figure, and the line that shows them. A second that is missing is a gap in the line. Pure.
 */

/** How far back the lines go. */
export const SPAN_MS = 180_000;

/** How far they go at least. */
const SPAN_MIN_MS = 60_000;

/** Points that are further apart are not joined. */
const GAP_MS = 3_500;

/** @typedef {{ atMs: number, value: number }} Point */

export class History {
  constructor() {
    /**
     * Oldest first; one a second, so at most 181.
     * @type {Point[]}
     */
    this.points = [];
  }

  /**
   * @param {number} atMs
   * @param {number | null} value none: nothing was measured
   */
  add(atMs, value) {
    const last = this.points[this.points.length - 1];
    // The clock of the node was set back.
    if (last && atMs <= last.atMs) this.points = [];
    if (value !== null) this.points.push({ atMs, value });
    const from = this.points.findIndex((point) => point.atMs >= atMs - SPAN_MS);
    this.points.splice(0, from < 0 ? this.points.length : from);
  }

  /** The greatest value of the last minutes. */
  get most() {
    return this.points.reduce((most, { value }) => Math.max(most, value), 0);
  }

  /**
   * The paths of an SVG of the given size, which end at `nowMs` on its right: the line, and the area below it. Zero is at the
   * bottom, always, so that a quiet figure looks quiet. A short history is drawn wider.
   * @param {number} nowMs
   * @param {number} width
   * @param {number} height
   */
  paths(nowMs, width, height) {
    const most = this.most || 1;
    const span = Math.min(SPAN_MS, Math.max(SPAN_MIN_MS, nowMs - (this.points[0]?.atMs ?? nowMs)));
    /** @type {[string, string][][]} */
    const lines = [];
    let beforeMs = -Infinity;
    for (const { atMs, value } of this.points) {
      if (atMs - beforeMs > GAP_MS) lines.push([]);
      const x = width * (1 - (nowMs - atMs) / span);
      lines[lines.length - 1].push([x.toFixed(1), (height * (1 - value / most)).toFixed(1)]);
      beforeMs = atMs;
    }
    // A point by itself is a short line.
    const line = lines.map(([[x, y], ...rest]) => `M${x} ${y}h.1${rest.map(([x, y]) => `L${x} ${y}`).join('')}`);
    const area = lines.map((points) => {
      const [[from], [to]] = [points[0], points[points.length - 1]];
      return `M${from} ${height}${points.map(([x, y]) => `L${x} ${y}`).join('')}L${to} ${height}Z`;
    });
    return { line: line.join(''), area: area.join('') };
  }
}
