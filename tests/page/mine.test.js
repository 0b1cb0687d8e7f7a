// Own boxes: what is stored comes back, whatever storage does, and two tabs lose nothing of each other.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MINE_MAX, Mine, decodeIds, encodeIds, mineKey } from '../../static/mine.js';

const BOXES = 1_000_000_000;

/** What browsers call a Storage, as far as it is used. */
class Store {
  /** @type {Map<string, string>} */
  items = new Map();
  isFull = false;
  /** @param {string} key */
  getItem(key) {
    return this.items.get(key) ?? null;
  }
  /** @param {string} key @param {string} value */
  setItem(key, value) {
    if (this.isFull) throw new DOMException('full', 'QuotaExceededError');
    this.items.set(key, value);
  }
}

test('ids come back in their order, the largest and the furthest apart too', () => {
  for (const ids of [[], [1], [BOXES], [BOXES, 1, BOXES - 1, 2], [5, 6, 406, 4, 900_000_000, 64, 128, 8192]]) {
    assert.deepEqual(decodeIds(encodeIds(ids), BOXES), ids);
  }
  const most = Array.from({ length: 30_000 }, (_, at) => (Math.imul(at + 1, 0x9e37_79b1) >>> 0) % BOXES + 1);
  assert.deepEqual(decodeIds(encodeIds(most), BOXES), [...new Set(most)]);
  assert.deepEqual(decodeIds(encodeIds([4_294_967_295, 1]), 4_294_967_295), [4_294_967_295, 1]);
});

test('a row of neighbours costs about a byte and a third each', () => {
  const row = Array.from({ length: 300 }, (_, at) => 123_456_789 + at);
  assert.ok(encodeIds(row).length < 300 * 1.4 + 20);
});

test('damaged or strange text is no boxes, and ids beyond the board are left out', () => {
  const good = encodeIds([7, 8, 9]);
  for (const text of [null, '', '1', '1.0.', good.slice(0, -1), good.replace(/^1/, '2'), `${good}A`, '[7,8,9]', '1.420ba15.~~~~']) {
    assert.deepEqual(decodeIds(text, BOXES), [], String(text));
  }
  assert.deepEqual(decodeIds(encodeIds([7, 1000, 8]), 10), [7, 8]);
});

test('a new page knows the boxes of the one before, of this board only', () => {
  const store = new Store();
  const before = new Mine(store, 'main', BOXES);
  assert.equal(before.add(100_001), true);
  assert.equal(before.add(5), true);
  assert.equal(before.add(5), false);
  assert.equal(before.save(), true);
  const after = new Mine(store, 'main', BOXES);
  assert.deepEqual(after.order, [100_001, 5]);
  assert.equal(after.count, 2);
  assert.ok(after.has(5) && after.has(100_001) && !after.has(6));
  assert.deepEqual([...after.idsIn(1)], [100_001]);
  assert.deepEqual([...after.idsIn(2)], []);
  assert.deepEqual([...after.tiles()], [1, 0]);
  assert.equal(new Mine(store, 'other', BOXES).count, 0);
});

test('two tabs keep each other’s boxes, even when both write at once', () => {
  const store = new Store();
  const [one, two] = [new Mine(store, 'main', BOXES), new Mine(store, 'main', BOXES)];
  one.add(1);
  two.add(2);
  one.save();
  two.save();
  one.reload();
  assert.deepEqual([...one.order].sort(), [1, 2]);
  // As if the second had read before the first wrote: its text lacks what the first has.
  one.add(3);
  one.save();
  store.setItem(mineKey('main'), encodeIds([1, 2, 4]));
  one.reload();
  assert.deepEqual([...one.order].sort(), [1, 2, 3, 4]);
  assert.equal(one.isDirty, true, 'what was overwritten is to be written again');
  one.save();
  assert.equal(new Mine(store, 'main', BOXES).count, 4);
});

test('no storage, a full one and a broken one only remember less', () => {
  const none = new Mine(undefined, 'main', BOXES);
  none.add(1);
  none.save();
  assert.ok(none.has(1));

  const store = new Store();
  const full = new Mine(store, 'main', BOXES);
  store.isFull = true;
  full.add(1);
  assert.equal(full.save(), false);
  assert.ok(full.has(1));
  store.isFull = false;
  assert.equal(full.save(), true, 'it is tried again');

  const broken = new Mine(
    {
      getItem: () => {
        throw new DOMException('no', 'SecurityError');
      },
      setItem: () => {
        throw new DOMException('no', 'SecurityError');
      },
    },
    'main',
    BOXES,
  );
  broken.add(2);
  assert.equal(broken.save(), false);
  assert.ok(broken.has(2));
});

test('listeners hear of each new box and of what another tab brings', () => {
  const store = new Store();
  const mine = new Mine(store, 'main', BOXES);
  /** @type {(number | undefined)[]} */
  const heard = [];
  mine.listen((id) => heard.push(id));
  mine.add(4);
  mine.add(4);
  store.setItem(mineKey('main'), encodeIds([9]));
  mine.reload();
  mine.reload();
  assert.deepEqual(heard, [4, undefined]);
});

test('only the newest hundred thousand are remembered', () => {
  const mine = new Mine(undefined, 'main', BOXES);
  for (let id = 1; id <= MINE_MAX + 2; id++) mine.add(id);
  assert.equal(mine.count, MINE_MAX);
  assert.ok(!mine.has(2) && mine.has(3) && mine.has(MINE_MAX + 2));
});
