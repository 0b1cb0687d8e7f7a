/*
 * Owns what was said in a group, in its order: what is asked for again after a gap, what was said twice, whom this player
 * does not want to hear. Pure, apart from the texts that it sends. Everything is text, never markup.
 */

/** @typedef {{ offset: number, epoch: string }} Position */
/** @typedef {{ id: string, user: string, name: string | undefined, colour: string | undefined, text: string, atMs: number, position: Position, isReported: boolean }} Message */
/** @typedef {{ kind: 'message', message: Message } | { kind: 'gap', count: number | undefined }} Line `count`: unknown if it is not */
/** @typedef {'spam' | 'abuse' | 'other'} Reason */

/**
 * @typedef {object} ChatListener
 * @property {(group: string) => void} changed something was said, or is not shown any more
 * @property {(id: string) => void} sent our message has its place
 * @property {(id: string | undefined, words: string) => void} refused our message, or what else we have asked for
 * @property {(id: string) => void} reported
 */

/** A reader scrolls back no further than the server does, or twice that. */
const LINES_MAX = 200;

/** The team and the tiles that one comes back to. */
const GROUPS_MAX = 8;

/** Of a text and all around it, as the server counts. */
const ENVELOPE_BYTES_MAX = 1024;

/** More than anybody mutes; the oldest is heard again. */
const MUTED_MAX = 500;

/** A tile is only open to whoever looks at it, and a team to its members: the server may not have heard yet that we are. */
const TRIES_MAX = 5;

const KEY = 'billion.muted';

/** @type {Record<string, string>} */
const WORDS = {
  not_identified: 'Check a box first, then you can write.',
  forbidden: 'You cannot write here right now.',
  too_many_groups: 'You are in too many groups.',
  busy: 'Your earlier messages are still on their way.',
  unknown_message: 'This message is too old to be reported.',
  too_many_reports: 'You have reported a lot. Wait until that was read.',
  unavailable: 'Messages do not work right now. Try it again.',
  unknown_type: 'This server does not know that.',
};

/**
 * Why the server does not do what it was asked for.
 * @param {any} data of the error
 */
export function errorWords(data) {
  if (data?.code === 'rate') {
    const seconds = Math.max(1, Math.ceil(Number(data.retry_after_ms) / 1000) || 1);
    return `That was too fast. Write again in ${seconds} s.`;
  }
  return WORDS[data?.code] ?? 'That could not be sent.';
}

/** Who keeps order here; no player is called so. */
export const OPERATOR = 'operator';

/**
 * Whoever a message is from.
 * @param {unknown} from
 */
function userOf(from) {
  if (from === OPERATOR) return OPERATOR;
  return typeof from === 'string' && from.startsWith('user:') ? from.slice('user:'.length) : undefined;
}

/**
 * @param {any} data
 * @returns {Position | undefined}
 */
function readPosition(data) {
  const { offset, epoch } = data ?? {};
  return Number.isSafeInteger(offset) && offset >= 0 && typeof epoch === 'string' ? { offset, epoch } : undefined;
}

/**
 * @param {any} envelope
 * @returns {Message | undefined}
 */
export function readMessage(envelope) {
  const { id, from, data, timestamp } = envelope;
  const [user, position] = [userOf(from), readPosition(envelope)];
  if (typeof id !== 'string' || !user || !position || typeof data?.text !== 'string' || data.text.trim() === '') return undefined;
  // What is in `data` its sender has written, who may call themselves anything.
  const said = typeof envelope.name === 'string' ? envelope.name : undefined;
  const name = user === OPERATOR ? 'Operator' : said;
  const colour = typeof envelope.colour === 'string' ? envelope.colour : undefined;
  return { id, user, name, colour, text: data.text, atMs: Number(timestamp) || 0, position, isReported: false };
}

/** One group as far as it was heard. */
class Heard {
  constructor() {
    /** @type {Line[]} */
    this.lines = [];
    /** Up to where it was heard. @type {Position | undefined} */
    this.last = undefined;
    this.tries = 0;
  }

  /** @param {Message} message */
  has({ id, user, position }) {
    return this.lines.some(
      (line) =>
        line.kind === 'message' &&
        // Others may choose the same id.
        ((line.message.id === id && line.message.user === user) || (line.message.position.epoch === position.epoch && line.message.position.offset === position.offset)),
    );
  }

  /**
   * @param {Message} message
   * @returns {boolean} whether it is new
   */
  add(message) {
    if (this.has(message)) return false;
    const { epoch, offset } = message.position;
    let at = this.lines.length;
    // What was fetched later belongs before what came meanwhile.
    for (; at > 0; at--) {
      const before = this.lines[at - 1];
      if (before.kind === 'gap' || before.message.position.epoch !== epoch || before.message.position.offset < offset) break;
    }
    this.lines.splice(at, 0, { kind: 'message', message });
    this.reach(message.position);
    if (this.lines.length > LINES_MAX) this.lines.shift();
    return true;
  }

