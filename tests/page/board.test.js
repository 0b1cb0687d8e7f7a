// What the page knows of boxes: merging, and whom it believes after a reconnect.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Board } from '../../static/board.js';
import { Geometry } from '../../static/geometry.js';

const BOXES = 250_000;

function board() {
  const nobody = { boxChanged() {}, tileChanged() {} };
  return new Board(new Geometry(BOXES), nobody);
}

/** @param {number[]} ids boxes of the first tile */
function answer(...ids) {
  const mask = new Uint8Array(12_500);
  for (const id of ids) mask[(id - 1) >> 3] |= 1 << ((id - 1) & 7);
  return mask;
}

/** @param {Board} known */
const checked = (known) => [1, 2, 3, 4].filter((id) => known.stateOf(id) === 'checked');

test('on one connection nothing is ever unchecked', () => {
  const known = board();
  known.learnRange(1, answer(1, 2));
  known.learn(3);
  known.learnRange(1, answer(1));
  assert.deepEqual(checked(known), [1, 2, 3]);
  assert.equal(known.checkedIn(0), 3);
});

test('a new connection has the last word on a tile, once it was asked', () => {
  const known = board();
  known.learnRange(1, answer(1, 2));
  known.doubt();
  assert.deepEqual(checked(known), [1, 2], 'shown until it answers');
  assert.equal(known.doubts(0), true);
  known.learn(3);
  known.learnRange(1, answer(4));
  assert.deepEqual(checked(known), [3, 4], 'what it told of before its answer came counts');
  assert.equal(known.checkedIn(0), 2);
  assert.equal(known.doubts(0), false);
  known.learnRange(1, answer(1));
  assert.deepEqual(checked(known), [1, 3, 4]);
});

test('what an earlier connection told after the last doubt is doubted with the rest', () => {
  const known = board();
  known.learnRange(1, answer(1));
  known.doubt();
  known.learn(2);
  known.doubt();
  known.learnRange(1, answer(4));
  assert.deepEqual(checked(known), [4]);
});

test('an own check outlives the doubt', () => {
  const known = board();
  known.learnRange(1, answer());
  assert.equal(known.wait(2), true);
  known.doubt();
  known.learnRange(1, answer(1));
  assert.equal(known.stateOf(2), 'waiting');
});
