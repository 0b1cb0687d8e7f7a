import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Camera } from '../../static/camera.js';
import { Geometry } from '../../static/geometry.js';
import { placeWords, whereabouts } from '../../static/where.js';

const BILLION = new Geometry(1_000_000_000);

test('wherever a click checks a box, the words name that box and its place, also where it is only painted', () => {
  const camera = new Camera(BILLION);
  camera.resize(2560, 1300, false);
  camera.stand({ x: 20_000.5, y: 12_500.5, z: 21 });
  assert.deepEqual([camera.level, camera.checksByClick], ['boxes', true]);
  assert.deepEqual(whereabouts(camera, 500_000_000), ['Box 500,000,000', 'row 12,500', ', column 40,000']);
  camera.stand({ x: 20_000.5, y: 12_500.5, z: 15 });
  assert.equal(camera.checksByClick, false);
  assert.deepEqual(whereabouts(camera, 500_000_000), ['Box 500,000,000', 'amid 171 × 87']);
});

test('a part that has no room is left out whole, and all of them together are a sentence', () => {
  assert.equal(placeWords(BILLION, 500_000_000), 'row 12,500, column 40,000');
  const camera = new Camera(BILLION);
  camera.resize(390, 600, true);
  camera.stand({ x: 0, y: 0, z: 0 });
  assert.deepEqual(whereabouts(camera, 500_000_000), ['The whole board', '1,000,000,000 boxes']);
});

test('where there are checkboxes, a click checks', () => {
  for (const [width, height] of [[320, 400], [1280, 640], [3840, 2000]]) {
    const camera = new Camera(BILLION);
    camera.resize(width, height, false);
    for (const z of [camera.zClose, camera.zNatural, camera.zMax]) {
      camera.stand({ x: 500, y: 500, z });
      assert.ok(camera.level === 'close' && camera.checksByClick, `${z} on ${width} x ${height}`);
    }
  }
});
