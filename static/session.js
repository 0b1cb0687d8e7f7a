/*
 * Owns the conversation with the server: the total it told us, the tiles to ask for, the pace at which own checks leave
 * and what became of each. Messages go from here to the board; the view tells it what is on the screen.
 */

import { Connection } from './connection.js';
import { decode, encodeCheck, encodeRange } from './protocol.js';
import { Ranges } from './ranges.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./connection.js').ConnectionState} ConnectionState */
/** @typedef {import('./early.js').EarlySocket} EarlySocket */
/** @typedef {import('./pending.js').Pending} Pending */
/** @typedef {import('./protocol.js').TileCount} TileCount */

/**
 * @typedef {object} SessionListener
 * @property {(total: number) => void} totalChanged
 * @property {(state: ConnectionState) => void} connectionChanged
 * @property {() => void} greeted a connection's first message, or a new start after we lagged: what the server says
 *   from here on follows on what it is asked for now
 * @property {(id: number, total: number) => void} confirmed our own check is done
 * @property {(id: number) => void} beaten someone else checked the box before our own check had left
 * @property {(id: number, reason: number) => void} refused
 * @property {(waiting: number) => void} waitingChanged
 * @property {(players: number, tiles: TileCount[]) => void} pulsed
 * @property {(text: string) => void} said a text message: an envelope of JSON
 * @property {() => void} opened a new connection can be written to
 * @property {(code: number, reason: string) => void} closed
 * @property {() => Promise<void> | undefined} beforeCheck what a check that could leave has to wait for
 */

/** Checks that piled up while offline leave one by one, so that the server's rate limit does not refuse them. */
const BACKLOG_INTERVAL_MS = 100;

/** While the window moves, tiles are asked for this often; they arrive soon enough and fly past anyway. */
const MOVING_INTERVAL_MS = 150;

/** No move for this long: the window rests and whatever is in it is wanted. */
const REST_MS = 80;

export class Session {
  /**
   * @param {string} url
   * @param {Board} board
   * @param {Pending} pending
   * @param {(tile: number) => boolean} isBehind whether the board lacks boxes of a tile that others are known to have
   * @param {SessionListener} listener
   */
  constructor(url, board, pending, isBehind, listener) {
    this.board = board;
    this.pending = pending;
    this.isBehind = isBehind;
    this.listener = listener;
    this.ranges = new Ranges();
    this.total = 0;
    this.greeted = false;
    /** @type {number[]} */
    this.visible = [];
    this.restTimer = 0;
    this.askedAtMs = -Infinity;
    /**
     * Checks to send, in order; everything in it is also in `board.waiting`.
     * @type {number[]}
     */
    this.backlog = [];
    this.backlogTimer = 0;
    /** The backlog waits for what comes before checks. */
    this.isHeld = false;
    /**
     * Checks that were handed to a socket, this one or one before, and not answered.
     * @type {Set<number>}
     */
    this.sent = new Set();
    this.connection = new Connection(url, {
      opened: () => this.opened(),
      received: (bytes) => this.received(bytes),
      said: (text) => listener.said(text),
      closed: (code, reason) => listener.closed(code, reason),
      stateChanged: (state) => listener.connectionChanged(state),
    });
  }

  /** @param {EarlySocket | undefined} early a socket that was dialled before this page was whole */
  start(early) {
    // What an earlier page did not hear the answer of. Most of it was sent, and much of that was stored.
    for (const id of this.pending.all()) {
      if (this.board.wait(id)) this.sent.add(id);
    }
    this.tellWaiting();
    this.connection.start(early);
  }

