/*
 * Owns the way to everything about people, and loads what lies there when it is needed: before the first own check
 * leaves, where this browser has had an identity, at a click, for an invitation. Most who come only look.
 */

/** @typedef {import('./people.js').People} People */
/** @typedef {import('./people.js').World} World */
/** @typedef {Pick<People, 'hear' | 'opened' | 'closed' | 'beforeCheck' | 'looked' | 'open'>} Behind */

/**
 * @typedef {object} Visit who comes to the page
 * @property {Pick<Storage, 'getItem'> | undefined} storage
 * @property {(text: string) => void} notice
 */

/** Longest time that a check waits for what has to be loaded before it; then it goes as nobody's. */
const PATIENCE_MS = 1_000;

/** By this the page knows that the browser has an identity: the cookie itself is not for scripts. */
export const NOTE = 'billion.me';

/** @param {Pick<Storage, 'getItem'> | undefined} storage */
export function isNoted(storage) {
  try {
    return storage !== undefined && storage.getItem(NOTE) !== null;
  } catch {
    return false;
  }
}

export class Door {
  /**
   * @param {Visit} visit
   * @param {() => Promise<Behind>} load
   */
  constructor(visit, load) {
    this.visit = visit;
    this.load = load;
    /** @type {Behind | undefined} */
    this.people = undefined;
    /** @type {Promise<Behind | undefined> | undefined} */
    this.loading = undefined;
    /** @type {Promise<void> | undefined} */
    this.held = undefined;
    /** A connection is open. */
    this.isOpen = false;
    /** Checks of this connection have waited in vain. */
    this.hasGivenUp = false;
    this.noted();
  }

  /** The note may be there: it was before, or another tab has been given an identity. */
  noted() {
    if (isNoted(this.visit.storage)) void this.bring();
  }

  /** @returns {Promise<Behind | undefined>} nothing where it did not arrive; then the next one tries again */
  bring() {
    this.loading ??= this.load().then(
      (people) => {
        this.people = people;
        if (this.isOpen) people.opened();
        return people;
      },
      () => (this.loading = undefined),
    );
    return this.loading;
  }

  /** @param {string} [invitation] to a team */
  async open(invitation) {
    const people = await this.bring();
    if (people) await people.open(invitation);
    else this.visit.notice(NOT_ARRIVED);
  }

  /** @param {string} text */
  hear(text) {
    this.people?.hear(text);
  }

  opened() {
    this.isOpen = true;
    this.hasGivenUp = false;
    this.people?.opened();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  closed(code, reason) {
    this.isOpen = false;
    this.people?.closed(code, reason);
  }

  /** @returns {Promise<void> | undefined} what a check has to wait for; it asks again after that */
  beforeCheck() {
    if (this.people) return this.people.beforeCheck();
    if (!this.isOpen || this.hasGivenUp) return undefined;
    this.held ??= new Promise((resolve) => {
      const done = () => {
        clearTimeout(patience);
        this.hasGivenUp = this.people === undefined;
        this.held = undefined;
        resolve();
      };
      const patience = setTimeout(done, PATIENCE_MS);
      void this.bring().then(done);
    });
    return this.held;
  }

  /** The player is somewhere else, or has not moved for a second. */
  looked() {
    this.people?.looked();
  }
}

export const NOT_ARRIVED = 'This part of the page did not arrive. Try it again in a moment.';

/**
 * All three at once: each would be asked for only when the one that names it is there.
 * @param {World} world
 */
export async function loadPeople(world) {
  const [{ People }] = await Promise.all([import('./people.js'), import('./people_identity.js'), import('./people_ask.js')]);
  return new People(world);
}
