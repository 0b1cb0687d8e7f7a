/*
 * What is about people is loaded for whoever needs it, and holds up nobody else: a check waits for it for a second at most.
 */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Door, NOTE } from '../../static/door.js';

/** @param {{ note?: string }} [visit] */
function stage({ note } = {}) {
  const kept = new Map(note === undefined ? [] : [[NOTE, note]]);
  /** @type {string[]} */
  const said = [];
  /** @type {{ arrive: (people: any) => void, fail: () => void }[]} */
  const loads = [];
  const people = {
    hear: (/** @type {string} */ text) => said.push(`hear ${text}`),
    opened: () => said.push('opened'),
    closed: (/** @type {number} */ code) => said.push(`closed ${code}`),
    looked: () => said.push('looked'),
    open: async (/** @type {string | undefined} */ invitation) => void said.push(`open ${invitation}`),
    beforeCheck: () => void said.push('check'),
  };
  const storage = { getItem: (/** @type {string} */ key) => kept.get(key) ?? null };
  const visit = { storage, notice: (/** @type {string} */ text) => said.push(text) };
  const load = () => new Promise((arrive, fail) => loads.push({ arrive, fail: () => fail(new Error('no line')) }));
  const door = new Door(visit, /** @type {any} */ (load));
  const arrive = async () => {
    loads.at(-1)?.arrive(people);
    await door.loading;
  };
  const fail = async () => {
    const { loading } = door;
    loads.at(-1)?.fail();
    await loading;
  };
  return { door, said, loads, kept, arrive, fail };
}

test('who only looks loads nothing', () => {
  const { door, said, loads } = stage();
  door.opened();
  door.hear('{}');
  door.looked();
  door.closed(1006, '');
  door.noted();
  assert.deepEqual([said, loads], [[], []]);
});

test('a browser that has an identity has it at once, and one that gets it in another tab then', async () => {
  const known = stage({ note: '1' });
  assert.equal(known.loads.length, 1);
  known.door.opened();
  await known.arrive();
  known.door.hear('x');
  assert.deepEqual(known.said, ['opened', 'hear x'], 'it hears of the connection that was open before it');
  const late = stage();
  late.kept.set(NOTE, '1');
  late.door.noted();
  assert.equal(late.loads.length, 1);
  await late.arrive();
  assert.deepEqual(late.said, [], 'no connection is open');
});

test('the first check waits until it is loaded, and is asked about again', async () => {
  const { door, said, loads, arrive } = stage();
  assert.equal(door.beforeCheck(), undefined, 'without a connection nothing leaves anyway');
  door.opened();
  const held = door.beforeCheck();
  assert.ok(held);
  assert.equal(door.beforeCheck(), held);
  assert.equal(loads.length, 1);
  await arrive();
  await held;
  assert.equal(door.beforeCheck(), undefined);
  assert.deepEqual(said, ['opened', 'check']);
});

test('a check waits a second, and the connection has no other that waits', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { door, said, arrive } = stage();
    door.opened();
    const held = door.beforeCheck();
    mock.timers.tick(1_000);
    await held;
    assert.equal(door.beforeCheck(), undefined);
    await arrive();
    assert.deepEqual(said, ['opened']);
  } finally {
    mock.timers.reset();
  }
});

test('what did not arrive is looked for again: by the next connection, and by a click', async () => {
  const { door, said, loads, arrive, fail } = stage();
  door.opened();
  const held = door.beforeCheck();
  await fail();
  await held;
  assert.equal(door.beforeCheck(), undefined, 'checks go on');
  assert.equal(loads.length, 1);
  door.opened();
  assert.ok(door.beforeCheck());
  assert.equal(loads.length, 2);
  await fail();
  const opening = door.open('abc');
  await fail();
  await opening;
  assert.deepEqual(said, ['This part of the page did not arrive. Try it again in a moment.']);
  const again = door.open('abc');
  await arrive();
  await again;
  assert.deepEqual(said.slice(1), ['opened', 'open abc']);
});
