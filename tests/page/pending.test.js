// Checks without an answer outlive the page, and leave the list only when an answer came.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PENDING_MAX, Pending } from '../../static/pending.js';

function store() {
  /** @type {Map<string, string>} */
  const items = new Map();
  return {
    items,
    getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void items.set(key, value),
    removeItem: (/** @type {string} */ key) => void items.delete(key),
  };
}

test('what was not answered is there for the next page, oldest first', () => {
  const storage = store();
  const page = new Pending(storage, 'main', 1000);
  for (const id of [7, 3, 900, 3]) page.add(id);
  page.remove(7);
  page.remove(8);
  assert.deepEqual(new Pending(storage, 'main', 1000).all(), [3, 900]);
  assert.deepEqual(new Pending(storage, 'other', 1000).all(), []);
  page.remove(3);
  page.remove(900);
  assert.equal(storage.items.size, 0, 'nothing is left behind');
});

test('two tabs share the list', () => {
  const storage = store();
  const [one, two] = [new Pending(storage, 'main', 1000), new Pending(storage, 'main', 1000)];
  one.add(1);
  two.add(2);
  one.remove(1);
  assert.deepEqual(two.all(), [2]);
});

test('damage, strangers and endless lists do no harm', () => {
  const storage = store();
  const pending = new Pending(storage, 'main', 1000);
  storage.setItem(pending.key, '5,x,,-1,1001,2.5,5,6');
  assert.deepEqual(pending.all(), [5, 6]);
  const large = new Pending(storage, 'large', 1e9);
  for (let id = 1; id <= PENDING_MAX + 5; id++) large.add(id);
  assert.equal(large.all().length, PENDING_MAX);

  const refuse = () => {
    throw new DOMException('no', 'SecurityError');
  };
  const broken = new Pending({ getItem: refuse, setItem: refuse, removeItem: refuse }, 'main', 1000);
  broken.add(1);
  broken.remove(1);
  assert.deepEqual(broken.all(), []);
  const none = new Pending(undefined, 'main', 1000);
  none.add(1);
  assert.deepEqual(none.all(), []);
});
