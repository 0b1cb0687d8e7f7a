// What "busy" remembers: what others did, for minutes, and nothing of one's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Busy, REMEMBERED_MS, agoWords } from '../../static/busy.js';

function busy() {
  const clock = { ms: 0 };
  return { clock, busy: new Busy(() => clock.ms) };
}

test('what others did last is remembered for minutes', () => {
  const { clock, busy: known } = busy();
  assert.equal(known.latest, undefined);
  known.rose(7, 3);
  clock.ms = 60_000;
  known.rose(9, 1);
  known.saw(7, 700_123);
  assert.deepEqual(known.latest, { tile: 7, atMs: 60_000, box: 700_123 });
  assert.deepEqual(known.tiles, [7, 9]);
  clock.ms += REMEMBERED_MS;
  assert.equal(known.latest, undefined);
  assert.deepEqual(known.tiles, []);
});

test('own checks are left out, and what others do beside them is not', () => {
  const { clock, busy: known } = busy();
  known.checkedOwn(7);
  known.rose(7, 1);
  assert.equal(known.latest, undefined);
  known.checkedOwn(7);
  known.checkedOwn(7);
  known.checkedOwn(8);
  known.rose(7, 3);
  assert.equal(known.latest?.tile, 7);
  clock.ms += REMEMBERED_MS;
  // A count that had an own check in it already never rises for it; the next rise is somebody else's.
  known.rose(8, 1);
  assert.equal(known.latest?.tile, 8);
});

test('of ten thousand busy tiles only the newest few are kept', () => {
  const { busy: known } = busy();
  for (let tile = 0; tile < 10_000; tile++) known.rose(tile, 1);
  assert.equal(known.latest?.tile, 9_999);
  assert.equal(known.tiles.length, 64);
});

test('the button says how long ago it was', () => {
  assert.deepEqual([0, 4_999, 12_000, 59_999, 60_000, 599_000].map(agoWords), ['now', 'now', '12 s ago', '59 s ago', '1 min ago', '9 min ago']);
});
