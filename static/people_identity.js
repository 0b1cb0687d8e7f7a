/*
 * Owns who this page is to the server. Nobody is asked who only looks: the first own check asks, and a page that knows
 * that it had an identity. The cookie is the browser's; the page has a note that there is one, and each connection takes
 * the identity on by a ticket, where the handshake has not done so. A check waits for this for a second at most, and then
 * goes as nobody's.
 */

import { NOTE, isNoted } from './door.js';

/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {{ id: string, name: string, colour: string }} TeamOfMine */
/** @typedef {{ user: string, name: string | null, isAccount: boolean | null, team: TeamOfMine | null }} Me
 *   `isAccount` is null while the server cannot say */

/**
 * @typedef {object} IdentityListener
 * @property {(me: Me | undefined) => void} changed
 * @property {(news: 'changed' | 'gone') => void} publish to the other tabs
 * @property {() => void} redial the connection is somebody's who this page is not any more
 */

/** Longest time that a check waits. */
export const PATIENCE_MS = 1_000;

/** How long it is not asked again after a refusal that does not say. */
const RETRY_MS = 30_000;

/** A connection closed by this never takes text: it is of a server that is older than this page. */
const CLOSE_TEXT = 1003;

/** How an error names what it is about. */
const IDENTIFY = 'identify';

/**
 * @param {any} value the `ME` of an answer
 * @returns {Me | undefined}
 */
export function readMe(value) {
  if (typeof value?.user !== 'string') return undefined;
  const { user, name, is_account: isAccount, team } = value;
  const isTeam = typeof team?.id === 'string' && typeof team.name === 'string';
  return {
    user,
    name: typeof name === 'string' ? name : null,
    isAccount: typeof isAccount === 'boolean' ? isAccount : null,
    team: isTeam ? { id: team.id, name: team.name, colour: readColour(team.colour) } : null,
  };
}

/**
 * Whatever comes, it is a colour.
 * @param {unknown} colour
 */
export function readColour(colour) {
  return typeof colour === 'string' && /^#[0-9a-f]{6}$/i.test(colour) ? colour.toLowerCase() : '#8d87ab';
}

export class Identity {
  /**
   * @param {{ ask: Ask, send: (text: string) => boolean, storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | undefined, now: () => number }} world
   * @param {IdentityListener} listener
   */
  constructor({ ask, send, storage, now }, listener) {
    this.ask = ask;
    this.send = send;
    this.storage = storage;
    this.now = now;
    this.listener = listener;
    /** @type {Me | undefined} */
    this.me = undefined;
    /** The open connection, by the name that the server has for it; '' until that is known. */
    this.connection = '';
    /** Whose the open connection is. @type {string | null} */
    this.owner = null;
    this.isOpen = false;
    /** Which attempt counts: answers to earlier ones are about another connection or another identity. */
    this.turn = 0;
    this.isAsking = false;
    /** Who we were is signed out; the cookie may be somebody's already. */
    this.isVoid = false;
    /** Until the server closes a connection because of our text. */
    this.isUnderstood = true;
    this.retryAtMs = -Infinity;
    /** Checks of this connection may go. */
    this.isSettled = true;
    this.patience = 0;
    /** @type {Promise<void> | undefined} */
    this.settling = undefined;
    /** @type {() => void} */
    this.settled = () => {};
    /** @type {((owner: string | null | undefined) => void) | undefined} */
    this.welcomed = undefined;
  }

  /** Whether this browser has, or had, an identity. */
  get isNoted() {
    return isNoted(this.storage);
  }

  /** @param {boolean} isThere */
  note(isThere) {
    try {
      if (isThere) this.storage?.setItem(NOTE, '1');
      else this.storage?.removeItem(NOTE);
    } catch {
      // Then the next visit asks before its first check.
    }
  }

  /** A new connection. */
  opened() {
    this.closed();
    this.isOpen = true;
    this.isSettled = false;
    if (this.me || this.isNoted) void this.identify(this.isVoid ? 'look' : 'fit');
  }

  /** @param {number} [code] by which the connection was closed */
  closed(code) {
    if (code === CLOSE_TEXT && this.isAsking) this.isUnderstood = false;
    this.isOpen = false;
    this.connection = '';
    this.owner = null;
    this.stop();
    this.letGo();
  }

  /**
   * The server has closed the connection because its user has signed out, here or elsewhere. The cookie may be that of a
   * new sign-in, as after a change of the password.
   */
  signedOut() {
    this.isVoid = true;
    this.show(undefined);
  }

  /**
   * What the first check of a connection waits for.
   * @returns {Promise<void> | undefined} nothing to wait for
   */
  beforeCheck() {
    if (!this.isOpen || !this.isUnderstood) return undefined;
    const isOurs = this.me !== undefined && this.owner === this.me.user;
    if (!isOurs && !this.isAsking && this.now() >= this.retryAtMs) void this.identify('fit');
    if (this.isSettled || !this.isAsking) return undefined;
    if (!this.settling) {
      this.settling = new Promise((resolve) => (this.settled = resolve));
      this.patience = setTimeout(() => this.letGo(), PATIENCE_MS);
    }
    return this.settling;
  }

