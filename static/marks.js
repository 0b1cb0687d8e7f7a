/*
 * Owns what is pointed out on the painted map: one's own boxes, own checks still on their way, and what became of
 * them. A pixel among a million is not seen, so marks have a least size.
 */

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./colours.js').Inks} Inks */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./scene.js').Scene} Scene */

/**
 * The boxes that this browser checked.
 * @typedef {Pick<import('./mine.js').Mine, 'has' | 'idsIn' | 'listen'>} Mine
 */

/** @typedef {'confirmed' | 'refused' | 'stuck'} Event what a ring around a box can mean */

const RING_MS = { confirmed: 900, refused: 1_600, stuck: 300 };
/** As far as the style sheet shakes a checkbox. */
const SHAKE_PX = 3;
const RINGS_MAX = 40;
const MARK_MIN_PX = 3;
const RING_PX = 26;
const TARGET_MIN_PX = 6;
/** A box that someone checks just now lights up; of very many only the newest do. */
const SPARK_MS = 700;
const SPARK_PX = 3;
const SPARKS_MAX = 300;
/** More marks than this in sight would be drawn for longer than a frame, and be no marks any more. */
const MINE_MAX = 3_000;

export class Marks {
  /**
   * @param {Geometry} geometry
   * @param {Board} board
   * @param {Inks} inks
   * @param {Mine} mine
   */
  constructor(geometry, board, inks, mine) {
    this.geometry = geometry;
    this.board = board;
    this.inks = inks;
    this.mine = mine;
    /** The box that somebody was sent to, or 0. */
    this.target = 0;
    /** Own checks seen waiting, to know them again when they are answered. @type {Set<number>} */
    this.waiting = new Set();
    /** @type {{ id: number, event: Event, sinceMs: number }[]} */
    this.rings = [];
    /** The boxes checked last, in a circle: the next one takes the place of the oldest. */
    this.sparks = new Uint32Array(SPARKS_MAX);
    this.sparksSinceMs = new Float64Array(SPARKS_MAX).fill(-Infinity);
    this.nextSpark = 0;
    /** The box that a click would check, or 0. */
    this.pointed = 0;
  }

  /**
   * @param {number} id
   * @param {number} nowMs
   */
  boxChanged(id, nowMs) {
    const state = this.board.stateOf(id);
    if (state === 'checked') {
      this.sparks[this.nextSpark] = id;
      this.sparksSinceMs[this.nextSpark] = nowMs;
      this.nextSpark = (this.nextSpark + 1) % SPARKS_MAX;
    }
    if (state === 'waiting') this.waiting.add(id);
    else if (this.waiting.delete(id)) this.ring(id, state === 'checked' ? 'confirmed' : 'refused', nowMs);
  }

