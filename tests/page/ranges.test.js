// Which tile is asked for next: what is on the screen must stay followed, however the server forgets.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Ranges } from '../../static/ranges.js';

const yes = () => true;
const no = () => false;

/** The server's memory: the last 16 ranges asked for. */
class Server {
  /** @type {number[]} */
  remembered = [];
  asked = 0;
  /** @param {number} tile */
  ask(tile) {
    this.asked += 1;
    this.remembered = [...this.remembered.filter((other) => other !== tile), tile].slice(-16);
  }
}

/**
 * Asks until there is nothing to ask, answering at once.
 * @param {Ranges} ranges
 * @param {Server} server
 * @param {number[]} visible
 * @param {Set<number>} known
 */
function settle(ranges, server, visible, known, isBehind = no) {
  for (let round = 0; round < 200; round++) {
    const tile = ranges.next(visible, (other) => known.has(other), isBehind);
    if (tile === undefined) return;
    server.ask(tile);
    ranges.asked(tile);
    known.add(tile);
    ranges.answered(tile);
  }
  assert.fail('it never comes to rest');
}

test('every tile on the screen is among the last sixteen asked for, wherever one wandered before', () => {
  const [ranges, server] = [new Ranges(), new Server()];
  /** @type {Set<number>} */
  const known = new Set();
  for (let step = 0; step < 300; step++) {
    const start = (step * 7) % 50;
    const visible = Array.from({ length: 1 + (step % 16) }, (_, at) => start + at);
    settle(ranges, server, visible, known);
    for (const tile of visible) assert.ok(server.remembered.includes(tile), `step ${step}: tile ${tile} grows stale`);
  }
});

test('a new connection asks for everything on the screen again', () => {
  const ranges = new Ranges();
  /** @type {Set<number>} */
  const known = new Set();
  settle(ranges, new Server(), [1, 2, 3], known);
  ranges.reset();
  const server = new Server();
  settle(ranges, server, [1, 2, 3], known);
  assert.equal(server.asked, 3);
});

test('with more tiles on the screen than are followed, each is asked for once, and again when it is behind', () => {
  const [ranges, server] = [new Ranges(), new Server()];
  /** @type {Set<number>} */
  const known = new Set();
  const visible = Array.from({ length: 25 }, (_, at) => at);
  settle(ranges, server, visible, known);
  assert.equal(server.asked, 25);
  settle(ranges, server, visible, known);
  assert.equal(server.asked, 25);
  const asked = server.asked;
  let isBehind = true;
  settle(ranges, server, visible, known, (/** @type {number} */ tile) => {
    if (tile !== 3 || !isBehind) return false;
    isBehind = false;
    return true;
  });
  assert.equal(server.asked, asked + 1);
  ranges.reset();
  settle(ranges, new Server(), visible, known);
  assert.equal(ranges.fresh.size, 25, 'a reconnect makes all of them doubtful');
});

test('at most eight are outstanding, and none twice', () => {
  const ranges = new Ranges();
  const visible = Array.from({ length: 16 }, (_, at) => at);
  const asked = [];
  for (let tile = ranges.next(visible, no, no); tile !== undefined; tile = ranges.next(visible, no, no)) {
    ranges.asked(tile);
    asked.push(tile);
  }
  assert.deepEqual(asked, [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(ranges.answered(0), true);
  assert.equal(ranges.answered(0), false, 'an answer nobody waits for is a resync');
  assert.equal(ranges.next(visible, yes, no), 8);
});
