/*
 * Owns how numbers and refusals are put into words. Pure.
 */

const INTEGER = new Intl.NumberFormat('en-US');

/** @param {number} value */
export function formatNumber(value) {
  return INTEGER.format(value);
}

/**
 * A share in percent that keeps two figures however small it is, and that says 100% only when nothing is missing.
 * @param {number} part
 * @param {number} whole
 */
export function formatShare(part, whole) {
  if (part <= 0) return '0%';
  if (part >= whole) return '100%';
  const percent = (part / whole) * 100;
  if (percent >= 1) return `${(Math.floor(percent * 100) / 100).toFixed(2)}%`;
  // One box in a billion is 0.0000001%: seven decimals are enough for the second figure never to matter more.
  return `${percent.toLocaleString('en-US', { maximumSignificantDigits: 2, maximumFractionDigits: 8 })}%`;
}

const REASONS = new Map([
  [1, 'the server cannot store checks right now'],
  [2, 'the server is busy'],
  [3, 'the board is read-only right now'],
  [4, 'slow down a little'],
  [5, 'this box is reserved'],
]);

/**
 * @param {number} id
 * @param {number} reason as in the refused message of the protocol
 */
export function refusalNotice(id, reason) {
  const why = REASONS.get(reason) ?? 'the server refused it';
  return `Box ${formatNumber(id)} was not checked: ${why}.`;
}

/** @param {number} id */
export function beatenNotice(id) {
  return `Someone was faster: box ${formatNumber(id)} is checked already.`;
}
