/*
 * Owns which boxes were checked on this device: an ordered set, kept in the browser's storage under the board's name.
 * Only confirmed checks get in. Storage may be full, forbidden, damaged or shared with another tab: none of that may
 * stop anybody from playing, so every fault ends in remembering less.
 *
 * Stored as `1.<checksum>.<base64>`: differences between neighbours in the order of checking, zigzag, seven bits to a
 * byte. Clicking along a row costs a byte a box, a random one five at most.
 */

import { TILE_BOXES } from './geometry.js';

/** The newest 100,000: at 5 bytes each, 667 KB as base64, an eighth of what browsers let a site keep. */
export const MINE_MAX = 100_000;

const SAVE_AFTER_MS = 400;
const VERSION = '1';

export class Mine {
  /**
   * @param {Pick<Storage, 'getItem' | 'setItem'> | undefined} storage
   * @param {string} board
   * @param {number} boxes
   */
  constructor(storage, board, boxes) {
    this.storage = storage;
    this.key = mineKey(board);
    this.boxes = boxes;
    /**
     * In the order of checking.
     * @type {number[]}
     */
    this.order = [];
    /** @type {Map<number, Set<number>>} */
    this.byTile = new Map();
    /** Ids that the storage may not have yet. */
    this.isDirty = false;
    /** @type {string | null} */
    this.storedText = null;
    /** @type {Set<(id: number | undefined) => void>} */
    this.listeners = new Set();
    this.reload();
  }

  /** @param {(id: number | undefined) => void} listener one box came in, or with `undefined` any number */
  listen(listener) {
    this.listeners.add(listener);
  }

  get count() {
    return this.order.length;
  }

  /** @param {number} id */
  has(id) {
    return this.byTile.get(tileOf(id))?.has(id) ?? false;
  }

  /**
   * @param {number} tile
   * @returns {ReadonlySet<number>}
   */
  idsIn(tile) {
    return this.byTile.get(tile) ?? NONE;
  }

  /** @returns {IterableIterator<number>} the tiles with a box of mine */
  tiles() {
    return this.byTile.keys();
  }

  /**
   * The server confirmed a check of ours.
   * @param {number} id
   * @returns {boolean} whether it is new
   */
  add(id) {
    if (!this.insert(id)) return false;
    this.isDirty = true;
    this.tell(id);
    return true;
  }

  /** Takes in what is stored, by this tab in an earlier life or by another one just now. */
  reload() {
    const text = this.read();
    if (text === this.storedText) return;
    this.storedText = text;
    const stored = decodeIds(text, this.boxes);
    const before = this.order;
    // Theirs first: what only we have is at most a moment old.
    this.order = [];
    this.byTile.clear();
    for (const id of stored) this.insert(id);
    for (const id of before) this.insert(id);
    // Two tabs may write at the same moment; the one whose boxes were lost notices here and writes again.
    if (this.order.length > stored.length) this.isDirty = true;
    this.tell(undefined);
  }

  /** @returns {boolean} whether everything is stored now */
  save() {
    if (!this.isDirty) return true;
    this.reload();
    const text = encodeIds(this.order);
    try {
      if (!this.storage) return false;
      this.storage.setItem(this.key, text);
    } catch {
      return false;
    }
    this.storedText = text;
    this.isDirty = false;
    return true;
  }

  /** @returns {string | null} */
  read() {
    try {
      return this.storage?.getItem(this.key) ?? null;
    } catch {
      return null;
    }
  }

  /** @param {number} id */
  insert(id) {
    const tile = tileOf(id);
    const ids = this.byTile.get(tile) ?? new Set();
    if (ids.has(id)) return false;
    this.byTile.set(tile, ids.add(id));
    this.order.push(id);
    if (this.order.length > MINE_MAX) this.remove(this.order.shift() ?? 0);
    return true;
  }

  /** @param {number} id */
  remove(id) {
    const ids = this.byTile.get(tileOf(id));
    ids?.delete(id);
    if (ids?.size === 0) this.byTile.delete(tileOf(id));
  }

  /** @param {number | undefined} id */
  tell(id) {
    for (const listener of this.listeners) listener(id);
  }
}

/** @type {ReadonlySet<number>} */
const NONE = new Set();

/** @param {number} id */
function tileOf(id) {
  return Math.floor((id - 1) / TILE_BOXES);
}

/** @param {string} board */
export function mineKey(board) {
  return `billion.mine.${board}`;
}

/**
 * Saves a little after each change and before the page goes away, and hears of other tabs.
 * @param {Mine} mine
 * @param {() => void} failed the first time that something could not be saved
 */
export function keepSaved(mine, failed) {
  let timer = 0;
  let hasFailed = false;
  mine.listen(() => {
    if (timer !== 0 || !mine.isDirty) return;
    timer = setTimeout(() => {
      timer = 0;
      if (mine.save() || hasFailed) return;
      hasFailed = true;
      failed();
    }, SAVE_AFTER_MS);
  });
  addEventListener('pagehide', () => mine.save());
  addEventListener('storage', ({ key }) => {
    if (key === mine.key) mine.reload();
  });
}

/** @param {number[]} ids */
export function encodeIds(ids) {
  /** @type {number[]} */
  const bytes = [];
  let before = 0;
  for (const id of ids) {
    const difference = id - before;
    before = id;
    // Zigzag by arithmetic: a difference can have 33 bits, and operators for bits work on 32.
    let rest = difference < 0 ? -difference * 2 - 1 : difference * 2;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  let text = '';
  // Spreading everything into one call would overflow the stack.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.slice(at, at + 8192));
  const body = btoa(text);
  return `${VERSION}.${checksum(body)}.${body}`;
}

/**
 * @param {string | null} text
 * @param {number} boxes
 * @returns {number[]} nothing when the text is damaged; ids that are no boxes are left out
 */
export function decodeIds(text, boxes) {
  const [version, sum, body] = (text ?? '').split('.');
  if (version !== VERSION || body === undefined || checksum(body) !== sum) return [];
  /** @type {Set<number>} */
  const ids = new Set();
  let [id, value, scale] = [0, 0, 1];
  for (const character of decodeBase64(body)) {
    const byte = character.charCodeAt(0);
    value += (byte % 128) * scale;
    scale *= 128;
    if (byte >= 128) continue;
    id += value % 2 === 1 ? -(value + 1) / 2 : value / 2;
    [value, scale] = [0, 1];
    if (Number.isInteger(id) && id >= 1 && id <= boxes) ids.add(id);
  }
  return [...ids];
}

/** @param {string} body */
function decodeBase64(body) {
  try {
    return atob(body);
  } catch {
    // Only someone who wrote it by hand gets the sum right and this wrong; the page must start all the same.
    return '';
  }
}

/**
 * FNV-1a, so that a text that was cut or edited is not taken for boxes.
 * @param {string} text
 */
function checksum(text) {
  let sum = 0x811c_9dc5;
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x0100_0193);
  return (sum >>> 0).toString(16);
}
