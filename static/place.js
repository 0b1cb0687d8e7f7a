/*
 * Owns how a place on the board is written in the jump field. Pure, apart from the random number that its caller
 * passes in. (How the address says it is up to address.js.)
 */

import { formatNumber } from './words.js';

/** Digits, or digits in groups of three with one of the usual separators. */
const NUMBER = /^(\d+|\d{1,3}([,. _'\u00a0\u202f])\d{3}(\2\d{3})*)$/;
const PERCENT = /^(\d+(?:[.,]\d+)?)\s*%$/;

/**
 * What someone typed into the jump field, as a box id or as a sentence that says what is wrong.
 * @param {string} text
 * @param {number} boxes
 * @param {number} random in [0, 1)
 * @returns {{ id: number } | { error: string }}
 */
export function parseJump(text, boxes, random) {
  const typed = text.trim().toLowerCase().replace(/^(box|#)\s*/, '');
  if (typed === 'random') return { id: Math.floor(random * boxes) + 1 };

  const percent = PERCENT.exec(typed);
  if (percent) {
    const share = Number(percent[1].replace(',', '.')) / 100;
    if (share > 1) return { error: 'The board ends at 100%.' };
    return { id: Math.max(1, Math.round(boxes * share)) };
  }

  if (NUMBER.test(typed)) {
    const id = Number(typed.replace(/\D/g, ''));
    if (id >= 1 && id <= boxes) return { id };
    return { error: `The boxes are numbered from 1 to ${formatNumber(boxes)}.` };
  }
  return { error: `Type a box number up to ${formatNumber(boxes)}, a percentage such as 50%, or random.` };
}
