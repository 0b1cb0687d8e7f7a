/*
 * Owns the chat's panel: one list of what was said, by the team or by whoever looks at the same place, and a line to
 * write in. It lies on the board only while the player wants it there.
 */

import { readColour } from './people_identity.js';
import { element } from './page.js';
import { Chat, OPERATOR } from './people_chat.js';
import { nameOf, readTeam } from './people_team.js';
import { formatNumber } from './words.js';

/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {import('./people_identity.js').Identity} Identity */
/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {import('./people_chat.js').Line} Line */
/** @typedef {import('./people_chat.js').Message} Message */
/** @typedef {import('./people_chat.js').Reason} Reason */
/** @typedef {'team' | 'here'} Room */

/** How far from the end of the list somebody still reads the end. */
const NEAR_END_PX = 40;

/** As many as the board has for boxes. */
const TINTS = 6;

/** @type {[Reason, string][]} */
const REASONS = [
  ['spam', 'Spam'],
  ['abuse', 'Insult or threat'],
  ['other', 'Something else'],
];

/**
 * Everybody's own, and the same on all pages.
 * @param {string} user
 */
export function tintOf(user) {
  let sum = 0;
  for (const digit of user) sum = (sum * 31 + digit.charCodeAt(0)) % 997;
  return sum % TINTS;
}

/** @param {number | undefined} count */
export function gapWords(count) {
  if (count === undefined) return 'Some messages are missing here.';
  return count === 1 ? 'One message is missing here.' : `${formatNumber(count)} messages are missing here.`;
}

