/*
 * Owns the colours of everything that is painted rather than styled. They are written in the style sheet, once for
 * light and once for dark; this reads them from there, again whenever the scheme changes.
 */

/**
 * `ramp` goes from an empty tile to a full one; `tints` are the colours of checked boxes. Both come as 32-bit values
 * the way ImageData keeps them, tints also as text.
 * @typedef {object} Palette
 * @property {string} paper
 * @property {string} ink
 * @property {string} soft
 * @property {string} accent
 * @property {string} bad
 * @property {string} glow
 * @property {number} glowPixel
 * @property {string} empty a box that is free
 * @property {number} emptyPixel
 * @property {string} line around a box that is free
 * @property {string} unknown
 * @property {string} unknownStripe
 * @property {string} mine
 * @property {string[]} tints
 * @property {Uint32Array} tintPixels
 * @property {Uint32Array} ramp
 */

/** @typedef {[number, number, number]} Colour */

/** How many colours checked boxes come in; the style sheet has one for each. */
export const TINTS = 6;

export const RAMP_STEPS = 256;

/** The tints in the order of their hues, so that what lies side by side goes together. */
const HUES = [2, 0, 5, 1, 4, 3];

/**
 * The colour of a checked box, the same for everyone. Hues drift over the map in wide waves, so that every place has a
 * mood of its own close by and is a wash of colour from afar, and each box strays from the drift by chance.
 * @param {number} column
 * @param {number} row
 */
export function tintAt(column, row) {
  const drift = column / 230 + row / 310 + 1.1 * Math.sin(column / 173) + 1.3 * Math.sin(row / 139);
  const hue = Math.floor(drift + chance(column, row) * 1.9) % TINTS;
  return HUES[hue < 0 ? hue + TINTS : hue];
}

/**
 * A number in [0, 1) that looks random and is not; mixed twice, since one multiplication leaves stripes.
 * @param {number} column
 * @param {number} row
 */
function chance(column, row) {
  let mixed = Math.imul(column + row * 65_537, 0x9e37_79b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 32;
}

/**
 * How far along the ramp a share of checked boxes is. Most of a billion boxes stay empty for long, so the first one
 * must already show; a root keeps what is twice as full visibly fuller at every fullness.
 * @param {number} share in [0, 1]
 */
export function rampAt(share) {
  if (share <= 0) return 0;
  return Math.min(RAMP_STEPS - 1, Math.round((0.12 + 0.88 * share ** 0.38) * (RAMP_STEPS - 1)));
}

/** @param {HTMLElement} root */
export function readPalette(root) {
  const style = getComputedStyle(root);
  const brush = document.createElement('canvas').getContext('2d');
  /** @type {(name: string) => string} */
  const read = (name) => {
    if (!brush) return '#000000';
    // However the style sheet writes a colour, a context hands it back as #rrggbb.
    brush.fillStyle = style.getPropertyValue(name).trim();
    return brush.fillStyle;
  };
  const tints = Array.from({ length: TINTS }, (_, tint) => read(`--tint-${tint}`));
  const stops = ['--map-empty', '--map-low', '--map-mid', '--map-full'].map((name) => parseColour(read(name)));
  /** @type {Palette} */
  const palette = {
    paper: read('--paper'),
    ink: read('--ink'),
    soft: read('--soft'),
    accent: read('--accent'),
    bad: read('--bad'),
    glow: read('--map-glow'),
    glowPixel: pixel(parseColour(read('--map-glow'))),
    empty: read('--box-fill'),
    emptyPixel: pixel(parseColour(read('--box-fill'))),
    line: read('--box-line'),
    unknown: read('--unknown-a'),
    unknownStripe: read('--unknown-b'),
    mine: read('--mine'),
    tints,
    tintPixels: Uint32Array.from(tints, (tint) => pixel(parseColour(tint))),
    ramp: Uint32Array.from({ length: RAMP_STEPS }, (_, step) => pixel(between(stops, step / (RAMP_STEPS - 1)))),
  };
  return palette;
}

/**
 * @param {string} text #rrggbb
 * @returns {Colour}
 */
export function parseColour(text) {
  const value = Number.parseInt(text.slice(1, 7), 16) || 0;
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * The way ImageData keeps a colour, on the little-endian machines that browsers run on.
 * @param {Colour} colour
 */
export function pixel([red, green, blue], alpha = 255) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * @param {Colour[]} stops evenly spaced
 * @param {number} at in [0, 1]
 * @returns {Colour}
 */
export function between(stops, at) {
  const place = at * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [stops[index], stops[index + 1]];
  const part = (/** @type {0 | 1 | 2} */ channel) =>
    Math.round(from[channel] + (to[channel] - from[channel]) * (place - index));
  return [part(0), part(1), part(2)];
}