  /**
   * @param {number} id
   * @param {Event} event
   * @param {number} nowMs
   */
  ring(id, event, nowMs) {
    // A box that is tried again says only the last thing that became of it.
    this.rings = this.rings.filter((ring) => ring.id !== id);
    this.rings.push({ id, event, sinceMs: nowMs });
    if (this.rings.length > RINGS_MAX) this.rings.shift();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number[]} tiles those in sight when they are few enough to look for own boxes in them
   * @returns {boolean} whether something moves
   */
  draw(context, scene, tiles) {
    const sparkles = tiles.length > 0 && this.drawSparks(context, scene);
    this.drawMine(context, scene, tiles);
    this.drawPointed(context, scene);
    this.drawTarget(context, scene);
    const waits = this.drawWaiting(context, scene);
    return this.drawRings(context, scene) || waits || sparkles;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawSparks(context, scene) {
    if (scene.still) return false;
    const { nowMs, scale, ratio } = scene;
    let shining = false;
    context.fillStyle = this.inks.glow;
    for (let at = 0; at < SPARKS_MAX; at++) {
      const age = (nowMs - this.sparksSinceMs[at]) / SPARK_MS;
      if (age >= 1) continue;
      const { x, y, seen } = scene.middleOf(this.sparks[at]);
      if (!seen) continue;
      shining = true;
      const left = 1 - Math.max(0, age);
      const size = scale + SPARK_PX * ratio * left;
      context.globalAlpha = 0.85 * left * left;
      context.fillRect(x - size / 2, y - size / 2, size, size);
    }
    context.globalAlpha = 1;
    return shining;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number[]} tiles
   */
  drawMine(context, scene, tiles) {
    const { scale, ratio } = scene;
    const size = Math.max(scale, MARK_MIN_PX * ratio);
    const line = Math.max(1.5 * ratio, Math.min(scale * 0.09, 3 * ratio));
    context.fillStyle = context.strokeStyle = this.inks.mine;
    context.lineWidth = line;
    let left = MINE_MAX;
    for (const tile of tiles) {
      for (const id of this.mine.idsIn(tile)) {
        const { x, y, seen } = scene.middleOf(id);
        if (!seen) continue;
        if (left-- <= 0) return;
        if (scale < 6 * ratio) {
          context.fillRect(Math.round(x - size / 2), Math.round(y - size / 2), Math.ceil(size), Math.ceil(size));
        } else {
          // Small boxes have no room for it inside.
          const inset = scale < 14 * ratio ? 0 : scale * 0.107 + ratio + line / 2;
          const side = scale - 2 * inset;
          context.strokeStyle = this.inks.mineEdge;
          context.lineWidth = line + 2 * ratio;
          context.strokeRect(x - side / 2, y - side / 2, side, side);
          context.strokeStyle = this.inks.mine;
          context.lineWidth = line;
          context.strokeRect(x - side / 2, y - side / 2, side, side);
        }
      }
    }
  }

  /**
   * As the style sheet has it for a checkbox under the pointer.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawPointed(context, scene) {
    if (this.pointed === 0) return;
    const state = this.board.stateOf(this.pointed);
    if (state === 'checked' || state === 'waiting') return;
    const { x, y } = scene.middleOf(this.pointed);
    const side = scene.scale * 0.78;
    context.fillStyle = context.strokeStyle = this.inks.accent;
    context.lineWidth = 2 * scene.ratio;
    context.beginPath();
    context.roundRect(x - side / 2, y - side / 2, side, side, scene.scale * 0.2);
    context.globalAlpha = 0.18;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
  }

  /**
   * Where a link or a jump led to stays framed, however small the box itself is.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawTarget(context, scene) {
    if (this.target === 0) return;
    const { x, y, seen } = scene.middleOf(this.target);
    if (!seen) return;
    const { scale, ratio } = scene;
    const half = Math.max(scale / 2 + ratio, TARGET_MIN_PX * ratio);
    context.lineWidth = 2 * ratio;
    context.strokeStyle = this.inks.glow;
    context.strokeRect(x - half, y - half, 2 * half, 2 * half);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawWaiting(context, scene) {
    const { ratio, nowMs, scale } = scene;
    if (this.board.waiting.size === 0) return false;
    let waits = false;
    context.fillStyle = context.strokeStyle = this.inks.accent;
    context.lineWidth = 1.5 * ratio;
    const beat = scene.still ? 0.5 : (Math.sin(nowMs / 220) + 1) / 2;
    let left = RINGS_MAX * 5;
    for (const id of this.board.waiting) {
      const { x, y, seen } = scene.middleOf(id);
      if (!seen) continue;
      if (left-- <= 0) break;
      waits = true;
      context.globalAlpha = 0.35 + 0.5 * beat;
      context.beginPath();
      context.arc(x, y, Math.max(scale * 0.6, (5 + 2 * beat) * ratio), 0, 2 * Math.PI);
      context.stroke();
      context.globalAlpha = 1;
      if (scale < 8 * ratio) {
        const dot = Math.max(scale, MARK_MIN_PX * ratio);
        context.fillRect(x - dot / 2, y - dot / 2, dot, dot);
      }
    }
    context.globalAlpha = 1;
    return waits && !scene.still;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   */
  drawRings(context, scene) {
    const { nowMs, scale, ratio } = scene;
    this.rings = this.rings.filter(({ event, sinceMs }) => nowMs - sinceMs < RING_MS[event]);
    for (const { id, event, sinceMs } of this.rings) {
      const { x, y, seen } = scene.middleOf(id);
      if (!seen) continue;
      const share = Math.max(0, (nowMs - sinceMs) / RING_MS[event]);
      const grown = scene.still ? 0.5 : 1 - (1 - share) ** 3;
      context.strokeStyle = event === 'confirmed' ? this.inks.accent : this.inks.bad;
      if (event === 'stuck') {
        this.drawStuck(context, scene, id, share);
        continue;
      }
      context.globalAlpha = 1 - share;
      context.lineWidth = 3 * ratio * (1 - share / 2);
      const radius = scale * 0.6 + (4 + RING_PX * (event === 'refused' ? 0.4 : grown)) * ratio;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      if (event === 'refused') {
        // A cross as well, so that nobody has to tell the meaning by the hue.
        const arm = radius * 0.5;
        context.moveTo(x - arm, y - arm);
        context.lineTo(x + arm, y + arm);
        context.moveTo(x + arm, y - arm);
        context.lineTo(x - arm, y + arm);
      }
      context.stroke();
    }
    context.globalAlpha = 1;
    return this.rings.length > 0;
  }

  /**
   * The frame of a box that is checked already shakes.
   * @param {CanvasRenderingContext2D} context
   * @param {Scene} scene
   * @param {number} id
   * @param {number} share of the time that it takes
   */
  drawStuck(context, scene, id, share) {
    const { ratio, scale, still } = scene;
    const { x, y } = scene.middleOf(id);
    const aside = still ? 0 : Math.sin(share * 4 * Math.PI) * SHAKE_PX * ratio;
    context.globalAlpha = 1;
    context.strokeStyle = this.inks.glow;
    context.lineWidth = 3 * ratio;
    context.strokeRect(x - scale / 2 + aside, y - scale / 2, scale, scale);
  }
}
