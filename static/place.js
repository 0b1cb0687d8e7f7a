/*
 * Owns how a place on the board is written in the address: `#b=123456789&z=0.5` is a box and a zoom, in CSS pixels per
 * box. Without a zoom one arrives where boxes can be checked, however large those are on the reader's screen. Pure.
 */

/** @typedef {{ id: number, z: number | undefined }} Spot */

/**
 * @param {string} hash
 * @param {number} boxes
 * @returns {Spot | undefined}
 */
export function parseHash(hash, boxes) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  const box = parameters.get('b') ?? '';
  if (!/^\d{1,10}$/.test(box)) return undefined;
  const id = Number(box);
  if (id < 1 || id > boxes) return undefined;
  const zoom = parameters.get('z') ?? '';
  // Whatever else is there: the place is right, so it is better to arrive than to complain.
  const z = /^\d{0,4}(\.\d{0,9})?$/.test(zoom) ? Number(zoom) : 0;
  return { id, z: z > 0 ? z : undefined };
}

/**
 * @param {number} id
 * @param {number | undefined} z `undefined` for the zoom that everyone arrives at anyway
 */
export function formatHash(id, z) {
  // Three figures are finer than a pixel over the whole screen is worth, and never need an exponent here.
  return z === undefined ? `#b=${id}` : `#b=${id}&z=${Number(z.toPrecision(3))}`;
}
