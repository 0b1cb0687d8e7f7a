/*
 * Owns what the address says: `#b=123456789&z=0.5` is a box and a zoom, in CSS pixels per box. Without a zoom one
 * arrives where boxes can be checked, however large those are on the reader's screen. Jumps and flights leave an
 * entry in the history, wandering only rewrites the one it is in.
 */

/** @typedef {{ id: number, z: number | undefined }} Spot */

/** Browsers allow about a hundred address changes in half a minute. */
const REST_MS = 400;

/**
 * @param {string} hash
 * @param {number} boxes
 * @returns {Spot | undefined}
 */
export function parseHash(hash, boxes) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ''));
  const box = parameters.get('b') ?? '';
  if (!/^\d{1,10}$/.test(box)) return undefined;
  const id = Number(box);
  if (id < 1 || id > boxes) return undefined;
  const zoom = parameters.get('z') ?? '';
  // Whatever else is there: the place is right, so it is better to arrive than to complain.
  const z = /^\d{0,4}(\.\d{0,9})?$/.test(zoom) ? Number(zoom) : 0;
  return { id, z: z > 0 ? z : undefined };
}

/**
 * @param {number} id
 * @param {number | undefined} z `undefined` for the zoom that everyone arrives at anyway
 */
export function formatHash(id, z) {
  // Three figures are finer than a pixel over the whole screen is worth, and never need an exponent here.
  return z === undefined ? `#b=${id}` : `#b=${id}&z=${Number(z.toPrecision(3))}`;
}

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
