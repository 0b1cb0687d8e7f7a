/*
 * Owns the checks that were clicked and not answered yet, in the browser's storage: a page that is closed or reloaded
 * before the answer sends them again next time. One list for all tabs of a board. Sending a check twice is harmless, so
 * tabs may pick up each other's; losing one is not, so it leaves the list only when an answer came.
 */

/** A list this long means that something else is wrong; further checks are still sent, only not kept. */
export const PENDING_MAX = 1_000;

export class Pending {
  /**
   * @param {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | undefined} storage
   * @param {string} board
   * @param {number} boxes
   */
  constructor(storage, board, boxes) {
    this.storage = storage;
    this.key = `billion.pending.${board}`;
    this.boxes = boxes;
  }

  /** @returns {number[]} oldest first */
  all() {
    let text = '';
    try {
      text = this.storage?.getItem(this.key) ?? '';
    } catch {
      // Forbidden storage is an empty one.
    }
    const ids = text.split(',').map(Number);
    const good = ids.filter((id) => Number.isInteger(id) && id >= 1 && id <= this.boxes);
    return [...new Set(good)].slice(0, PENDING_MAX);
  }

  /** @param {number} id */
  add(id) {
    const ids = this.all();
    if (ids.includes(id) || ids.length >= PENDING_MAX) return;
    this.write([...ids, id]);
  }

  /** @param {number} id */
  remove(id) {
    const ids = this.all();
    if (ids.includes(id)) this.write(ids.filter((other) => other !== id));
  }

  /** @param {number[]} ids */
  write(ids) {
    try {
      if (ids.length === 0) this.storage?.removeItem(this.key);
      else this.storage?.setItem(this.key, ids.join(','));
    } catch {
      // A full storage keeps nothing; the check itself is on its way all the same.
    }
  }
}

/**
 * The browser's storage, or nothing where it is switched off: asking for it then throws.
 * @returns {Storage | undefined}
 */
export function openStorage() {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}
