/*
 * Owns the address: it says where one is, and goes where someone else made it say. Jumps and flights leave an entry in
 * the history, and so does leaving the checkboxes; wandering only rewrites the entry it is in. An address without a
 * place keeps none until the player moves, or everyone who copies it would be sent to where one reader happened to be.
 */

import { formatHash, namesBox, readInvitation, readLink, readPlace } from './place.js';
import { formatNumber } from './words.js';

/** @typedef {import('./place.js').Spot} Spot */
/** @typedef {Spot & { close: boolean }} Stand `close`: among real checkboxes */

/**
 * @typedef {object} AddressListener
 * @property {() => Stand} here where the player is, or is on the way to
 * @property {(spot: Spot) => void} go somebody else changed the address
 * @property {(problem: string) => void} lost the address names no place
 * @property {(invitation: string) => void} invited the address is an invitation to a team
 * @property {(hash: string) => void} settled the player came to rest somewhere, or sets off for there
 */

/** Browsers allow about a hundred address changes in half a minute. */
const REST_MS = 400;

/** A browser that refuses a change because there were too many takes it a little later. */
const REFUSED_MS = 700;

export class Address {
  /**
   * @param {number} boxes
   * @param {AddressListener} listener
   */
  constructor(boxes, listener) {
    this.boxes = boxes;
    this.listener = listener;
    this.timer = 0;
    this.name = document.title;
    /** What the browser shows, as we last saw it. */
    this.shown = location.hash;
    /** The place that the current entry stands for. */
    this.meant = '';
    /** Whether the current entry is among real checkboxes. */
    this.isClose = true;
    /**
     * The place of an entry that names none: where its reader arrived.
     * @type {{ spot: Spot, hash: string } | undefined}
     */
    this.home = undefined;
    /** Where the player is now, and where among the checkboxes he was last. */
    this.wanted = '';
    this.wantedClose = '';
    /** What made the current entry, while nobody wandered on from there: the same once more only rewrites it. */
    this.series = '';
    /** A browser refused an entry, which is still to be made. */
    this.isOwed = false;
  }

  /** What the address says right now. */
  get link() {
    return readLink(location, this.boxes);
  }

  /** The player arrived, by the link or for want of one. From here on the address follows. */
  arrived() {
    const { id, z, close } = this.listener.here();
    this.meant = this.wanted = formatHash(id, z);
    this.isClose = close;
    if (close) this.wantedClose = this.meant;
    const link = this.link;
    if (!link || 'problem' in link) {
      this.home = { spot: { id, z }, hash: this.meant };
      this.keepHome(this.meant);
    } else {
      this.entitle(this.meant);
      // What a chat program made of the link is put right; nothing moved, so nothing is told.
      if (this.shown !== this.meant || namesBox(location.search)) this.put('replaceState', this.meant);
    }
    for (const event of ['popstate', 'hashchange']) addEventListener(event, () => this.follow());
    this.invite();
  }

  /**
   * An invitation is taken out of the address at once: whoever copies that invites nobody without knowing, and it is not
   * there once more after a reload.
   */
  invite() {
    const invitation = readInvitation(this.shown);
    if (invitation === undefined) return false;
    this.put('replaceState', this.wanted);
    this.listener.invited(invitation);
    return true;
  }

  /** The player moved, or is told to have: rewrites the entry once that comes to rest. */
  moved() {
    const { id, z, close } = this.listener.here();
    const hash = formatHash(id, z);
    if (hash === this.wanted) return;
    this.wanted = hash;
    if (close) this.wantedClose = hash;
    this.series = '';
    this.settleIn(REST_MS);
  }

  /** The player did something here: this is a place to come back to, however he came, and whatever the address says. */
  stayed() {
    this.series = '';
    this.listener.settled(this.wanted);
  }

