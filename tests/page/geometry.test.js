/*
 * The shape of the map: ids and places are two names of one thing, on boards of every awkward size.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Geometry, TILE_BOXES } from '../../static/geometry.js';

const BILLION = 1_000_000_000;
/** One box, a short row, one tile, one box more, half a tile, a short last row of tiles, the real one, the largest. */
const SIZES = [1, 399, 401, 100_000, 100_001, 250_000, 10_000_001, 10_150_000, BILLION, 4_294_967_295];

/** Ids where something changes: ends of rows, tiles and rows of tiles, and the ends of the board. */
function* edges(boxes) {
  for (const id of [1, 2, 400, 401, 99_601, 100_000, 100_001, 9_999_999, 10_000_000, 10_000_001, boxes - 1, boxes]) {
    if (id >= 1 && id <= boxes) yield id;
  }
}

test('a billion boxes are a map of 40,000 x 25,000 in 100 x 100 tiles', () => {
  const { columns, rows, tiles, tileColumns, tileRows } = new Geometry(BILLION);
  assert.deepEqual({ columns, rows, tiles, tileColumns, tileRows }, {
    columns: 40_000, rows: 25_000, tiles: 10_000, tileColumns: 100, tileRows: 100,
  });
});

test('the corners of the map are where they should be', () => {
  const geometry = new Geometry(BILLION);
  assert.deepEqual(geometry.placeOf(1), { column: 0, row: 0 });
  assert.deepEqual(geometry.placeOf(401), { column: 0, row: 1 });
  assert.deepEqual(geometry.placeOf(100_000), { column: 399, row: 249 });
  assert.deepEqual(geometry.placeOf(100_001), { column: 400, row: 0 });
  assert.deepEqual(geometry.placeOf(10_000_001), { column: 0, row: 250 });
  assert.deepEqual(geometry.placeOf(BILLION), { column: 39_999, row: 24_999 });
});

test('an id and its place lead back to each other', () => {
  for (const boxes of SIZES) {
    const geometry = new Geometry(boxes);
    for (const id of edges(boxes)) {
      const { column, row } = geometry.placeOf(id);
      assert.equal(geometry.idAt(column, row), id, `box ${id} of ${boxes}`);
      assert.ok(column < geometry.columns && row < geometry.rows, `box ${id} of ${boxes} lies on the map`);
    }
  }
});

test('no box lies outside the map or past the last one', () => {
  for (const boxes of SIZES) {
    const geometry = new Geometry(boxes);
    for (const [column, row] of [[-1, 0], [0, -1], [geometry.columns, 0], [0, geometry.rows]]) {
      assert.equal(geometry.idAt(column, row), 0, `${column}, ${row} of ${boxes}`);
    }
    assert.equal(geometry.has(0), false);
    assert.equal(geometry.has(boxes), true);
    assert.equal(geometry.has(boxes + 1), false);
    assert.equal(geometry.has(1.5), false);
  }
});

test('tiles cover the board without gap or overlap', () => {
  for (const boxes of SIZES) {
    const geometry = new Geometry(boxes);
    assert.equal(geometry.firstOf(0), 1);
    assert.equal(geometry.lastOf(geometry.tiles - 1), boxes);
    for (const id of edges(boxes)) {
      const tile = geometry.tileOf(id);
      assert.ok(geometry.firstOf(tile) <= id && id <= geometry.lastOf(tile));
      assert.ok(geometry.lastOf(tile) - geometry.firstOf(tile) < TILE_BOXES);
      if (tile > 0) assert.equal(geometry.lastOf(tile - 1) + 1, geometry.firstOf(tile));
    }
  }
});

test('the nearest box to anywhere is a box', () => {
  for (const boxes of SIZES) {
    const geometry = new Geometry(boxes);
    for (const column of [-5, 0, 0.5, geometry.columns - 0.01, geometry.columns + 9]) {
      for (const row of [-5, 0, 0.5, geometry.rows - 0.01, geometry.rows + 9]) {
        assert.ok(geometry.has(geometry.nearest(column, row)), `${column}, ${row} of ${boxes}`);
      }
    }
  }
});

test('a window over a corner of four tiles touches those four, the one in its middle first', () => {
  const geometry = new Geometry(BILLION);
  assert.deepEqual(geometry.tilesIn({ left: 0, top: 0, width: 40, height: 25 }), [0]);
  const found = geometry.tilesIn({ left: 390, top: 240, width: 40, height: 20 });
  assert.deepEqual([...found].sort((a, b) => a - b), [0, 1, 100, 101]);
  assert.equal(geometry.tilesIn({ left: 310, top: 100, width: 100, height: 20 })[0], 0);
  assert.equal(geometry.tilesIn({ left: 380, top: 100, width: 100, height: 20 })[0], 1);
});

test('a window beyond the last tile touches nothing there', () => {
  const geometry = new Geometry(250_000);
  assert.deepEqual(geometry.tilesIn({ left: 0, top: 0, width: 4_000, height: 1_000 }).sort(), [0, 1, 2]);
  assert.deepEqual(geometry.tilesIn({ left: 1_200, top: 0, width: 10, height: 10 }), []);
});

test('a board without boxes, or with more than a number on the wire can name, is refused', () => {
  for (const boxes of [0, -1, 1.5, Number.NaN, 4_294_967_296]) assert.throws(() => new Geometry(boxes), RangeError);
});
