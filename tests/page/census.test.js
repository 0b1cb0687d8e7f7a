// What the page knows of each tile: merging, heat, and what an overview answer must look like to be believed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Census, HEAT_MS } from '../../static/census.js';
import { Geometry } from '../../static/geometry.js';

const BOXES = 250_000;

/**
 * @param {number[]} counts
 * @param {{ boxes?: number, total?: number, magic?: string }} [changes]
 */
function overview(counts, { boxes = BOXES, total = counts.reduce((sum, count) => sum + count, 0), magic = 'BXO1' } = {}) {
  const bytes = new Uint8Array(16 + 3 * counts.length);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint32(4, boxes, true);
  view.setUint32(8, total, true);
  view.setUint32(12, counts.length, true);
  counts.forEach((count, tile) => {
    for (let plane = 0; plane < 3; plane++) bytes[16 + plane * counts.length + tile] = count >> (8 * plane);
  });
  return bytes.buffer;
}

function census() {
  const clock = { ms: 0 };
  return { clock, census: new Census(new Geometry(BOXES), () => clock.ms) };
}

test('the documented bytes of an overview are read', () => {
  const { census: known } = census();
  const bytes = Uint8Array.from([
    ...[0x42, 0x58, 0x4f, 0x31], // BXO1
    ...[0x90, 0xd0, 0x03, 0x00], // 250,000 boxes
    ...[0xa3, 0x86, 0x01, 0x00], // 100,003 checked
    ...[0x03, 0x00, 0x00, 0x00], // 3 tiles
    ...[0xa0, 0x01, 0x02],
    ...[0x86, 0x00, 0x00],
    ...[0x01, 0x00, 0x00],
  ]);
  assert.equal(known.known, false);
  assert.equal(known.learnOverview(bytes.buffer, 5), true);
  assert.equal(known.known, true);
  assert.equal(known.learnedAtMs, 5);
  assert.deepEqual([0, 1, 2].map((tile) => known.checkedIn(tile)), [100_000, 1, 2]);
});

test('counts never go down, whatever comes in whatever order', () => {
  const { census: known } = census();
  known.learn(0, 7);
  known.learnOverview(overview([5, 9, 0]), 0);
  known.learn(1, 8);
  known.learn(1, 8);
  assert.deepEqual([0, 1, 2].map((tile) => known.checkedIn(tile)), [7, 9, 0]);
});

test('an answer that cannot be right changes nothing and tells nobody', () => {
  const { census: known } = census();
  let told = 0;
  known.listen(() => (told += 1));
  const wrong = {
    'for another board': overview([1, 0, 0], { boxes: BOXES + 1 }),
    'of another version': overview([1, 0, 0], { magic: 'BXO2' }),
    'whose total is not the sum': overview([1, 0, 0], { total: 2 }),
    'with too few tiles': overview([1, 0]),
    'cut off': overview([1, 0, 0]).slice(0, 20),
    'empty': new ArrayBuffer(0),
    'with more boxes than the last tile has': overview([0, 0, 50_001]),
  };
  for (const [what, bytes] of Object.entries(wrong)) assert.equal(known.learnOverview(bytes, 0), false, what);
  assert.equal(known.known, false);
  assert.equal(known.checkedIn(0), 0);
  assert.equal(told, 0);
});

test('what is not a tile or more than a tile holds does no harm', () => {
  const { census: known } = census();
  known.learn(3, 1);
  known.learn(-1, 1);
  known.learn(2, 60_000);
  known.learn(1, Number.NaN);
  assert.equal(known.checkedIn(3), 0);
  assert.equal(known.checkedIn(2), 50_000);
  assert.equal(known.checkedIn(1), 0);
});

test('a rise warms a tile, which cools within three seconds', () => {
  const { census: known, clock } = census();
  known.learnOverview(overview([5, 0, 0]), 0);
  assert.deepEqual(known.warmTiles(0), [], 'an overview is history, not news');
  known.learn(0, 6);
  const first = known.heat(0, 0);
  assert.ok(first > 0.3 && first < 0.6, String(first));
  assert.ok(known.heat(0, 500) < first);
  known.learn(1, 300);
  assert.equal(known.heat(1, 0), 1, 'hundreds at once are as hot as it gets');
  assert.deepEqual(known.warmTiles(0), [0, 1]);
  clock.ms = 1000;
  known.learn(0, 7);
  assert.ok(known.heat(0, 1000) > first, 'again and again is hotter than once');
  assert.deepEqual(known.warmTiles(1000), [1, 0]);
  assert.equal(known.heat(0, 1000 + HEAT_MS), 0);
  assert.deepEqual(known.warmTiles(1000 + HEAT_MS), []);
});

test('before the first overview only a pulse is news', () => {
  const { census: known } = census();
  known.learn(0, 500);
  assert.equal(known.heat(0, 0), 0);
  known.learn(1, 500, true);
  assert.ok(known.heat(1, 0) > 0 && known.heat(1, 0) < 1, 'though not how much of it is new');
});

test('listeners hear of each tile that changed, and of none that did not', () => {
  const { census: known } = census();
  /** @type {(number | undefined)[]} */
  const heard = [];
  known.listen((tile) => heard.push(tile));
  known.learn(1, 3);
  known.learn(1, 3);
  known.learn(1, 2);
  known.learnOverview(overview([0, 0, 0]), 0);
  assert.deepEqual(heard, [1, undefined]);
});

test('after a reconnect the next overview may say less, but not less than was heard since', () => {
  const { census: known } = census();
  known.learnOverview(overview([50, 60, 70]), 0);
  known.doubt();
  assert.equal(known.checkedIn(0), 50, 'shown until then');
  known.learn(1, 5, true);
  known.learn(2, 2, true);
  known.learnOverview(overview([1, 3, 4]), 1);
  assert.deepEqual([0, 1, 2].map((tile) => known.checkedIn(tile)), [1, 5, 4]);
  known.learnOverview(overview([0, 0, 0]), 2);
  assert.deepEqual([0, 1, 2].map((tile) => known.checkedIn(tile)), [1, 5, 4], 'on one connection counts only grow');
});