  /**
   * Setting off for somewhere else: what was here stays behind as an entry of its own. In a series only the first one
   * leaves an entry, and the others rewrite it once they come to rest: a key that is held down is one journey.
   * @param {Stand} stand
   * @param {string} [series]
   */
  leaveFor({ id, z, close }, series = '') {
    const goesOn = series !== '' && series === this.series;
    // If the wandering before has not been written yet, Back has to lead to where it ended.
    if (!goesOn && this.timer !== 0) this.settle();
    this.wanted = formatHash(id, z);
    if (close) this.wantedClose = this.wanted;
    this.series = series;
    if (goesOn) return this.settleIn(REST_MS);
    if (this.wanted === this.meant) return;
    this.isClose = close;
    this.put('pushState', this.wanted);
    this.listener.settled(this.wanted);
  }

  /** @param {number} ms */
  settleIn(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), ms);
  }

  settle() {
    clearTimeout(this.timer);
    this.timer = 0;
    const { wanted, wantedClose } = this;
    if (wanted === this.meant && !this.isOwed) return;
    const { close } = this.listener.here();
    if (this.isClose && !close && wanted !== wantedClose) {
      // Back leads to where the checkboxes were left, not to where they were entered.
      if (wantedClose !== this.meant) this.put('replaceState', wantedClose);
      this.isClose = false;
      this.put('pushState', wanted);
    } else {
      this.isClose = close;
      this.put('replaceState', wanted);
    }
    this.listener.settled(wanted);
  }

  /**
   * @param {'pushState' | 'replaceState'} how
   * @param {string} hash
   */
  put(how, hash) {
    clearTimeout(this.timer);
    this.timer = 0;
    const { pathname, search } = location;
    const isPush = how === 'pushState' || this.isOwed;
    try {
      history[isPush ? 'pushState' : 'replaceState'](null, '', `${pathname}${namesBox(search) ? '' : search}${hash}`);
    } catch {
      // Safari throws after a hundred in half a minute, Chrome says nothing and does nothing. The player goes on.
    }
    this.shown = location.hash;
    const isDone = this.shown === hash;
    this.isOwed = isPush && !isDone;
    this.meant = isDone ? hash : '';
    if (isDone) this.entitle(hash);
    else this.settleIn(REFUSED_MS);
  }

  /** Back, forward, or someone edited the address. */
  follow() {
    // Browsers tell of one step twice, as popstate and as hashchange.
    if (location.hash === this.shown) return;
    this.shown = location.hash;
    clearTimeout(this.timer);
    this.timer = 0;
    this.series = '';
    this.isOwed = false;
    // Nobody is led away from where they are by an invitation.
    if (this.invite()) return;
    const { link } = this;
    if (link && 'spot' in link) {
      this.meant = this.wanted = formatHash(link.spot.id, link.spot.z);
      this.listener.go(link.spot);
      if (this.shown === this.meant) this.entitle(this.meant);
      else this.put('replaceState', this.meant);
    } else {
      document.title = this.name;
      const home = this.keptHome ?? this.home;
      if (home) {
        this.meant = this.wanted = home.hash;
        this.listener.go(home.spot);
      }
    }
    if (link && 'problem' in link) this.listener.lost(link.problem);
    const { close } = this.listener.here();
    this.isClose = close;
    if (close) this.wantedClose = this.wanted;
  }

  /**
   * The entry itself remembers where its reader arrived: a page that is loaded later, at another entry, does not know.
   * @param {string} hash
   */
  keepHome(hash) {
    try {
      history.replaceState({ home: hash }, '');
    } catch {
      // Then only this visit knows.
    }
  }

  /** What the current entry remembers, which may be of another version of this page. */
  get keptHome() {
    const hash = String(history.state?.home ?? '');
    const place = readPlace(hash, this.boxes);
    return place && 'spot' in place ? { spot: place.spot, hash } : undefined;
  }

  /**
   * The history lists titles, so each entry says where it leads.
   * @param {string} hash
   */
  entitle(hash) {
    const place = readPlace(hash, this.boxes);
    if (!place || 'problem' in place) return;
    const { id, z } = place.spot;
    document.title = `${z === undefined ? 'Box' : 'Around box'} ${formatNumber(id)} - ${this.name}`;
  }
}
