/*
 * Owns the conversation with the server: the total it told us, the tiles to ask for, and the pace at which own checks
 * leave. Messages go from here to the board and nowhere else; the view tells it what is on the screen.
 */

import { Connection } from './connection.js';
import { decode, encodeCheck, encodeRange } from './protocol.js';
import { Ranges } from './ranges.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./connection.js').ConnectionState} ConnectionState */
/** @typedef {import('./protocol.js').TileCount} TileCount */

/**
 * @typedef {object} SessionListener
 * @property {(total: number) => void} totalChanged
 * @property {(state: ConnectionState) => void} connectionChanged
 * @property {(id: number, reason: number) => void} refused
 * @property {(players: number, tiles: TileCount[]) => void} pulsed
 * @property {(tile: number) => boolean} lacks whether a loaded tile has more boxes checked than the board knows of
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
   * @param {SessionListener} listener
   */
  constructor(url, board, listener) {
    this.board = board;
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
    this.connection = new Connection(url, {
      opened: () => this.opened(),
      received: (bytes) => this.received(bytes),
      stateChanged: (state) => listener.connectionChanged(state),
    });
  }

  start() {
    this.connection.start();
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

  /** @param {number} id */
  check(id) {
    if (!this.board.wait(id)) return;
    this.backlog.push(id);
    if (this.backlogTimer === 0) this.drain();
  }

  opened() {
    this.greeted = false;
    this.ranges.reset();
    this.ask();
    // Whether an unanswered check was stored before the line broke is unknown; asking again is harmless.
    this.backlog = [...this.board.waiting];
    if (this.backlogTimer === 0) this.drain();
  }

  ask() {
    this.askedAtMs = performance.now();
    const { geometry } = this.board;
    const knows = (/** @type {number} */ tile) => this.board.knows(tile);
    for (;;) {
      const tile = this.ranges.next(this.visible, knows, this.listener.lacks, this.askedAtMs);
      if (tile === undefined) return;
      if (!this.connection.send(encodeRange(geometry.firstOf(tile), geometry.lastOf(tile)))) return;
      this.ranges.asked(tile, this.askedAtMs);
    }
  }

  /** Sends the oldest check of the backlog and comes back for the next; stops while there is no connection. */
  drain() {
    this.backlogTimer = 0;
    // Someone else may have checked a box while it stood in line here.
    this.backlog = this.backlog.filter((id) => this.board.waiting.has(id));
    const id = this.backlog[0];
    if (id === undefined || !this.connection.send(encodeCheck(id))) return;
    this.backlog.shift();
    this.backlogTimer = setTimeout(() => this.drain(), BACKLOG_INTERVAL_MS);
  }

  /** @param {ArrayBuffer} bytes */
  received(bytes) {
    const message = decode(bytes);
    switch (message.kind) {
      case 'total':
        return this.hearTotal(message.total);
      case 'update':
        this.hearTotal(message.total);
        if (this.board.geometry.has(message.id)) this.board.learn(message.id);
        return;
      case 'range': {
        const tile = this.board.learnRange(message.first, message.mask);
        if (tile === undefined) return;
        this.ranges.answered(tile);
        return this.ask();
      }
      case 'refused':
        this.board.giveUp(message.id);
        return this.listener.refused(message.id, message.reason);
      case 'pulse':
        this.connection.expectPulses();
        this.hearTotal(message.total);
        this.listener.pulsed(message.players, message.tiles);
        // The counts may say that a tile on the screen is out of date.
        return this.ask();
    }
  }

  /**
   * Nodes may differ while they converge, so the first total of a connection counts even when it is lower. On one
   * connection it never goes down; a pulse that was counted a moment earlier must not make it flicker.
   * @param {number} total
   */
  hearTotal(total) {
    this.total = this.greeted ? Math.max(this.total, total) : total;
    this.greeted = true;
    this.listener.totalChanged(this.total);
  }
}
