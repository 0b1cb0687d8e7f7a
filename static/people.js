/*
 * Owns what the page knows about its player: the button that says who one is, and what is heard of it from the server
 * and from other tabs. The dialog and the chat are only loaded when somebody goes there, because most only play.
 */

import { SIGNED_OUT } from './connection.js';
import { NOT_ARRIVED } from './door.js';
import { element } from './page.js';
import { askBelow } from './people_ask.js';
import { Identity } from './people_identity.js';

/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {import('./people_dialog.js').PeopleDialog} PeopleDialog */
/** @typedef {import('./people_talk.js').TalkPanel} TalkPanel */

/**
 * @typedef {object} World
 * @property {string} base what stands before every path of the site
 * @property {boolean} hasChat
 * @property {(text: string) => boolean} send
 * @property {() => void} redial
 * @property {() => number | undefined} here the tile that is being looked at from close by
 * @property {Storage | undefined} storage
 * @property {(text: string) => void} notice
 */

const CHANNEL = 'billion.people';
const CLOSE_POLICY = 1008;

/**
 * What the button says.
 * @param {Me | undefined} me
 * @param {string} before what it says already
 */
export function doorWords(me, before) {
  if (!me || me.isAccount === false) return 'Sign in';
  // Who cannot be asked is not somebody else.
  return me.isAccount && me.name ? me.name : before;
}

export class People {
  /** @param {World} world */
  constructor(world) {
    this.world = world;
    this.ask = askBelow(world.base);
    /** @type {PeopleDialog | undefined} */
    this.dialog = undefined;
    /** @type {TalkPanel | undefined} */
    this.talk = undefined;
    this.door = element('me');
    this.doorName = element('me-name');
    this.doorDot = element('me-team');
    this.talkDoor = element('chat-button');
    const channel = 'BroadcastChannel' in window ? new BroadcastChannel(CHANNEL) : undefined;
    const { send, storage, redial } = world;
    this.identity = new Identity(
      { ask: this.ask, send, storage, now: () => performance.now() },
      { changed: (me) => this.changed(me), publish: (news) => channel?.postMessage(news), redial },
    );
    channel?.addEventListener('message', ({ data }) => {
      if (data === 'changed' || data === 'gone') this.identity.heardOf(data);
    });
    this.talkDoor.addEventListener('click', () => void this.openTalk());
    this.changed(undefined);
  }

  /** @param {string} text */
  hear(text) {
    /** @type {any} */
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof envelope?.type !== 'string') return;
    this.identity.hear(envelope);
    this.talk?.hear(envelope);
  }

  opened() {
    this.identity.opened();
    this.talk?.opened();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  closed(code, reason) {
    this.identity.closed(code);
    if (code === CLOSE_POLICY && reason === SIGNED_OUT) this.identity.signedOut();
  }

  beforeCheck() {
    return this.identity.beforeCheck();
  }

  /** The player is somewhere else, or has not moved for a second. */
  looked() {
    this.talk?.look();
  }

  /** @param {Me | undefined} me */
  changed(me) {
    const words = doorWords(me, this.doorName.textContent ?? '');
    this.doorName.textContent = words;
    const team = me?.isAccount ? me.team : undefined;
    this.doorDot.hidden = !team;
    if (team) this.doorDot.style.setProperty('--team', team.colour);
    this.door.title = team ? `${words}, ${team.name}` : '';
    // Whoever never signs in sees one button more, and not two.
    this.talkDoor.hidden = !this.world.hasChat || (!me?.isAccount && !this.talk?.isOpen);
    this.dialog?.changed(me);
    this.talk?.changed(me);
  }

  /** @param {string} [invitation] to a team */
  async open(invitation) {
    this.dialog ??= await this.load(async () => {
      const [{ PeopleDialog }] = await Promise.all([import('./people_dialog.js'), styled()]);
      return new PeopleDialog(this.identity, this.ask, this.world.hasChat ? () => void this.openTalk() : undefined);
    });
    this.dialog?.open(invitation);
  }

  async openTalk() {
    this.talk ??= await this.load(async () => {
      const [{ TalkPanel }] = await Promise.all([import('./people_talk.js'), styled()]);
      const { send, here, storage } = this.world;
      return new TalkPanel({ identity: this.identity, ask: this.ask, send, here, storage }, () => this.changed(this.identity.me));
    });
    this.talk?.toggle();
    this.changed(this.identity.me);
  }

  /**
   * @template T
   * @param {() => Promise<T>} load
   * @returns {Promise<T | undefined>}
   */
  async load(load) {
    try {
      return await load();
    } catch {
      this.world.notice(NOT_ARRIVED);
      return undefined;
    }
  }
}

/** @type {Promise<void> | undefined} */
let styling;

/** Waits for the style of what is behind the door. */
function styled() {
  styling ??= new Promise((resolve, reject) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = new URL('./people.css', import.meta.url).href;
    link.onload = () => resolve();
    link.onerror = () => {
      link.remove();
      styling = undefined;
      reject(new Error('people.css did not arrive'));
    };
    document.head.append(link);
  });
  return styling;
}