  /** Checks may go. */
  letGo() {
    clearTimeout(this.patience);
    this.isSettled = true;
    this.settling = undefined;
    this.settled();
    this.settled = () => {};
  }

  /**
   * Asks who the connection is, and makes it ours where it is not.
   * @param {'fit' | 'anew' | 'look'} how `fit`: asks for an identity unless the known one fits; `anew`: asks in any case;
   *   `look`: whoever the connection is, that is who we are
   */
  async identify(how) {
    if (!this.isOpen || !this.isUnderstood) return;
    this.stop();
    const { turn } = this;
    this.isAsking = true;
    const owner = await this.say({});
    if (turn !== this.turn) return;
    if (owner === undefined) return this.failed(undefined);
    if (how === 'look' && owner === null) {
      this.forget();
      this.letGo();
      // The next check asks, and waits for it.
      this.isSettled = false;
      return;
    }
    if (how !== 'fit' || this.me === undefined || owner !== this.me.user) {
      const answer = await this.ask('POST', 'me', { connection: this.connection });
      if (turn !== this.turn) return;
      const me = answer.ok ? readMe(answer.value) : undefined;
      if (!answer.ok || !me) return this.failed(answer.ok ? undefined : answer.retryAfterS);
      this.learn(me);
      if (me.user !== owner) await this.redeem(answer.value.ticket);
      if (turn !== this.turn) return;
    }
    this.isAsking = false;
    this.letGo();
  }

  /** @param {unknown} ticket */
  async redeem(ticket) {
    if (typeof ticket !== 'string' || !this.isOpen) return;
    const { turn } = this;
    await this.say({ ticket });
    if (turn !== this.turn || this.owner === this.me?.user) return;
    // It stayed somebody else's. A new one is whoever the cookie says, or nobody's.
    if (this.owner !== null) this.listener.redial();
  }

  /**
   * @param {{ ticket?: string }} data
   * @returns {Promise<string | null | undefined>} whose the connection is; undefined if it cannot be asked
   */
  say(data) {
    return new Promise((resolve) => {
      this.welcomed = (owner) => {
        this.welcomed = undefined;
        resolve(owner);
      };
      if (!this.send(JSON.stringify({ type: 'identify', id: IDENTIFY, data }))) this.welcomed(undefined);
    });
  }

  /** @param {any} envelope of the server */
  hear(envelope) {
    if (envelope.type === 'error' && envelope.data?.of === IDENTIFY) return this.welcomed?.(undefined);
    if (envelope.type !== 'welcome' || typeof envelope.data?.connection !== 'string') return;
    const { connection, user } = envelope.data;
    this.connection = connection;
    this.owner = typeof user === 'string' ? user : null;
    this.welcomed?.(this.owner);
  }

  /** @param {number | undefined} retryAfterS */
  failed(retryAfterS) {
    this.isAsking = false;
    this.retryAtMs = this.now() + (retryAfterS === undefined ? RETRY_MS : retryAfterS * 1000);
    this.letGo();
  }

  /** Whoever asked has no use for the answer any more. */
  stop() {
    const { welcomed } = this;
    this.turn += 1;
    this.isAsking = false;
    this.welcomed = undefined;
    welcomed?.(undefined);
  }

  /** @param {Me} me as the server says now */
  learn(me) {
    this.note(true);
    this.isVoid = false;
    this.retryAtMs = -Infinity;
    this.show(me);
  }

  /** @param {Me | undefined} me */
  show(me) {
    if (JSON.stringify(this.me) === JSON.stringify(me)) return;
    this.me = me;
    this.listener.changed(me);
  }

  /**
   * The player has signed in, or what the server knows of them has changed for another reason.
   * @param {any} value the `ME` of the answer, with a ticket if the connection was named
   */
  async adopt(value) {
    const me = readMe(value);
    if (!me) return;
    this.learn(me);
    this.listener.publish('changed');
    if (this.owner === me.user) return;
    if (typeof value.ticket !== 'string') return this.identify('fit');
    this.stop();
    this.letGo();
    await this.redeem(value.ticket);
  }

  /** What the server knows of the player has changed, and the answer did not say how. */
  async refresh() {
    const { turn } = this;
    const answer = await this.ask('POST', 'me', {});
    const me = answer.ok ? readMe(answer.value) : undefined;
    if (!me || turn !== this.turn) return;
    this.learn(me);
    this.listener.publish('changed');
  }

  /** The player has signed out. */
  leave() {
    this.forget();
    this.listener.publish('gone');
    this.listener.redial();
  }

  /** @param {'changed' | 'gone'} news of another tab */
  heardOf(news) {
    if (news === 'changed') return void this.identify('anew');
    const wasSomebody = this.me !== undefined || this.owner !== null;
    this.forget();
    if (wasSomebody) this.listener.redial();
  }

  /** From here on the page is nobody. */
  forget() {
    this.stop();
    this.note(false);
    this.isVoid = false;
    this.owner = null;
    this.show(undefined);
  }
}
