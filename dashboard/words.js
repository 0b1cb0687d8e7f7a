/*
 * Owns how figures are written: with units, with as many digits as one reads at a glance, the separators of the reader's
 * language. Pure.
 */

const language = (() => {
  try {
    return Intl.NumberFormat.supportedLocalesOf(globalThis.navigator?.language ?? [])[0] ?? 'en-US';
  } catch {
    // A browser may have a language that is no language, such as "C".
    return 'en-US';
  }
})();

const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });

/** @typedef {{ number: string, unit: string }} Figure */

/** @param {number} value */
export function count(value) {
  return whole.format(value);
}

/**
 * A rate: small ones with tenths, large ones shortened.
 * @param {number} value
 */
export function rate(value) {
  if (value >= 9_999_500) return `${tenths.format(value / 1e6)} M`;
  if (value >= 99_950) return `${whole.format(value / 1e3)} k`;
  return value > 0 && value < 9.95 ? tenths.format(value) : whole.format(value);
}

/**
 * @param {number | null} ms
 * @returns {Figure}
 */
export function time(ms) {
  if (ms === null) return { number: '–', unit: '' };
  if (ms >= 999.5) return { number: tenths.format(ms / 1_000), unit: 's' };
  return { number: ms < 9.95 ? tenths.format(ms) : whole.format(ms), unit: 'ms' };
}

/**
 * @param {number | null} bytes
 * @returns {Figure}
 */
export function memory(bytes) {
  if (bytes === null) return { number: '–', unit: '' };
  const megabytes = bytes / 1e6;
  return megabytes >= 999.5 ? { number: tenths.format(megabytes / 1e3), unit: 'GB' } : { number: whole.format(megabytes), unit: 'MB' };
}

/** @param {Figure} figure */
export function inOne({ number, unit }) {
  return unit ? `${number} ${unit}` : number;
}

/**
 * The two largest units that it takes.
 * @param {number} seconds
 */
export function duration(seconds) {
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's'],
  ]);
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return '0 s';
  const shown = parts.slice(first, first + 2).filter(([number], index) => index === 0 || number > 0);
  return shown.map(([number, unit]) => `${number} ${unit}`).join(' ');
}

/** @param {number} ms since 1970 */
export function clockTime(ms) {
  return clock.format(ms);
}

/** @param {number} ms since 1970 */
export function dayTime(ms) {
  return day.format(ms);
}

/** What the reasons of refusals mean, as docs/OPERATING.md has them. */
const REASONS = new Map([
  ['rate', 'faster than allowed'],
  ['busy', 'a shard had no room'],
  ['storage', 'the store took no checks'],
  ['read_only', 'the board was read-only'],
  ['reserved', 'the box is reserved'],
  ['origin', 'page of another site'],
  ['full', 'no place left'],
  ['connections', 'too many from one address'],
  ['blocked', 'blocked address'],
  ['draining', 'the node was stopping'],
  ['handshake', 'no WebSocket handshake'],
  ['message', 'message without sense'],
  ['protocol', 'broken WebSocket frames'],
]);

/** @param {string} reason */
export function refusalWords(reason) {
  return REASONS.get(reason) ?? reason;
}
