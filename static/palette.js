/*
 * Owns which colour stands for how many checked boxes. The style sheet says the colours, light and dark; this makes a
 * table of them, so that drawing ten thousand tiles is ten thousand look-ups.
 */

/** @typedef {[number, number, number]} Colour */

/**
 * Stops of the ramp: at which shade (see shading.js) which property of the style sheet stands.
 * @type {[number, string][]}
 */
const STOPS = [
  [0, '--map-empty'],
  [1 / 3, '--map-low'],
  [2 / 3, '--map-mid'],
  [1, '--map-full'],
];

const STEPS = 256;

export class Palette {
  /** @param {(name: string) => string} property reads a property of the style sheet */
  constructor(property) {
    const stops = STOPS.map(([at, name]) => ({ at, colour: parseColour(property(name)) }));
    this.table = Uint32Array.from({ length: STEPS }, (_, step) => packed(between(stops, step / (STEPS - 1))));
    this.unknown = packed(parseColour(property('--map-unknown')));
    this.glow = property('--map-glow').trim();
    this.mine = property('--mine').trim();
    this.ink = property('--ink').trim();
    this.line = property('--box-line').trim();
  }

  /**
   * The colour of a shade from 0 to 1, as an element of a Uint32Array over canvas pixels.
   * @param {number} shade
   */
  pixel(shade) {
    return this.table[Math.round(shade * (STEPS - 1))];
  }
}

/**
 * The style sheet has other colours for the night, and for those who ask for more contrast.
 * @param {() => void} changed
 */
export function listenToColours(changed) {
  for (const query of ['(prefers-color-scheme: dark)', '(prefers-contrast: more)']) {
    matchMedia(query).addEventListener('change', changed);
  }
}

/** @param {HTMLElement} element whose colours count */
export function readPalette(element) {
  const style = getComputedStyle(element);
  return new Palette((name) => style.getPropertyValue(name));
}

/**
 * @param {{ at: number, colour: Colour }[]} stops
 * @param {number} shade
 * @returns {Colour}
 */
function between(stops, shade) {
  const next = Math.max(1, stops.findIndex(({ at }) => at >= shade));
  const [from, to] = [stops[next - 1], stops[next]];
  const share = (shade - from.at) / (to.at - from.at);
  const part = (/** @type {0 | 1 | 2} */ index) =>
    Math.round(from.colour[index] + (to.colour[index] - from.colour[index]) * share);
  return [part(0), part(1), part(2)];
}

/**
 * @param {string} text a colour of the style sheet, written as #rrggbb
 * @returns {Colour}
 */
export function parseColour(text) {
  const value = Number.parseInt(text.trim().slice(1), 16) || 0;
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * Canvas pixels are bytes in the order red, green, blue, opacity; every machine that runs a browser is little-endian.
 * @param {Colour} colour
 */
function packed([red, green, blue]) {
  return (0xff00_0000 | (blue << 16) | (green << 8) | red) >>> 0;
}
