import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CELLS_MAX, CLOSE_MIN_PX, Camera, TILES_LOADED_MAX, cellsAcross } from '../../static/camera.js';
import { Geometry } from '../../static/geometry.js';

const BILLION = new Geometry(1_000_000_000);

/**
 * @param {number} [width]
 * @param {number} [height]
 * @param {Geometry} [geometry]
 */
function cameraOn(width = 1280, height = 640, geometry = BILLION) {
  const camera = new Camera(geometry);
  camera.resize(width, height, false);
  return camera;
}

const SCREENS = [[320, 400], [390, 600], [936, 800], [1280, 640], [1920, 1000], [2560, 1300], [3840, 2000]];

test('the whole board fits at the smallest zoom and stands in the middle', () => {
  for (const [width, height] of SCREENS) {
    const camera = cameraOn(width, height);
    camera.stand({ x: 0, y: 0, z: 0 });
    const { left, top, width: columns, height: rows } = camera.window;
    assert.ok(left <= 0 && top <= 0 && left + columns >= 40_000 && top + rows >= 25_000, `${width} x ${height}`);
    assert.deepEqual([camera.x, camera.y], [20_000, 12_500]);
    assert.equal(camera.level, 'board');
  }
});

test('checkboxes are at least 16 px large and never more than the page can bear', () => {
  for (const [width, height] of SCREENS) {
    const { zClose, zNatural, zMax } = cameraOn(width, height);
    assert.ok(zClose >= CLOSE_MIN_PX && Number.isInteger(zClose));
    assert.ok(cellsAcross(width, zClose) * cellsAcross(height, zClose) <= CELLS_MAX);
    assert.ok(zClose <= zNatural && zNatural <= zMax);
  }
});

test('a window from which tiles are loaded never touches more than 25, wherever it lies', () => {
  for (const [width, height] of SCREENS) {
    const camera = cameraOn(width, height);
    for (let step = 0; step < 200; step++) {
      camera.stand({ x: 5_000 + step * 7.3, y: 5_000 + step * 11.9, z: camera.zLoad });
      const tiles = BILLION.tilesIn(camera.window);
      assert.ok(tiles.length <= TILES_LOADED_MAX, `${tiles.length} tiles on ${width} x ${height}`);
      assert.deepEqual(camera.tilesWanted, tiles);
    }
    camera.stand({ x: 5_000, y: 5_000, z: camera.zLoad * 0.99 });
    assert.deepEqual(camera.tilesWanted, []);
  }
});

test('zooming keeps the place under the pointer', () => {
  const camera = cameraOn();
  camera.stand({ x: 12_345, y: 6_789, z: 28 });
  const before = camera.under(300, 200);
  for (const z of [14, 3, 0.9, 5, 40]) {
    camera.zoomAt(z, 300, 200);
    const after = camera.under(300, 200);
    assert.ok(Math.abs(after.x - before.x) < 1e-6 && Math.abs(after.y - before.y) < 1e-6, `at ${z}`);
  }
});

test('zooming stops at both ends and does not drift there', () => {
  const camera = cameraOn();
  camera.stand({ x: 12_345, y: 6_789, z: 1_000 });
  assert.equal(camera.z, camera.zMax);
  const { x, y } = camera;
  camera.zoomAt(2_000, 10, 10);
  assert.deepEqual([camera.x, camera.y, camera.z], [x, y, camera.zMax]);
});

test('panning a distance on the screen moves by that many boxes and stops at the edge', () => {
  const camera = cameraOn();
  camera.stand({ x: 1_000, y: 1_000, z: 28 });
  camera.pan(280, -140);
  assert.deepEqual([camera.x, camera.y], [1_010, 995]);
  camera.pan(-1e9, -1e9);
  assert.deepEqual([camera.window.left, camera.window.top], [-0.5, -0.5]);
  camera.pan(1e9, 1e9);
  const { left, top, width, height } = camera.window;
  assert.ok(left + width > 40_000 && top + height > 25_000);
  assert.ok((left + width - 40_000) * 28 >= 56, 'the last column comes out from under the zoom buttons');
});

test('near enough to checkboxes the zoom rests on whole pixels, elsewhere where it is', () => {
  const camera = cameraOn(390, 600);
  for (const [z, rest] of [[0.3, 0.3], [7.7, 7.7], [15.9, 16], [28.4, 28], [55.9, 56]]) {
    camera.stand({ x: 500, y: 500, z });
    assert.equal(camera.restZoom, rest, `from ${z}`);
  }
});

test('two taps lead from the whole board to a box, two steps back lead out', () => {
  for (const [width, height] of SCREENS) {
    const camera = cameraOn(width, height);
    camera.stand({ x: 500, y: 500, z: 0 });
    const first = camera.zoomAfter(camera.z);
    assert.equal(camera.levelAt(first), width < 3_000 ? 'boxes' : camera.levelAt(first), `${width} x ${height}`);
    const second = camera.levelAt(first) === 'close' ? first : camera.zoomAfter(first);
    assert.equal(second, camera.zNatural);
    camera.stand({ x: 500, y: 500, z: second });
    camera.stand({ x: 500, y: 500, z: camera.zoomBefore });
    assert.notEqual(camera.level, 'close');
    assert.equal(camera.zoomBefore, camera.zMin);
  }
});

test('a board smaller than the screen is not blown up, and its boxes can be checked', () => {
  for (const boxes of [1, 33, 1_000]) {
    const camera = cameraOn(1280, 640, new Geometry(boxes));
    camera.stand({ x: 0, y: 0, z: 0 });
    assert.ok(camera.zMin <= camera.zNatural);
    assert.equal(camera.z, camera.zMin);
    assert.ok(camera.level !== 'close' || Number.isInteger(camera.restZoom), `${boxes} boxes`);
  }
});

test('a board of few tiles is loaded whole', () => {
  const camera = cameraOn(1280, 640, new Geometry(250_000));
  camera.stand({ x: 0, y: 0, z: 0 });
  assert.deepEqual([...camera.tilesWanted].sort(), [0, 1, 2]);
  assert.equal(camera.level, 'boxes');
});

test('when only the lower edge of the board moves, what is seen stays where it is', () => {
  const camera = cameraOn(390, 600);
  camera.stand({ x: 5_000, y: 7_000, z: 36 });
  const before = camera.under(100, 50);
  for (const height of [619, 300, 600]) {
    camera.resize(390, height, false);
    const after = camera.under(100, 50);
    assert.ok(Math.hypot(after.x - before.x, after.y - before.y) < 1e-9, `${height}`);
  }
});

test('a board that is turned keeps the place in its middle', () => {
  const camera = cameraOn(390, 600);
  camera.stand({ x: 5_000, y: 7_000, z: 36 });
  camera.resize(800, 300, false);
  assert.deepEqual([camera.x, camera.y, camera.z], [5_000, 7_000, 36]);
});

test('the whole board stays the whole board at any size', () => {
  const camera = cameraOn(390, 600);
  camera.stand({ x: 0, y: 0, z: 0 });
  for (const [width, height] of SCREENS) {
    camera.resize(width, height, false);
    assert.equal(camera.z, camera.zMin, `${width} x ${height}`);
  }
});
