import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Census } from '../../static/census.js';
import { Geometry } from '../../static/geometry.js';
import { Shading } from '../../static/shading.js';

/** @param {(tile: number) => number} countOf */
function shadingOf(countOf) {
  const census = new Census(new Geometry(1_000_000_000), () => 0);
  const shading = new Shading(census);
  for (let tile = 0; tile < 10_000; tile++) census.learn(tile, countOf(tile), false);
  shading.update(0);
  return { census, shading };
}

test('a nearly empty board is not a plane: drawings stand out from what is strewn over all tiles', () => {
  // 400,000 boxes strewn by chance are 40 a tile, give or take 6.
  const drawings = new Map([[0, 10_800], [50, 2_800], [99, 200]]);
  const { shading } = shadingOf((tile) => drawings.get(tile) ?? 34 + (tile % 13));
  const strewn = Math.max(...Array.from({ length: 40 }, (_, at) => shading.shadeOf(at + 1)));
  assert.ok(strewn < 0.5, `${strewn}`);
  assert.ok(shading.shadeOf(99) > strewn + 0.05);
  assert.ok(shading.shadeOf(50) > shading.shadeOf(99) + 0.15);
  assert.ok(shading.shadeOf(0) > shading.shadeOf(50) + 0.1);
});

test('on a board that is half full, 40 % looks different from 60 %, and full is full', () => {
  const { shading } = shadingOf((tile) => (tile === 7 ? 100_000 : 40_000 + (tile % 21) * 1_000));
  assert.ok(shading.shadeOf(20) - shading.shadeOf(0) > 0.1);
  assert.equal(shading.shadeOf(7), 1);
});

test('one box in one tile is seen, and is not the darkest there can be', () => {
  const { shading } = shadingOf((tile) => (tile === 5_050 ? 1 : 0));
  assert.equal(shading.shadeOf(0), 0);
  assert.ok(shading.shadeOf(5_050) > 0.15 && shading.shadeOf(5_050) < 0.5);
});

test('more boxes are never lighter, whatever the others have', () => {
  const { shading } = shadingOf((tile) => Math.round(1.0012 ** tile) - 1);
  for (let tile = 1; tile < 9_500; tile++) assert.ok(shading.shadeOf(tile) >= shading.shadeOf(tile - 1), `${tile}`);
});

test('the scale is made anew when the board has changed, and once a second at most', () => {
  const { census, shading } = shadingOf((tile) => (tile < 100 ? 10 : 0));
  assert.equal(shading.update(5_000), false, 'nothing has changed');
  census.learn(500, 50_000, false);
  assert.equal(shading.update(500), false, 'too soon');
  assert.equal(shading.update(1_000), true);
  census.learn(501, 40, false);
  assert.equal(shading.update(2_000), false, 'one tile among a hundred changes no scale');
});