/** What no other message has, over http as well. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class TalkPanel {
  /**
   * @param {{ identity: Identity, ask: Ask, send: (text: string) => boolean, here: () => number | undefined, storage: Storage | undefined }} world
   * @param {() => void} toggled
   */
  constructor({ identity, ask, send, here, storage }, toggled) {
    this.identity = identity;
    this.ask = ask;
    this.here = here;
    this.toggled = toggled;
    this.isOpen = false;
    this.root = element('chat');
    this.list = element('chat-lines');
    this.log = element('chat-log');
    this.form = /** @type {HTMLFormElement} */ (element('chat-form'));
    this.input = /** @type {HTMLInputElement} */ (element('chat-text'));
    this.problem = element('chat-problem');
    this.empty = element('chat-empty');
    this.muted = element('chat-unmute');
    /** @type {Room} */
    this.room = identity.me?.team ? 'team' : 'here';
    this.user = identity.me?.user;
    /** The message that is on its way, by its id. */
    this.sending = '';
    /** Names of those in the team. @type {Map<string, string>} */
    this.names = new Map();
    this.namesOf = '';
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
    this.timer = 0;
    this.chat = new Chat({ send, newId, storage }, {
      changed: (group) => {
        if (group === this.group) this.write();
      },
      sent: (id) => this.sent(id),
      refused: (id, words) => this.refused(id, words),
      reported: () => this.say('Reported. Thank you.'),
    });
    element('chat-close').addEventListener('click', () => this.toggle());
    this.root.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      this.toggle();
    });
    element('chat-rooms').addEventListener('change', ({ target }) => {
      if (target instanceof HTMLInputElement) this.enter(target.value === 'team' ? 'team' : 'here');
    });
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.send();
    });
    this.muted.addEventListener('click', () => {
      this.chat.unmuteAll();
      this.input.focus();
    });
  }

  /** What is written in the room goes there. */
  get group() {
    return this.room === 'team' ? this.chat.team : this.chat.tile;
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.root.hidden = !this.isOpen;
    element('chat-button').setAttribute('aria-expanded', String(this.isOpen));
    this.toggled();
    clearInterval(this.timer);
    if (!this.isOpen) {
      this.chat.attend(undefined, undefined);
      this.chat.asked.clear();
      this.done();
      const door = element('chat-button');
      (door.hidden ? element('me') : door).focus();
      return;
    }
    this.timer = setInterval(() => this.chat.again(), 1_000);
    if (!this.identity.me) void this.identity.identify('anew');
    this.look();
    this.enter(this.identity.me?.team ? this.room : 'here');
    this.input.focus();
  }

  /** The player may be somewhere else, or in another team. */
  look() {
    if (!this.isOpen) return;
    const { me } = this.identity;
    const tile = this.here();
    const before = this.group;
    // Nobody is asked who is nobody yet.
    if (me) this.chat.attend(me.team ? `team:${me.team.id}` : undefined, tile === undefined ? undefined : `tile:${tile}`);
    if (before !== this.group) this.write();
    else this.enable();
  }

  /** @param {Me | undefined} me */
  changed(me) {
    if (me?.user !== this.user) {
      this.user = me?.user;
      // The connection has left its groups.
      if (this.isOpen) this.chat.attend(undefined, undefined);
    }
    this.look();
    if (!me?.team && this.room === 'team') this.enter('here');
    this.write();
  }

  opened() {
    if (this.isOpen && this.identity.me) this.chat.opened();
  }

  /** @param {any} envelope */
  hear(envelope) {
    if (this.isOpen) this.chat.hear(envelope);
  }

  /** @param {Room} room */
  enter(room) {
    this.room = room;
    for (const input of this.root.querySelectorAll('input[name="room"]')) {
      if (input instanceof HTMLInputElement) input.checked = input.value === room;
    }
    this.say('');
    this.list.replaceChildren();
    this.shown.clear();
    this.write();
    const team = this.identity.me?.team;
    if (room === 'team' && team && this.namesOf !== team.id) void this.learnNames(team.id);
  }

  /** @param {string} team */
  async learnNames(team) {
    const answer = await this.ask('GET', `teams/${encodeURIComponent(team)}`);
    if (!answer.ok) return;
    this.namesOf = team;
    for (const { user, name } of readTeam(answer.value)?.members ?? []) this.names.set(user, name);
    this.list.replaceChildren();
    this.shown.clear();
    this.write();
  }

  async send() {
    const text = this.input.value.trim();
    const { group } = this;
    if (text === '' || this.sending !== '') return;
    if (!group) return this.say(this.whyNot());
    this.say('');
    const id = this.chat.say(group, text);
    if (id === undefined) return;
    this.sending = id;
    this.form.setAttribute('aria-busy', 'true');
  }

  /** @param {string} id */
  sent(id) {
    if (id !== this.sending) return;
    this.done();
    this.input.value = '';
    this.log.scrollTop = this.log.scrollHeight;
  }

  /**
   * @param {string | undefined} id
   * @param {string} words
   */
  refused(id, words) {
    if (id !== undefined && id === this.sending) this.done();
    this.say(words);
    this.input.focus();
  }

  done() {
    this.sending = '';
    this.form.setAttribute('aria-busy', 'false');
  }

  whyNot() {
    if (!this.identity.me) return 'The server does not know yet who you are.';
    return this.room === 'here' ? 'Go close to some boxes to talk with who is there.' : 'You are in no team.';
  }

  /** @param {string} words */
  say(words) {
    if (this.problem.textContent !== words) this.problem.textContent = words;
  }

  /** Whether there is somewhere to write. */
  enable() {
    const team = element('chat-team-room');
    team.hidden = !this.identity.me?.team;
    this.root.dataset.where = this.group ? this.room : '';
  }

  write() {
    if (!this.isOpen) return;
    this.enable();
    const lines = this.chat.lines(this.group);
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    const readsEnd = scrollHeight - clientHeight - scrollTop < NEAR_END_PX;
    /** @type {Map<string, HTMLElement>} */
    const shown = new Map();
    for (const [at, line] of lines.entries()) {
      const key = line.kind === 'message' ? `${line.message.user} ${line.message.id} ${line.message.isReported}` : `gap ${at} ${line.count}`;
      shown.set(key, this.shown.get(key) ?? this.lineElement(line));
    }
    // What stays stays where it is: to be put there once more would be read out once more.
    for (const [key, row] of this.shown) if (shown.get(key) !== row) row.remove();
    let next = this.list.firstElementChild;
    for (const row of shown.values()) {
      if (row === next) next = next.nextElementSibling;
      else this.list.insertBefore(row, next);
    }
    this.shown = shown;
    this.empty.hidden = lines.length > 0;
    this.empty.textContent = this.group ? 'Nothing was said here lately.' : this.whyNot();
    const { size } = this.chat.muted;
    this.muted.hidden = size === 0;
    this.muted.textContent = `Hear ${formatNumber(size)} muted again`;
    if (readsEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  /** @param {Line} line */
  lineElement(line) {
    const row = document.createElement('li');
    if (line.kind === 'gap') {
      row.className = 'gap';
      row.textContent = gapWords(line.count);
      return row;
    }
    const { message } = line;
    const { me } = this.identity;
    const isOwn = message.user === me?.user;
    const name = isOwn ? 'You' : nameOf(message.user, message.name ?? this.names.get(message.user));
    const dot = document.createElement('i');
    dot.className = 'team-dot';
    const colour = message.colour ?? (this.room === 'team' ? me?.team?.colour : undefined);
    dot.style.setProperty('--team', colour ? readColour(colour) : `var(--tint-${tintOf(message.user)})`);
    const who = document.createElement('strong');
    who.textContent = name;
    const time = document.createElement('time');
    const at = new Date(message.atMs);
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const text = document.createElement('p');
    text.textContent = message.text;
    const head = document.createElement('div');
    head.append(dot, who, time);
    row.append(head, text);
    if (message.isReported) head.append(' reported');
    if (!isOwn && message.user !== OPERATOR) this.addActions(row, head, message, name);
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {HTMLElement} head
   * @param {Message} message
   * @param {string} name
   */
  addActions(row, head, message, name) {
    const more = button('More', () => {
      actions.hidden = !actions.hidden;
      more.setAttribute('aria-expanded', String(!actions.hidden));
    });
    more.className = 'more-of-it';
    more.setAttribute('aria-label', `More about what ${name} said`);
    more.setAttribute('aria-expanded', 'false');
    const actions = document.createElement('div');
    actions.className = 'actions';
    actions.hidden = true;
    const mute = button(`Mute ${name}`, () => {
      this.chat.mute(message.user);
      this.say(`${name} is muted on this device.`);
      this.input.focus();
    });
    actions.append(mute);
    if (!message.isReported) {
      const report = button('Report', () => {
        const reasons = REASONS.map(([reason, words]) => button(words, () => this.report(message, reason)));
        report.replaceWith(...reasons);
        reasons[0].focus();
      });
      actions.append(report);
    }
    head.append(more);
    row.append(actions);
  }

  /**
   * @param {Message} message
   * @param {Reason} reason
   */
  report(message, reason) {
    const { group } = this;
    if (group) this.chat.report(group, message, reason);
    this.input.focus();
  }
}

/**
 * @param {string} words
 * @param {() => void} act
 */
function button(words, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = words;
  made.addEventListener('click', act);
  return made;
}
