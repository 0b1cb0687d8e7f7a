/*
 * Owns how a place on the board is written in the address: `#b=123456789&z=0.5` is a box and a zoom, in CSS pixels per
 * box. Without a zoom one arrives where boxes can be checked, however large those are on the reader's screen. What it
 * reads is more than what it writes: chat programs encode links, cut them, and take the full stop behind them in, and people
 * write numbers in any digits, with any separators. Pure.
 */

import { formatNumber } from './words.js';

/** @typedef {{ id: number, z: number | undefined }} Spot */

/** How often a link may have been encoded on its way. */
const ENCODED_MAX = 3;

/** Around a link there may be other numbers, so a blank only groups where three digits follow. */
const COUNT = String.raw`(?:\d{1,3}(?:[.,' ]\d{2,3})*[.,' ]\d{3}|\d+)`;
const NAMED = new RegExp(String.raw`(?:^|[^\p{L}\d])(?:b|box|#)\s?[=:]?\s?(-?)(${COUNT})(?![\p{L}\d])`, 'u');
const BARE = new RegExp(String.raw`^(-?)(${COUNT})(?![\p{L}\d])`, 'u');
const ZOOM = /(?:^|[^\p{L}\d])z\s?[=:]\s?(\d{0,4}(?:[.,]\d{1,9})?)(?![\p{L}\d])/u;

/** Invitations to teams are addresses, too, and name no place. */
const INVITATION = /^#?team=([\w-]{1,64})[.,;:!?)\]]*$/;

/**
 * The team's invitation that an address is.
 * @param {string} hash
 * @returns {string | undefined}
 */
export function readInvitation(hash) {
  return INVITATION.exec(decoded(hash).trim())?.[1];
}

/** @param {string} invitation */
export function formatInvitation(invitation) {
  return `#team=${invitation}`;
}

/**
 * What an address says of the place. Its fragment has the word, unless only its query names a box.
 * @param {{ hash: string, search: string }} address
 * @param {number} boxes
 * @returns {{ spot: Spot } | { problem: string } | undefined} nothing where it says nothing
 */
export function readLink({ hash, search }, boxes) {
  const inHash = readInvitation(hash) === undefined ? readPlace(hash, boxes) : undefined;
  if (inHash && 'spot' in inHash) return inHash;
  const inQuery = namesBox(search) ? readPlace(search, boxes) : undefined;
  return inQuery && (!inHash || 'spot' in inQuery) ? inQuery : inHash;
}

/**
 * @param {string} text a fragment, a query or anything else with a place in it
 * @param {number} boxes
 * @returns {{ spot: Spot } | { problem: string } | undefined}
 */
export function readPlace(text, boxes) {
  const said = unwrap(text);
  if (!/[\p{L}\d]/u.test(said)) return undefined;
  const found = NAMED.exec(said) ?? BARE.exec(said);
  const id = found ? readNumber(found[2]) : undefined;
  if (!found || id === undefined) {
    return { problem: 'This link names no box, so nobody knows where it leads.' };
  }
  if (found[1] === '-' || id < 1 || id > boxes) {
    const named = `${found[1]}${formatNumber(id)}`;
    return { problem: `This link leads to box ${named}, but they are numbered from 1 to ${formatNumber(boxes)}.` };
  }
  // Whatever else is there: the place is right, so it is better to arrive than to complain.
  const z = Number((ZOOM.exec(said)?.[1] ?? '').replace(',', '.'));
  return { spot: { id, z: z > 0 ? z : undefined } };
}

/**
 * Whether a query is about a place at all, and not about whatever a site adds to links.
 * @param {string} search
 */
export function namesBox(search) {
  return /(?:^|[?&])b=/.test(unwrap(search));
}

/**
 * @param {number} id
 * @param {number | undefined} z `undefined` for the zoom that everyone arrives at anyway
 */
export function formatHash(id, z) {
  // Three figures are finer than a pixel over the whole screen is worth, and never need an exponent here.
  return z === undefined ? `#b=${id}` : `#b=${id}&z=${Number(z.toPrecision(3))}`;
}

/** @param {string} text */
function unwrap(text) {
  return plain(decoded(text).replace(/&amp;/gi, '&').replace(/\+/g, ' ')).replace(/^[#?!/ ]+/, '');
}

/** @param {string} text */
function decoded(text) {
  let said = text;
  for (let times = 0; times < ENCODED_MAX; times++) {
    try {
      said = decodeURIComponent(said);
    } catch {
      // A per cent sign that stands for nothing: what is decoded so far has to do.
      break;
    }
  }
  return said;
}

/** A run of digits with whatever people put between them. */
export const NUMBER = String.raw`\d(?:[\d.,' _]*\d)?`;

/**
 * The same text with Latin digits, plain spaces, plain apostrophes and a plain minus, in lower case.
 * @param {string} text
 */
export function plain(text) {
  return text
    .normalize('NFKC')
    .replace(/\p{Nd}/gu, (digit) => String(digitValue(digit)))
    .replace(/[’‘ʼ´`٬]/g, "'")
    .replace(/[،、]/g, ',')
    .replace(/٫/g, '.')
    .replace(/٪/g, '%')
    .replace(/[−‒–—―]/g, '-')
    .replace(/\p{Cf}/gu, '')
    .replace(/\s+/g, ' ')
    .toLowerCase()
    .trim();
}

/**
 * A number as it was written: 1,234 and 1.234 and 12,34,567 are counts, 1.5 is none. One comma or full stop with other
 * than three digits behind it stands for a fraction; any other separator only groups.
 * @param {string} written in plain text
 * @returns {number | undefined} a fraction for what is none
 */
export function readNumber(written) {
  if (!new RegExp(`^${NUMBER}$`).test(written)) return undefined;
  const groups = written.replace(/[' _]/g, '');
  const fraction = /^(\d+(?:[.,]\d+)*)[.,](\d+)$/.exec(groups);
  if (!fraction) return digits(groups);
  const [, whole, end] = fraction;
  const isGrouped = /[.,]/.test(whole);
  // 1,234.50: the last separator is another one than those before it.
  const isOther = isGrouped && !whole.includes(groups[whole.length]);
  const isFraction = end.length !== 3 && (!isGrouped || isOther);
  return isFraction ? Number(`${digits(whole)}.${end}`) : digits(groups);
}

/**
 * The same where a fraction is what one expects, as before a percent sign: there 12.345 is twelve and a bit.
 * @param {string} written in plain text
 * @returns {number | undefined}
 */
export function readFraction(written) {
  const single = /^(\d*)[.,](\d+)$/.exec(written.replace(/[' _]/g, ''));
  return single ? Number(`${single[1] || '0'}.${single[2]}`) : readNumber(written);
}

/** @param {string} text */
function digits(text) {
  return Number(text.replace(/\D/g, ''));
}

/**
 * Unicode keeps the ten digits of a script in a row.
 * @param {string} digit
 */
function digitValue(digit) {
  const code = digit.codePointAt(0) ?? 0;
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value += 1;
  return value;
}
