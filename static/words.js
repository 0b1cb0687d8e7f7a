/*
 * Owns how numbers, refusals and being turned away are put into words. The words are English; numbers have the digits and the separators
 * that the reader is used to, because 668,849 and 0.067% are other numbers in German.
 */

/** @type {{ integer: Intl.NumberFormat, hundredths: Intl.NumberFormat, twoFigures: Intl.NumberFormat, isolate: boolean }} */
let formats;
writeNumbersFor(globalThis.navigator?.language);

/** @param {string | undefined} language of the reader, as the browser has it */
export function writeNumbersFor(language) {
  const known = knownOr(language, 'en-US');
  /** @param {Intl.NumberFormatOptions} options */
  const percent = (options) => new Intl.NumberFormat(known, { style: 'percent', ...options });
  const integer = new Intl.NumberFormat(known);
  formats = {
    integer,
    hundredths: percent({ minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    twoFigures: percent({ maximumSignificantDigits: 2 }),
    // Arabic digits would turn "1 – 2" round, as if the whole of it were Arabic.
    isolate: /[\u0660-\u0669]/.test(integer.format(1)),
  };
}

/**
 * A browser may have a language that is no language, such as "C" or "en-US@posix".
 * @param {string | undefined} language
 * @param {string} otherwise
 */
function knownOr(language, otherwise) {
  try {
    return Intl.NumberFormat.supportedLocalesOf(language ?? [])[0] ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** @param {number} value */
export function formatNumber(value) {
  return isolated(formats.integer.format(value));
}

/** @param {string} text */
function isolated(text) {
  return formats.isolate ? `\u2066${text}\u2069` : text;
}

/**
 * A share in percent that keeps two figures however small it is, and that says 100% only when nothing is missing.
 * @param {number} part
 * @param {number} whole
 */
export function formatShare(part, whole) {
  const share = Math.min(Math.max(part / whole, 0), 1);
  const { hundredths, twoFigures } = formats;
  if (share === 0 || part >= whole) return isolated(formats.twoFigures.format(share));
  if (share >= 0.01) return isolated(hundredths.format(Math.floor(share * 10_000) / 10_000));
  return isolated(twoFigures.format(share));
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

/**
 * No longer than the line that they stand in the place of, on any screen.
 * @type {Record<import('./turned_away.js').Reason, string>}
 */
const TURNED_AWAY = {
  full: 'The board is full at the moment.',
  connections: 'Too many connections from your network.',
  rate: 'Too many new connections just now.',
  draining: 'The server is restarting.',
};

/** @param {import('./turned_away.js').Reason | undefined} reason why the server does not let the page in, if it says */
export function turnedAwayWords(reason) {
  return reason ? TURNED_AWAY[reason] : '';
}
