/*
 * Owns the jump field: what may be typed into it, and what is said about the rest. It tells nobody anything but where
 * to jump.
 */

import { element } from './page.js';
import { formatNumber } from './words.js';

/** Digits, or digits in groups of three with one of the usual separators. */
const NUMBER = /^(\d+|\d{1,3}([,. _'’\u00a0\u202f])\d{3}(\2\d{3})*)$/;
const PERCENT = /^(\d+(?:[.,]\d+)?|[.,]\d+)\s*%$/;
const SCALED = /^(\d+(?:[.,]\d+)?)\s*(k|thousand|m|million|b|billion)$/;
const FRACTION = /^\d+[.,]\d+$/;

/** @type {Record<string, number>} */
const SCALES = { k: 1e3, thousand: 1e3, m: 1e6, million: 1e6, b: 1e9, billion: 1e9 };

/**
 * What someone typed into the jump field, as a box id or as a sentence that says what is wrong.
 * @param {string} text
 * @param {number} boxes
 * @param {number} random in [0, 1)
 * @returns {{ id: number } | { error: string }}
 */
export function parseJump(text, boxes, random) {
  const typed = text.trim().toLowerCase().replace(/^(box|#)\s*/, '');
  if (typed === '') return { error: 'Type where to go first.' };
  if (['random', 'anywhere', 'surprise me'].includes(typed)) return { id: Math.floor(random * boxes) + 1 };
  if (['first', 'start', 'top'].includes(typed)) return { id: 1 };
  if (['last', 'end', 'bottom'].includes(typed)) return { id: boxes };
  if (['middle', 'half', 'halfway'].includes(typed)) return { id: Math.ceil(boxes / 2) };

  const percent = PERCENT.exec(typed);
  if (percent) {
    const share = Number(percent[1].replace(',', '.')) / 100;
    if (share > 1) return { error: 'The board ends at 100%.' };
    return { id: Math.max(1, Math.round(boxes * share)) };
  }

  const isBox = (/** @type {number} */ id) => id >= 1 && id <= boxes;
  const outside = { error: `The boxes are numbered from 1 to ${formatNumber(boxes)}.` };
  if (NUMBER.test(typed)) {
    const id = Number(typed.replace(/\D/g, ''));
    return isBox(id) ? { id } : outside;
  }
  const scaled = SCALED.exec(typed);
  if (scaled) {
    const id = Math.round(Number(scaled[1].replace(',', '.')) * SCALES[scaled[2]]);
    return isBox(id) ? { id } : outside;
  }
  if (/^[-−]\s*\d/.test(typed)) return outside;
  if (FRACTION.test(typed)) return { error: `There are no parts of a box. Did you mean ${typed}%?` };
  return { error: `Type a box number up to ${formatNumber(boxes)}, a percentage such as 50%, or random.` };
}

/**
 * @param {number} boxes
 * @param {(id: number) => void} jump
 */
export function listenToJumpForm(boxes, jump) {
  const form = element('jump-form');
  const input = /** @type {HTMLInputElement} */ (element('jump'));
  const problem = element('jump-problem');
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    input.setAttribute('aria-invalid', String(text !== ''));
  };
  const go = (/** @type {string} */ typed) => {
    const found = parseJump(typed, boxes, Math.random());
    if ('error' in found) {
      complain(found.error);
      input.focus();
      return input.select();
    }
    complain('');
    input.value = '';
    jump(found.id);
  };
  input.addEventListener('input', () => complain(''));
  input.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape') return;
    input.value = '';
    complain('');
    input.blur();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(input.value);
  });
  element('jump-random').addEventListener('click', () => go('random'));
}
