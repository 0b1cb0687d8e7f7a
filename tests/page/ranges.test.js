/*
 * What to ask for next, against a model of the server's memory: it sends updates for the last 16 ranges asked for.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Ranges } from '../../static/ranges.js';

const IN_FLIGHT = 8;
const REMEMBERED = 16;

/** Asks until there is nothing to ask, answering at once; what was asked, in order. */
function settle(ranges, visible, known) {
  const asked = [];
  for (;;) {
    const tile = ranges.next(visible, (other) => known.has(other));
    if (tile === undefined) return asked;
    assert.ok(asked.length < 100, 'it comes to rest');
    ranges.asked(tile);
    asked.push(tile);
    known.add(tile);
    ranges.answered(tile);
  }
}

test('visible tiles are asked for once, most wanted first', () => {
  const ranges = new Ranges();
  const known = new Set();
  assert.deepEqual(settle(ranges, [5, 6, 105], known), [5, 6, 105]);
  assert.deepEqual(settle(ranges, [5, 6, 105], known), []);
  assert.deepEqual(settle(ranges, [6, 7], known), [7]);
});

test('no more than half of what the server allows is outstanding', () => {
  const ranges = new Ranges();
  const visible = Array.from({ length: 12 }, (_, tile) => tile);
  for (let asked = 0; asked < IN_FLIGHT; asked++) {
    const tile = ranges.next(visible, () => false);
    assert.equal(tile, asked);
    ranges.asked(tile);
  }
  assert.equal(ranges.next(visible, () => false), undefined);
  ranges.answered(3);
  assert.equal(ranges.next(visible, (tile) => tile === 3), 8);
});

test('a tile that the server has forgotten is asked for again when it is visible again', () => {
  const ranges = new Ranges();
  const known = new Set();
  settle(ranges, [0], known);
  for (let tile = 1; tile < REMEMBERED; tile++) settle(ranges, [tile], known);
  assert.deepEqual(settle(ranges, [0], known), [], 'the sixteenth request still leaves it in memory');
  settle(ranges, [REMEMBERED], known);
  assert.deepEqual(settle(ranges, [0], known), [0], 'the seventeenth pushed it out');
});

test('whatever the walk, visible tiles are among the last 16 that were asked for', () => {
  const ranges = new Ranges();
  const known = new Set();
  let server = [];
  let state = 1;
  for (let step = 0; step < 500; step++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const corner = (state >>> 8) % 40;
    const visible = [corner, corner + 1, corner + 100, corner + 101];
    for (const tile of settle(ranges, visible, known)) {
      server = [...server.filter((other) => other !== tile), tile].slice(-REMEMBERED);
    }
    for (const tile of visible) assert.ok(server.includes(tile), `tile ${tile} in step ${step}`);
  }
});

test('a new connection starts with nothing asked for', () => {
  const ranges = new Ranges();
  const known = new Set();
  settle(ranges, [1, 2], known);
  ranges.asked(3);
  ranges.reset();
  assert.deepEqual(settle(ranges, [1, 2], known), [1, 2]);
});
