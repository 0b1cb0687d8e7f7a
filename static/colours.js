/*
 * Owns the colours in which the map is painted: which of them a checked box has, and the inks as the style sheet says
 * them, once for light and once for dark. (How dark a tile is for how many boxes is up to palette.js.)
 */

import { parseColour, readPalette } from './palette.js';

/**
 * Tints and the colour of a free box come as text and as 32-bit values the way ImageData keeps them.
 * @typedef {object} Inks
 * @property {import('./palette.js').Palette} shades of tiles
 * @property {string} font of the page
 * @property {string} paper
 * @property {string} raised a plate with words
 * @property {string} soft words of less weight
 * @property {string} ink
 * @property {string} accent
 * @property {string} bad
 * @property {string} glow
 * @property {string} empty a box that is free
 * @property {number} emptyPixel
 * @property {string} grid between boxes too small for a gap of their own
 * @property {string} line around a box that is free
 * @property {string} unknown a box of which nothing is known yet
 * @property {string} mine
 * @property {string} mineEdge between that and a tint
 * @property {string[]} tints
 * @property {Uint32Array} tintPixels
 */

/** How many colours checked boxes come in; the style sheet has one for each. */
export const TINTS = 6;

/** The tints in the order of their hues, so that what lies side by side goes together. */
const HUES = [2, 0, 5, 1, 4, 3];

/**
 * The colour of a checked box, the same for everyone. Hues drift over the map in wide waves, so that every place has a
 * mood of its own close by and is a wash of colour from afar, and each box strays from the drift by chance.
 * @param {number} column
 * @param {number} row
 */
export function tintAt(column, row) {
  const drift = column / 260 + row / 340 + 1.1 * Math.sin(column / 173) + 1.3 * Math.sin(row / 139);
  const hue = Math.floor(drift + chance(column, row) * 3) % TINTS;
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

/** @param {HTMLElement} root */
export function readInks(root) {
  const style = getComputedStyle(root);
  const read = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const tints = Array.from({ length: TINTS }, (_, tint) => read(`--tint-${tint}`));
  /** @type {Inks} */
  const inks = {
    shades: readPalette(root),
    font: style.fontFamily,
    paper: read('--paper'),
    raised: read('--raised'),
    soft: read('--soft'),
    ink: read('--ink'),
    accent: read('--accent'),
    bad: read('--bad'),
    glow: read('--map-glow'),
    empty: read('--box-fill'),
    emptyPixel: pixelOf(read('--box-fill')),
    grid: read('--map-grid'),
    line: read('--box-line'),
    unknown: read('--unknown-a'),
    mine: read('--mine'),
    mineEdge: read('--mine-edge'),
    tints,
    tintPixels: Uint32Array.from(tints, pixelOf),
  };
  return inks;
}

/**
 * The way ImageData keeps a colour, on the little-endian machines that browsers run on.
 * @param {string} text a colour of the style sheet, written as #rrggbb
 */
function pixelOf(text) {
  const [red, green, blue] = parseColour(text);
  return (0xff00_0000 | (blue << 16) | (green << 8) | red) >>> 0;
}
