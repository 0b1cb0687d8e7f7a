// Which tile a newcomer and Random are sent to, and which box of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Census } from '../../static/census.js';
import { boxInCompany, tileAtRandom, tileForNewcomer } from '../../static/company.js';
import { Geometry, TILE_BOXES, TILE_COLUMNS, TILE_ROWS } from '../../static/geometry.js';

const DESK = { columns: 33, rows: 28 };
const PHONE = { columns: 10, rows: 18 };

/** @param {Record<number, number>} counts by tile */
function census(counts, tiles = 100) {
  const known = new Census(new Geometry(tiles * TILE_BOXES), () => 0);
  for (const [tile, checked] of Object.entries(counts)) known.learn(Number(tile), checked);
  return known;
}

/** Numbers from 0 to 1, the same every time. */
function seeded(seed = 7) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** @param {(column: number, row: number) => boolean} isChecked */
function tile(isChecked) {
  const bits = new Uint8Array(TILE_BOXES / 8);
  for (let offset = 0; offset < TILE_BOXES; offset++) {
    if (isChecked(offset % TILE_COLUMNS, Math.floor(offset / TILE_COLUMNS))) bits[offset >> 3] |= 1 << (offset & 7);
  }
  return bits;
}

/** What is seen around a box: how many of a screen are checked, and how many are free. */
function around(/** @type {Uint8Array} */ bits, /** @type {number} */ offset, { columns, rows } = DESK) {
  const [west, north] = [(offset % TILE_COLUMNS) - (columns >> 1), Math.floor(offset / TILE_COLUMNS) - (rows >> 1)];
  let [checked, free] = [0, 0];
  for (let row = Math.max(0, north); row < Math.min(TILE_ROWS, north + rows); row++) {
    for (let column = Math.max(0, west); column < Math.min(TILE_COLUMNS, west + columns); column++) {
      const at = row * TILE_COLUMNS + column;
      if ((bits[at >> 3] >> (at & 7)) & 1) checked += 1;
      else free += 1;
    }
  }
  return { checked, free };
}

test('a newcomer goes where something happens, else to the fullest tiles that are no crowd', () => {
  const known = census({ 0: 70_000, 3: 5_000, 4: 20_000, 5: 20_001, 8: 10, 9: 1 });
  for (let times = 0; times < 20; times++) {
    assert.equal(tileForNewcomer(known, [8, 9], seeded(times)), 8, 'busy, and more than a single box');
    assert.ok([3, 4].includes(tileForNewcomer(known, [], seeded(times)) ?? -1), 'not to a single box');
  }
  assert.notEqual(tileForNewcomer(known, [0], seeded()), 0, 'a crowd is busy, but has no room');
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [at, at + 1]));
  for (let times = 0; times < 50; times++) assert.ok((tileForNewcomer(census(many), [], seeded(times)) ?? 0) >= 84);
});

test('where all is crowded the emptiest tile has room, and an empty or full board has no place to go', () => {
  assert.equal(tileForNewcomer(census({ 0: 90_000, 1: 40_000 }), [], seeded()), 1);
  assert.equal(tileForNewcomer(census({}), [], seeded()), undefined);
  assert.equal(tileForNewcomer(census({ 0: TILE_BOXES }, 1), [], seeded()), undefined);
});

test('random goes to drawings more often than to single boxes, never where nothing is free, and always away', () => {
  const counts = Object.fromEntries(Array.from({ length: 90 }, (_, at) => [at, 1]));
  const known = census({ ...counts, 90: 2_000, 91: 50_000, 92: TILE_BOXES });
  const random = seeded();
  const seen = new Map();
  for (let times = 0; times < 400; times++) {
    const found = tileAtRandom(known, 5, random) ?? -1;
    seen.set(found, (seen.get(found) ?? 0) + 1);
  }
  assert.ok((seen.get(90) ?? 0) + (seen.get(91) ?? 0) > 380);
  assert.equal(seen.get(92), undefined);
  for (let times = 0; times < 50; times++) assert.equal(tileAtRandom(census({ 3: 9, 4: 7 }), 3, random), 4);
  assert.equal(tileAtRandom(census({ 3: 9 }), 3, random), undefined);
  assert.equal(tileAtRandom(census({}), 3, random), undefined);
});

test('the box is free, beside a checked one, and most of the screen around it is free', () => {
  const boards = {
    'a solid corner': tile((column, row) => column < 120 && row < 90),
    'a wall across': tile((_, row) => row < 200),
    'a drawing': tile((column, row) => (column - 200) ** 2 + (row - 125) ** 2 < 400),
    'a fifth strewn': tile((column, row) => (column * 7 + row * 13) % 5 === 0),
  };
  for (const [name, bits] of Object.entries(boards)) {
    for (const screen of [DESK, PHONE]) {
      for (let seed = 0; seed < 5; seed++) {
        const offset = boxInCompany(bits, TILE_BOXES, screen, seeded(seed)) ?? -1;
        assert.equal((bits[offset >> 3] >> (offset & 7)) & 1, 0, name);
        const { checked, free } = around(bits, offset, screen);
        const area = screen.columns * screen.rows;
        assert.ok(free >= area / 2, `${name}: ${free} free of ${area}`);
        assert.ok(checked >= area / 6, `${name}: ${checked} checked of ${area}`);
      }
    }
  }
});

test('a lonely box has company, and the same random leads to the same box', () => {
  const bits = tile((column, row) => column === 300 && row === 17);
  const offset = boxInCompany(bits, TILE_BOXES, DESK, seeded()) ?? -1;
  assert.equal(around(bits, offset).checked, 1);
  assert.equal(boxInCompany(bits, TILE_BOXES, DESK, seeded()), offset);
});

test('an empty tile has any box, a full one none, and a short one only its own', () => {
  assert.ok((boxInCompany(tile(() => false), TILE_BOXES, DESK, seeded()) ?? -1) >= 0);
  assert.equal(boxInCompany(tile(() => true), TILE_BOXES, DESK, seeded()), undefined);
  const short = boxInCompany(tile((column) => column === 9), 850, DESK, seeded()) ?? -1;
  assert.ok(short >= 0 && short < 850);
  const last = tile(() => true);
  last[124] &= 0x7f;
  assert.equal(boxInCompany(last, 1_000, DESK, seeded()), 999, 'the only free one');
});