  /** @param {Position} position */
  reach(position) {
    const isFurther = this.last?.epoch !== position.epoch || this.last.offset < position.offset;
    if (isFurther) this.last = position;
  }

  /** @param {number | undefined} count */
  miss(count) {
    const last = this.lines[this.lines.length - 1];
    if (last?.kind === 'gap') last.count = count === undefined || last.count === undefined ? undefined : last.count + count;
    else if (this.lines.length > 0) this.lines.push({ kind: 'gap', count });
  }
}

export class Chat {
  /**
   * @param {{ send: (text: string) => boolean, newId: () => string, storage: Pick<Storage, 'getItem' | 'setItem'> | undefined }} world
   * @param {ChatListener} listener
   */
  constructor({ send, newId, storage }, listener) {
    this.sendText = send;
    this.newId = newId;
    this.storage = storage;
    this.listener = listener;
    /** @type {string | undefined} */
    this.team = undefined;
    /** @type {string | undefined} */
    this.tile = undefined;
    /** Groups that were heard, those of the present and the last one's. @type {Map<string, Heard>} */
    this.groups = new Map();
    /** What we have asked for, by id: the group, and the text of a message. @type {Map<string, { what: 'message' | 'ask' | 'report', group: string, text: string }>} */
    this.asked = new Map();
    this.muted = new Set(this.readMuted());
  }

  /**
   * Where this player is a member, and where they look.
   * @param {string | undefined} team
   * @param {string | undefined} tile
   */
  attend(team, tile) {
    if (team !== this.team) {
      if (this.team) this.send('leave', this.team, undefined);
      this.team = team;
      if (team) this.ask(team);
    }
    if (tile === this.tile) return;
    this.tile = tile;
    if (tile) this.ask(tile);
  }

  /** A new connection knows of no groups; what was sent and not answered is sent again, which changes nothing if it had arrived. */
  opened() {
    const unanswered = [...this.asked].filter(([, { what }]) => what === 'message');
    this.asked.clear();
    for (const group of [this.team, this.tile]) {
      if (!group) continue;
      this.heard(group).tries = 0;
      this.ask(group);
    }
    for (const [id, { group, text }] of unanswered) this.say(group, text, id);
  }

  /** A second went by: what was closed may be open now. */
  again() {
    for (const group of [this.team, this.tile]) {
      if (!group || this.isAsked(group)) continue;
      const { tries } = this.heard(group);
      if (tries > 0 && tries < TRIES_MAX) this.ask(group);
    }
  }

  /** @param {string} group about which an answer may be on its way */
  isAsked(group) {
    return [...this.asked.values()].some((asked) => asked.what === 'ask' && asked.group === group);
  }

  /**
   * Asks for what was said after what we have heard. To be a member of a team is to be asked for at the same time.
   * @param {string} group
   * @param {boolean} [all] everything that is kept
   * @param {Position} [last] what we have heard
   */
  ask(group, all = false, last = this.heard(group).last) {
    const after = all || !last ? {} : last;
    const id = this.newId();
    this.asked.set(id, { what: 'ask', group, text: '' });
    const isTile = group.startsWith('tile:');
    if (!this.send(isTile ? 'recover' : 'join', group, isTile ? after : { recover: after }, id)) this.asked.delete(id);
  }

  /**
   * @param {string} group
   * @param {string} text
   * @param {string} [id] that it had before
   * @returns {string | undefined} its id; none for what is too long, or cannot be sent
   */
  say(group, text, id = this.newId()) {
    const envelope = JSON.stringify({ type: 'message', id, to: group, data: { text } });
    if (new TextEncoder().encode(envelope).length > ENVELOPE_BYTES_MAX) {
      this.listener.refused(undefined, 'This is too long.');
      return undefined;
    }
    if (!this.sendText(envelope)) {
      this.listener.refused(undefined, 'There is no connection right now.');
      return undefined;
    }
    this.asked.set(id, { what: 'message', group, text });
    return id;
  }

  /**
   * @param {string} group
   * @param {Message} message
   * @param {Reason} reason
   */
  report(group, message, reason) {
    const id = this.newId();
    // By its place: others may have written under the same id.
    const { offset, epoch } = message.position;
    const isSent = this.send('report', group, { message: offset, epoch, reason }, id);
    if (isSent) this.asked.set(id, { what: 'report', group, text: message.id });
    else this.listener.refused(undefined, 'There is no connection right now.');
  }

  /**
   * @param {string} type
   * @param {string} to
   * @param {unknown} data
   * @param {string} [id]
   */
  send(type, to, data, id) {
    return this.sendText(JSON.stringify({ type, id, to, data }));
  }

