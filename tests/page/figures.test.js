// What the dashboard makes of a second: sums over nodes, the strip of shards, refusals a second.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Refusals, greatest, heat, totals } from '../../dashboard/figures.js';

/** @param {object} [own] */
function node(own = {}) {
  return {
    id: 'a', version: '1', uptime_s: 1, connections: 3, connections_max: 10, lagging: 1, checks_per_s: 2, updates_per_s: 6,
    draining: false, memory_bytes: 5, to_screens_ms: null, to_screens_max_ms: null, boards: [], ...own,
  };
}

/** @param {number[]} shards */
function board(shards, boxes = shards.length * 100_000) {
  return { name: 'main', boxes, checked: 0, read_only: false, store_problem: null, shards };
}

test('nodes are added up, and of what cannot be added the worst counts', () => {
  const one = node({ to_screens_ms: 4, to_screens_max_ms: 9 });
  const other = node({ connections: 4, memory_bytes: 7, to_screens_ms: 5 });
  assert.deepEqual(totals([one, other]), {
    players: 7, playersMax: 20, checks: 4, updates: 12, lagging: 2, toScreens: 5, toScreensMax: 9, memory: 7,
  });
  assert.equal(totals([node()]).toScreens, null);
  // A node of an earlier version does not say it.
  assert.equal(greatest([undefined, null]), null);
  assert.equal(greatest([0, null]), 0);
});

test('few shards are drawn as they are, of all nodes together', () => {
  const nodes = [node({ boards: [board([1, 0, 2], 250_000)] }), node({ boards: [board([1, 5, 0], 250_000)] })];
  assert.deepEqual(heat(nodes), [
    { first: 1, last: 100_000, rate: 2 },
    { first: 100_001, last: 200_000, rate: 5 },
    { first: 200_001, last: 250_000, rate: 2 },
  ]);
  assert.deepEqual(heat([]), []);
});

test('more shards than the strip has room for are joined, each once', () => {
  for (const shards of [50, 51, 120, 1_000]) {
    const cells = heat([node({ boards: [board(Array(shards).fill(1))] })]);
    assert.equal(cells.length, 50);
    assert.equal(cells.reduce((sum, { rate }) => sum + rate, 0), shards);
    assert.equal(cells[0].first, 1);
    assert.equal(cells[49].last, shards * 100_000);
    cells.slice(1).forEach(({ first }, index) => assert.equal(first, cells[index].last + 1));
  }
});

test('refusals are counted a second, and a node that was restarted begins anew', () => {
  const refusals = new Refusals();
  /** @param {string} node @param {number} at @param {Record<string, number>} counts */
  const rates = (node, at, counts) =>
    // @ts-expect-error only these are looked at
    Object.fromEntries(refusals.rates({ node, at_ms: at, refusals: counts }).map(({ reason, rate }) => [reason, rate]));
  assert.deepEqual(rates('a', 1_000, { rate: 10 }), { rate: 0 });
  assert.deepEqual(rates('a', 3_000, { rate: 14, busy: 3 }), { rate: 2, busy: 1.5 });
  assert.deepEqual(rates('b', 4_000, { rate: 90 }), { rate: 0 });
});