  /**
   * The tiles on the screen, most wanted first.
   * @param {number[]} tiles
   */
  show(tiles) {
    this.visible = tiles;
    this.board.use(tiles);
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => this.ask(), REST_MS);
    if (performance.now() - this.askedAtMs >= MOVING_INTERVAL_MS) this.ask();
  }

  /** @param {number} id whether a check of ours has left for it, and the answer is not known yet */
  isOwn(id) {
    return this.sent.has(id);
  }

  /** @param {number} id */
  check(id) {
    if (!this.board.wait(id)) return;
    this.pending.add(id);
    this.backlog.push(id);
    this.tellWaiting();
    if (this.backlogTimer === 0) this.drain();
  }

  opened() {
    this.greeted = false;
    this.board.doubt();
    this.ranges.reset();
    this.ask();
    this.listener.opened();
    // Whether an unanswered check was stored before the line broke is unknown; asking again is harmless.
    this.backlog = [...this.board.waiting];
    if (this.backlogTimer === 0) this.drain();
  }

  ask() {
    this.askedAtMs = performance.now();
    const { geometry } = this.board;
    const knows = (/** @type {number} */ tile) => this.board.knows(tile);
    for (;;) {
      const tile = this.ranges.next(this.visible, knows, this.isBehind, this.askedAtMs);
      if (tile === undefined) return;
      if (!this.connection.send(encodeRange(geometry.firstOf(tile), geometry.lastOf(tile)))) return;
      this.ranges.asked(tile);
    }
  }

  /** Sends the oldest check of the backlog and comes back for the next; stops while there is no connection. */
  drain() {
    this.backlogTimer = 0;
    // Someone else may have checked a box while it stood in line here.
    this.backlog = this.backlog.filter((id) => this.board.waiting.has(id));
    const id = this.backlog[0];
    if (id === undefined || this.hold() || !this.connection.send(encodeCheck(id))) return;
    this.backlog.shift();
    this.sent.add(id);
    this.backlogTimer = setTimeout(() => this.drain(), BACKLOG_INTERVAL_MS);
  }

  /** Whether the backlog has to wait; if so, it goes on by itself. */
  hold() {
    if (this.isHeld) return true;
    const waited = this.listener.beforeCheck();
    if (!waited) return false;
    this.isHeld = true;
    void waited.then(() => {
      this.isHeld = false;
      if (this.backlogTimer === 0) this.drain();
    });
    return true;
  }

  /** @param {ArrayBuffer} bytes */
  received(bytes) {
    const message = decode(bytes);
    switch (message.kind) {
      case 'total':
        return this.hearTotal(message.total);
      case 'update':
        this.hearTotal(message.total);
        return this.hearUpdate(message.id);
      case 'range':
        return this.hearRange(message.first, message.mask);
      case 'refused':
        this.board.giveUp(message.id);
        this.pending.remove(message.id);
        this.sent.delete(message.id);
        this.tellWaiting();
        return this.listener.refused(message.id, message.reason);
      case 'pulse':
        this.connection.expectPulses();
        this.hearTotal(message.total);
        this.listener.pulsed(message.players, message.tiles);
        // It may name tiles on the screen that the server does not send us updates for.
        return this.ask();
    }
  }

  /** @param {number} id */
  hearUpdate(id) {
    if (!this.board.geometry.has(id)) return;
    const isMine = this.board.waiting.has(id);
    this.board.learn(id);
    if (isMine) this.settle([id]);
  }

  /**
   * @param {number} first
   * @param {Uint8Array} mask
   */
  hearRange(first, mask) {
    const before = [...this.board.waiting];
    const tile = this.board.learnRange(first, mask);
    if (tile === undefined) return;
    this.settle(before.filter((id) => !this.board.waiting.has(id)));
    // Nobody asked: we lagged behind, and the server makes up for the updates it did not send. Pulses were lost too.
    if (!this.ranges.answered(tile, performance.now())) this.listener.greeted();
    this.ask();
  }

  /**
   * Own checks that do not wait any more: their boxes are checked. An update for one is the answer, and so is a range
   * that has it: the check was stored, only its answer got lost with the line.
   * @param {number[]} ids
   */
  settle(ids) {
    for (const id of ids) {
      this.pending.remove(id);
      if (this.sent.delete(id)) this.listener.confirmed(id, this.total);
      else this.listener.beaten(id);
    }
    if (ids.length > 0) this.tellWaiting();
  }

  tellWaiting() {
    this.listener.waitingChanged(this.board.waiting.size);
  }

  /**
   * Nodes may differ while they converge, so the first total of a connection counts even when it is lower. On one
   * connection it never goes down; a pulse that was counted a moment earlier must not make it flicker.
   * @param {number} total
   */
  hearTotal(total) {
    const isFirst = !this.greeted;
    this.total = isFirst ? total : Math.max(this.total, total);
    this.greeted = true;
    this.listener.totalChanged(this.total);
    if (isFirst) this.listener.greeted();
  }
}
