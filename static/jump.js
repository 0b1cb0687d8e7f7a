/*
 * Owns the jump field: what may be typed into it, and what is said about the rest. It tells nobody anything but where
 * to jump.
 */

import { element } from './page.js';
import { NUMBER, plain, readFraction, readNumber, readPlace } from './place.js';
import { formatNumber } from './words.js';

/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {{ id: number } | { random: true } | { error: string }} Jump */

const RANDOM = ['random', 'anywhere', 'surprise me', 'surprise'];
const FIRST = ['first', 'start', 'top', 'beginning'];
const LAST = ['last', 'end', 'bottom'];
const MIDDLE = ['middle', 'half', 'halfway'];

const AMOUNT = String.raw`(${NUMBER}|[.,]\d+)`;
const PERCENT = new RegExp(`^(-?)(?:% ?)?${AMOUNT} ?(%|percent|per cent|pct|prozent|‰)?$`);
const SCALED = new RegExp(String.raw`^${AMOUNT} ?(\p{L}+)\.?$`, 'u');
const SHARE = new RegExp(`^(${NUMBER}) ?[/⁄] ?(${NUMBER})$`);
const POWER = /^(\d{1,10}) ?(?:\^|\*\*) ?(\d{1,2})(?: ?([+-]) ?(\d{1,10}))?$/;
const EXPONENT = /^(\d+(?:[.,]\d+)?)e\+?(\d{1,2})$/;
const ROW_COLUMN = new RegExp(`row\\D{0,3}(${NUMBER})\\W+(?:and )?col(?:umn)?\\D{0,3}(${NUMBER})`);
const COLUMN_ROW = new RegExp(`col(?:umn)?\\D{0,3}(${NUMBER})\\W+(?:and )?row\\D{0,3}(${NUMBER})`);
const SPAN = new RegExp(`^(?:(?:boxes|you are in|around|you see) )?(${NUMBER}) ?(?:-|to|\\.\\.|…) ?(${NUMBER})$`);
const NAMED = new RegExp(`(?:box(?:es)?|#|№|\\bno\\.?|\\bnr\\.?) ?(${NUMBER})(?![\\p{L}\\d])`, 'u');

/** @type {Record<string, number>} */
const SCALES = {
  ...{ k: 1e3, tsd: 1e3, thousand: 1e3, lakh: 1e5, lakhs: 1e5, crore: 1e7, crores: 1e7 },
  ...{ m: 1e6, mn: 1e6, mio: 1e6, million: 1e6, millions: 1e6, millionen: 1e6 },
  ...{ b: 1e9, bn: 1e9, mrd: 1e9, billion: 1e9, billions: 1e9, milliarde: 1e9 },
};

/**
 * What someone typed into the jump field, as a box id or as a sentence that says what is wrong. Nothing that such a
 * sentence offers is refused when it is typed in turn.
 * @param {string} text
 * @param {Geometry} geometry
 * @returns {Jump}
 */
export function parseJump(text, geometry) {
  const { boxes } = geometry;
  const typed = plain(text);
  const word = typed.replace(/[.!?]+$/, '');
  if (word === '') return { error: 'Type where to go first.' };
  if (RANDOM.includes(word)) return { random: true };
  if (FIRST.includes(word)) return { id: 1 };
  if (LAST.includes(word)) return { id: boxes };
  if (MIDDLE.includes(word)) return { id: Math.ceil(boxes / 2) };

  const outside = { error: `The boxes are numbered from 1 to ${formatNumber(boxes)}.` };
  const amount = parseAmount(word.replace(/^\+ ?/, '').replace(/[,;:]+$/, ''), geometry);
  if (amount !== undefined) return typeof amount === 'object' ? amount : boxOr(amount, boxes, outside);
  const shown = parseShown(typed, geometry, outside);
  if (shown) return shown;
  if (/^- ?\d/.test(word)) return outside;
  return { error: `Type a box number up to ${formatNumber(boxes)}, a percentage such as 50%, or random.` };
}

/**
 * A number or a share, and nothing else.
 * @param {string} typed
 * @param {Geometry} geometry
 * @returns {number | Jump | undefined}
 */
