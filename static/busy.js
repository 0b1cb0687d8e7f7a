/*
 * Owns what is remembered of where others checked something lately, and the button that leads there. The census says
 * when a tile's count rises; one's own checks raise it, too, and are left out. Pure apart from the button.
 */

import { element } from './page.js';

/** So long something is worth a visit. */
export const REMEMBERED_MS = 10 * 60_000;
/** Pulses come once a second and the next may be late; until then it is still happening. */
const NOW_MS = 5_000;
/** Where it is busy all over, the newest of so many are enough to choose from. */
const TILES_MAX = 64;
/** An own check that no count rose for was in the count already. */
const OWN_MS = 5_000;
const TICK_MS = 1_000;

/** @typedef {{ tile: number, atMs: number, box: number }} Deed `box` is 0 while only the count is known */

export class Busy {
  /** @param {() => number} now */
  constructor(now) {
    this.now = now;
    /**
     * Least recent first.
     * @type {Map<number, Deed>}
     */
    this.deeds = new Map();
    /**
     * Own checks that a count will rise for.
     * @type {{ tile: number, atMs: number }[]}
     */
    this.own = [];
  }

  /** @param {number} tile one of our own checks was confirmed there */
  checkedOwn(tile) {
    this.own.push({ tile, atMs: this.now() });
  }

  /**
   * A tile's count rose.
   * @param {number} tile
   * @param {number} rise
   */
  rose(tile, rise) {
    const nowMs = this.now();
    let others = rise;
    this.own = this.own.filter((own) => {
      if (nowMs - own.atMs >= OWN_MS) return false;
      if (own.tile !== tile || others === 0) return true;
      others -= 1;
      return false;
    });
    if (others > 0) this.remember({ tile, atMs: nowMs, box: this.deeds.get(tile)?.box ?? 0 });
  }

  /**
   * Somebody else checked a box that we were told of.
   * @param {number} tile
   * @param {number} box
   */
  saw(tile, box) {
    this.remember({ tile, atMs: this.now(), box });
  }

  /** What others did last, or `undefined` when that is too long ago. */
  get latest() {
    const nowMs = this.now();
    const last = [...this.deeds.values()].at(-1);
    return last && nowMs - last.atMs < REMEMBERED_MS ? last : undefined;
  }

  /** The tiles where something happened lately, newest first. */
  get tiles() {
    const nowMs = this.now();
    return [...this.deeds.values()].filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ tile }) => tile).reverse();
  }

  /** @param {Deed} deed */
  remember(deed) {
    this.deeds.delete(deed.tile);
    this.deeds.set(deed.tile, deed);
    if (this.deeds.size > TILES_MAX) this.deeds.delete([...this.deeds.keys()][0]);
  }
}

/**
 * How long ago something was, as the button says it.
 * @param {number} ms
 */
export function agoWords(ms) {
  if (ms < NOW_MS) return 'now';
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
}

/**
 * The button looks dead exactly while there is nowhere to go.
 * @param {Busy} busy
 * @param {{ visit: (deed: Deed) => void, quiet: () => void }} go
 * @returns {{ go: () => void, show: () => void }}
 */
export function busyButton(busy, { visit, quiet }) {
  const button = element('busy');
  const when = element('busy-when');
  const show = () => {
    const { latest } = busy;
    const words = latest ? agoWords(busy.now() - latest.atMs) : 'now';
    button.setAttribute('aria-disabled', String(latest === undefined));
    button.dataset.now = String(latest !== undefined && words === 'now');
    if (when.textContent !== words) when.textContent = words;
  };
  const go = () => {
    const { latest } = busy;
    show();
    if (latest) visit(latest);
    else quiet();
  };
  button.addEventListener('click', go);
  setInterval(show, TICK_MS);
  show();
  return { go, show };
}