  /** @param {any} envelope of the server */
  hear(envelope) {
    const { type, to, data } = envelope;
    if (type === 'error' || type === 'sent' || type === 'reported') return this.hearAnswer(type, data);
    if (type === 'lost') return this.hearLost(to, data);
    if (typeof to !== 'string' || (to !== this.team && to !== this.tile)) return;
    const heard = this.heard(to);
    if (type === 'message') {
      const message = readMessage(envelope);
      if (!message) return;
      const { last } = heard;
      const { epoch, offset } = message.position;
      if (heard.add(message)) this.listener.changed(to);
      // Nobody says what a looker misses: it shows by a gap.
      const isGap = last?.epoch === epoch && offset > last.offset + 1 && !this.isAsked(to);
      if (isGap && to.startsWith('tile:')) this.ask(to, false, last);
    } else if (type === 'joined') {
      this.answered(to);
    } else if (type === 'recovered') {
      this.hearRecovered(to, data);
    } else if (type === 'left') {
      this.team = undefined;
      this.listener.changed(to);
    }
  }

  /**
   * @param {string} group
   * @param {any} data
   */
  hearRecovered(group, data) {
    const heard = this.heard(group);
    this.answered(group);
    heard.tries = 0;
    if (data?.recovered === false) {
      // Between what we have heard and what is kept something is missing.
      heard.miss(undefined);
      heard.last = undefined;
      this.listener.changed(group);
      return this.ask(group, true);
    }
    const position = readPosition(data);
    if (position) heard.reach(position);
  }

  /**
   * We were slow, or the server has missed something.
   * @param {unknown} to
   * @param {any} data
   */
  hearLost(to, data) {
    const count = Number.isSafeInteger(data?.messages) ? data.messages : undefined;
    const isGroup = to === this.team || to === this.tile;
    for (const group of isGroup ? [/** @type {string} */ (to)] : [this.team, this.tile]) {
      if (!group) continue;
      const heard = this.heard(group);
      if (isGroup) {
        // The server has looked for them itself.
        heard.miss(count);
        const position = readPosition(data);
        if (position) heard.last = position;
        this.listener.changed(group);
      } else this.ask(group);
    }
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  hearAnswer(type, data) {
    const asked = this.asked.get(data?.of);
    if (!asked) return;
    this.asked.delete(data.of);
    const { what, group, text } = asked;
    if (type !== 'error') {
      if (what === 'message') this.listener.sent(data.of);
      if (what === 'report') this.reportHeard(group, text);
      return;
    }
    if (what === 'ask') {
      const heard = this.heard(group);
      heard.tries += 1;
      return;
    }
    this.listener.refused(what === 'message' ? data.of : undefined, errorWords(data));
  }

  /**
   * @param {string} group
   * @param {string} id
   */
  reportHeard(group, id) {
    for (const line of this.heard(group).lines) {
      if (line.kind === 'message' && line.message.id === id) line.message.isReported = true;
    }
    this.listener.reported(id);
    this.listener.changed(group);
  }

  /** @param {string} group */
  answered(group) {
    for (const [id, { what, group: asked }] of this.asked) {
      if (what === 'ask' && asked === group) this.asked.delete(id);
    }
  }

  /**
   * @param {string} group
   * @returns {Heard}
   */
  heard(group) {
    const known = this.groups.get(group) ?? new Heard();
    // Newest last: of tiles only the last few are kept.
    this.groups.delete(group);
    this.groups.set(group, known);
    for (const oldest of this.groups.keys()) {
      if (this.groups.size <= GROUPS_MAX) break;
      if (oldest !== this.team) this.groups.delete(oldest);
    }
    return known;
  }

  /**
   * What is shown of a group.
   * @param {string | undefined} group
   * @returns {Line[]}
   */
  lines(group) {
    const lines = group ? (this.groups.get(group)?.lines ?? []) : [];
    return lines.filter((/** @type {Line} */ line) => line.kind === 'gap' || !this.muted.has(line.message.user));
  }

  // --- whom this player does not want to hear

  /** @param {string} user */
  mute(user) {
    this.muted.delete(user);
    this.muted.add(user);
    for (const oldest of this.muted) {
      if (this.muted.size <= MUTED_MAX) break;
      this.muted.delete(oldest);
    }
    this.writeMuted();
  }

  unmuteAll() {
    this.muted.clear();
    this.writeMuted();
  }

  /** @returns {string[]} */
  readMuted() {
    try {
      const kept = JSON.parse(this.storage?.getItem(KEY) ?? '[]');
      return Array.isArray(kept) ? kept.filter((user) => typeof user === 'string').slice(-MUTED_MAX) : [];
    } catch {
      return [];
    }
  }

  writeMuted() {
    try {
      this.storage?.setItem(KEY, JSON.stringify([...this.muted]));
    } catch {
      // Then it holds for as long as this page is open.
    }
    for (const group of [this.team, this.tile]) if (group) this.listener.changed(group);
  }
}
