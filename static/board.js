/*
 * Owns what this page knows of the board: a bitmap per tile it has heard of, and its own checks that still wait for
 * an answer. The session feeds it, the view and the overview read it and are told of every change.
 *
 * Boxes are never unchecked, so news is merged with OR: hearing twice or late changes nothing, and a tile that was
 * let go and comes back can only have gained boxes. The one exception is a board that was reset, which nobody may
 * have told us of while there was no connection: what is known from the last one is shown, but doubted, until the
 * new one answers for its tile.
 */

import { RANGE_BOXES_MAX, maskBytes } from './protocol.js';

/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {'unknown' | 'unchecked' | 'waiting' | 'checked'} BoxState */

/**
 * `whole` is false while only single boxes of the tile are known, from updates for a tile that was never loaded. A
 * doubted tile is from an earlier connection; `heard` are the boxes that this one has told of since.
 * @typedef {{ bits: Uint8Array, whole: boolean, checked: number, doubted: boolean, heard?: Uint8Array }} Tile
 */

/** 400 x 12,500 bytes = 5 MB, a hundred screens of four tiles each. */
const TILES_MAX = 400;

export class Board {
  /**
   * @param {Geometry} geometry
   * @param {{ boxChanged: (id: number) => void, tileChanged: (tile: number) => void }} listener
   */
  constructor(geometry, listener) {
    this.geometry = geometry;
    this.listener = listener;
    /**
     * Oldest use first: a Map keeps the order of insertion, so using a tile means inserting it again.
     * @type {Map<number, Tile>}
     */
    this.tiles = new Map();
    /**
     * Own checks without an answer, oldest first. Survives reconnects: an unanswered check is sent again.
     * @type {Set<number>}
     */
    this.waiting = new Set();
  }

  /**
   * @param {number} id
   * @returns {BoxState}
   */
  stateOf(id) {
    const tile = this.tiles.get(this.geometry.tileOf(id));
    if (tile && hasBit(tile.bits, (id - 1) % RANGE_BOXES_MAX)) return 'checked';
    if (this.waiting.has(id)) return 'waiting';
    return tile?.whole ? 'unchecked' : 'unknown';
  }

  /** @param {number} tile */
  knows(tile) {
    return this.tiles.get(tile)?.whole ?? false;
  }

  /** A new connection begins: it has the last word on every tile, once it was asked. */
  doubt() {
    for (const tile of this.tiles.values()) {
      tile.doubted = true;
      tile.heard = undefined;
    }
  }

  /**
   * Whether what is known of a tile is from an earlier connection.
   * @param {number} tile
   */
  doubts(tile) {
    return this.tiles.get(tile)?.doubted ?? false;
  }

  /**
   * The bits of a tile, for reading only, or `undefined` while the tile was not loaded as a whole.
   * @param {number} tile
   */
  bitsOf(tile) {
    const known = this.tiles.get(tile);
    return known?.whole ? known.bits : undefined;
  }

  /**
   * How many boxes of a tile are checked, or `undefined` while the tile was not loaded as a whole.
   * @param {number} tile
   */
  checkedIn(tile) {
    const known = this.tiles.get(tile);
    return known?.whole ? known.checked : undefined;
  }

  /**
   * Marks tiles as in use, so that the ones on the screen are the last to be let go.
   * @param {number[]} tiles
   */
  use(tiles) {
    for (const tile of tiles) {
      const known = this.tiles.get(tile);
      if (known) this.keep(tile, known);
    }
  }

  /**
   * A box is checked, whoever did it.
   * @param {number} id
   */
  learn(id) {
    const tile = this.geometry.tileOf(id);
    const known = this.tiles.get(tile) ?? this.blank(tile);
    const wasWaiting = this.waiting.delete(id);
    if (known.doubted) {
      known.heard ??= new Uint8Array(known.bits.length);
      setBit(known.heard, (id - 1) % RANGE_BOXES_MAX);
    }
    if (setBit(known.bits, (id - 1) % RANGE_BOXES_MAX)) known.checked += 1;
    else if (!wasWaiting) return;
    this.keep(tile, known);
    this.listener.boxChanged(id);
  }

  /**
   * A range answer. Only whole tiles are ever asked for, so anything else is not for us and is dropped.
   * @param {number} first
   * @param {Uint8Array} mask
   * @returns {number | undefined} the tile, when it was one
   */
  learnRange(first, mask) {
    const { geometry } = this;
    const tile = geometry.tileOf(first);
    if (!geometry.has(first) || geometry.firstOf(tile) !== first) return undefined;
    const boxes = geometry.lastOf(tile) - first + 1;
    if (mask.length !== maskBytes(boxes)) return undefined;

    const known = this.tiles.get(tile) ?? this.blank(tile);
    const before = known.doubted ? known.heard : known.bits;
    known.checked = 0;
    for (let at = 0; at < known.bits.length; at++) {
      known.bits[at] = mask[at] | (before?.[at] ?? 0);
      known.checked += BITS_IN_BYTE[known.bits[at]];
    }
    known.whole = true;
    known.doubted = false;
    known.heard = undefined;
    this.keep(tile, known);
    for (const id of this.waiting) {
      if (geometry.tileOf(id) === tile && hasBit(known.bits, id - first)) this.waiting.delete(id);
    }
    this.listener.tileChanged(tile);
    return tile;
  }

  /**
   * Our own check is on its way. Returns false when there is nothing to send.
   * @param {number} id
   */
  wait(id) {
    const state = this.stateOf(id);
    if (state === 'checked' || state === 'waiting') return false;
    this.waiting.add(id);
    this.listener.boxChanged(id);
    return true;
  }

  /**
   * Our own check was refused. The box goes back to what is known of it, which may be that someone else checked it.
   * @param {number} id
   */
  giveUp(id) {
    if (this.waiting.delete(id)) this.listener.boxChanged(id);
  }

  /**
   * @param {number} tile
   * @returns {Tile}
   */
  blank(tile) {
    const boxes = this.geometry.lastOf(tile) - this.geometry.firstOf(tile) + 1;
    return { bits: new Uint8Array(Math.ceil(boxes / 8)), whole: false, checked: 0, doubted: false };
  }

  /**
   * @param {number} tile
   * @param {Tile} known
   */
  keep(tile, known) {
    this.tiles.delete(tile);
    this.tiles.set(tile, known);
    if (this.tiles.size <= TILES_MAX) return;
    const [oldest] = this.tiles.keys();
    this.tiles.delete(oldest);
  }
}

const BITS_IN_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
});

/**
 * @param {Uint8Array} bits
 * @param {number} offset
 */
function hasBit(bits, offset) {
  return ((bits[offset >> 3] >> (offset & 7)) & 1) === 1;
}

/**
 * @param {Uint8Array} bits
 * @param {number} offset
 * @returns {boolean} whether the bit was clear before
 */
function setBit(bits, offset) {
  if (hasBit(bits, offset)) return false;
  bits[offset >> 3] |= 1 << (offset & 7);
  return true;
}