function parseAmount(typed, { boxes }) {
  const percent = PERCENT.exec(typed);
  if (percent && (percent[3] || typed.includes('%'))) {
    const share = (readFraction(percent[2]) ?? 0) / (percent[3] === '‰' ? 1000 : 100);
    return percent[1] && share > 0 ? { error: 'The board begins at 0%.' } : boxAt(share, boxes);
  }
  const share = SHARE.exec(typed);
  if (share) return boxAt((readNumber(share[1]) ?? 0) / (readNumber(share[2]) ?? 0) || 0, boxes);
  const power = POWER.exec(typed);
  if (power) return Number(power[1]) ** Number(power[2]) + Number(`${power[3] ?? ''}${power[4] ?? 0}`);
  const exponent = EXPONENT.exec(typed);
  if (exponent) return Math.round((readFraction(exponent[1]) ?? 0) * 10 ** Number(exponent[2]));
  const scaled = SCALED.exec(typed);
  const scale = scaled && Object.hasOwn(SCALES, scaled[2]) ? SCALES[scaled[2]] : undefined;
  if (scaled && scale) return Math.round((readFraction(scaled[1]) ?? 0) * scale);
  return readNumber(typed.replace(/^#|^box /, '').trim()) ?? readFraction(typed);
}

/**
 * What the page itself shows: a link, a row and a column, a tile's range, a sentence about a box.
 * @param {string} typed
 * @param {Geometry} geometry
 * @param {{ error: string }} outside
 * @returns {Jump | undefined}
 */
function parseShown(typed, geometry, outside) {
  const { boxes } = geometry;
  const link = /(?:[#?&]|^|%23|%3f)b(?:=|%3d).*/.exec(typed);
  if (link) {
    const place = readPlace(link[0], boxes);
    return place && 'spot' in place ? { id: place.spot.id } : outside;
  }
  const named = NAMED.exec(typed);
  if (named) return boxOr(readNumber(named[1]) ?? 0, boxes, outside);
  const place = ROW_COLUMN.exec(typed);
  const turned = COLUMN_ROW.exec(typed);
  const [row, column] = place ? [place[1], place[2]] : turned ? [turned[2], turned[1]] : [];
  if (row !== undefined && column !== undefined) {
    const id = geometry.idAt((readNumber(column) ?? 0) - 1, (readNumber(row) ?? 0) - 1);
    const { rows, columns } = geometry;
    return id > 0 ? { id } : { error: `There are ${formatNumber(rows)} rows and ${formatNumber(columns)} columns.` };
  }
  const span = SPAN.exec(typed);
  return span ? boxOr(readNumber(span[1]) ?? 0, boxes, outside) : undefined;
}

/**
 * @param {number} number
 * @param {number} boxes
 * @param {{ error: string }} outside
 * @returns {Jump}
 */
function boxOr(number, boxes, outside) {
  if (Number.isInteger(number)) return number >= 1 && number <= boxes ? { id: number } : outside;
  const meant = number <= 100 ? `${number}%` : formatNumber(Math.min(Math.floor(number), boxes));
  return { error: `There are no parts of a box. Did you mean ${meant}?` };
}

/**
 * @param {number} share of the board
 * @param {number} boxes
 * @returns {Jump}
 */
function boxAt(share, boxes) {
  return share > 1 ? { error: 'The board ends at 100%.' } : { id: Math.max(1, Math.round(boxes * share)) };
}

/**
 * @param {Geometry} geometry
 * @param {{ jump: (id: number) => void, random: () => void }} go
 */
export function listenToJumpForm(geometry, { jump, random }) {
  const form = element('jump-form');
  const input = /** @type {HTMLInputElement} */ (element('jump'));
  const problem = element('jump-problem');
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    input.setAttribute('aria-invalid', String(text !== ''));
  };
  const go = (/** @type {Jump} */ found) => {
    if ('error' in found) {
      complain(found.error);
      input.focus();
      return input.select();
    }
    complain('');
    input.value = '';
    if ('id' in found) jump(found.id);
    else random();
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
    go(parseJump(input.value, geometry));
  });
  element('jump-random').addEventListener('click', () => go({ random: true }));
}
