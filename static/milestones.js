/*
 * Owns what is worth a cheer, and its words: own boxes, round totals, and numbers that happen to be pretty. Pure.
 */

import { formatNumber } from './words.js';

const FIRST_WORDS = new Map([
  [1, 'Your first box! One down, quite a few to go.'],
  [10, 'Ten boxes are yours. It gets easier from here.'],
  [42, '42 boxes. You know what that means.'],
  [100, 'Your 100th box! That deserves some confetti.'],
  [1_000, 'A thousand boxes. Remember to blink.'],
]);

/**
 * @param {number} count own boxes, with the newest
 * @returns {string | undefined}
 */
export function ownMilestone(count) {
  return FIRST_WORDS.get(count) ?? (count >= 25 && isRound(count) ? `${formatNumber(count)} boxes are yours.` : undefined);
}

/**
 * The round total that everyone together has just passed.
 * @param {number} before
 * @param {number} after
 * @returns {number | undefined}
 */
export function totalMilestone(before, after) {
  // Someone who was away for long missed the party.
  if (before < 1 || after <= before || after - before > before / 2) return undefined;
  const next = nextTotalMilestone(before);
  return after >= next ? next : undefined;
}

/**
 * The next total worth waiting for: 100, 200, 500, 1,000, …
 * @param {number} total
 */
export function nextTotalMilestone(total) {
  for (let scale = 100; ; scale *= 10) {
    for (const step of [1, 2, 5]) if (step * scale > total) return step * scale;
  }
}

/**
 * The last total that was worth waiting for, or none.
 * @param {number} total
 */
export function lastTotalMilestone(total) {
  let last = 0;
  for (let next = 100; next <= total; next = nextTotalMilestone(next)) last = next;
  return last;
}

/**
 * @param {number} id
 * @param {number} boxes
 * @returns {string | undefined}
 */
export function remarkOn(id, boxes) {
  const digits = String(id);
  const named = `Box ${formatNumber(id)}`;
  if (id === 1) return 'Box 1. Someone had to start.';
  if (id === boxes) return `${named}, the very last one. You went all the way.`;
  if (id === boxes / 2) return `${named}: exactly half-way.`;
  if (digits.length >= 3 && new Set(digits).size === 1) return `${named}. What a number.`;
  if (digits.length >= 4 && /^\d0+$/.test(digits)) return `${named}. Nice and round.`;
  if (digits.length >= 4 && '1234567890'.startsWith(digits)) return `${named}. Easy to remember.`;
  if (digits.length >= 5 && digits === [...digits].reverse().join('')) return `${named} reads the same backwards.`;
  if (id >= 1_024 && Number.isInteger(Math.log2(id))) return `${named}: that is 2 to the power of ${Math.log2(id)}.`;
  return undefined;
}

/** @param {number} count */
function isRound(count) {
  return /^(1|2|25|5|75)0*$/.test(String(count));
}
