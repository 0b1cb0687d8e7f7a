/*
 * Owns the address: it says where one is, and goes where someone else made it say. Jumps and flights leave an entry in
 * the history, wandering only rewrites the one it is in.
 */

import { formatHash, parseHash } from './place.js';

/** @typedef {import('./place.js').Spot} Spot */

/** Browsers allow about a hundred address changes in half a minute. */
const REST_MS = 400;

export class Address {
  /**
   * @param {number} boxes
   * @param {() => Spot} here
   */
  constructor(boxes, here) {
    this.boxes = boxes;
    this.here = here;
    this.timer = 0;
    this.written = location.hash;
  }

  /** The spot that the address names right now. */
  get spot() {
    return parseHash(location.hash, this.boxes);
  }

  /** Wandering: rewrites the entry once it comes to rest. */
  writeSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write('replaceState'), REST_MS);
  }

  /** Setting off for somewhere else: what was here stays behind as an entry of its own. */
  leaveFor(/** @type {Spot} */ { id, z }) {
    // If the wandering before has not been written yet, Back has to lead to where it ended.
    if (this.timer !== 0) this.write('replaceState');
    this.write('pushState', formatHash(id, z));
  }

  /**
   * @param {'pushState' | 'replaceState'} how
   * @param {string} hash
   */
  write(how, hash = formatHash(this.here().id, this.here().z)) {
    clearTimeout(this.timer);
    this.timer = 0;
    if (hash === location.hash) return;
    this.written = hash;
    history[how](null, '', hash);
  }

  /**
   * Back, forward, or someone edited the address.
   * @param {(spot: Spot) => void} go
   */
  listen(go) {
    const follow = () => {
      // Browsers tell of one step twice, as popstate and as hashchange.
      if (location.hash === this.written) return;
      this.written = location.hash;
      clearTimeout(this.timer);
      this.timer = 0;
      if (this.spot) go(this.spot);
    };
    window.addEventListener('popstate', follow);
    window.addEventListener('hashchange', follow);
  }
}
