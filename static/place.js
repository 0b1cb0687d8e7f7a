/*
 * Owns how a place on the board is written in the address (`#b=123456789`). Pure.
 */

/**
 * @param {string} hash
 * @param {number} boxes
 * @returns {number | undefined}
 */
export function parseHash(hash, boxes) {
  const found = /^#b=(\d{1,10})$/.exec(hash);
  const id = Number(found?.[1]);
  return id >= 1 && id <= boxes ? id : undefined;
}

/** @param {number} id */
export function formatHash(id) {
  return `#b=${id}`;
}
