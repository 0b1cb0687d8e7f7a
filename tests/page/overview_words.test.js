import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Census } from '../../static/census.js';
import { Geometry } from '../../static/geometry.js';
import { hereWords, reachOf } from '../../static/overview_words.js';

const BILLION = new Geometry(1_000_000_000);

test('a window of one tile is in it, one of several is around it, and one of all is nowhere', () => {
  const window = { left: 20_100, top: 12_600, width: 34, height: 28 };
  assert.equal(reachOf(BILLION, window), 'tile');
  assert.equal(reachOf(BILLION, { ...window, width: 3_000, height: 2_000 }), 'around');
  assert.equal(reachOf(BILLION, { left: -200, top: -9_000, width: 41_000, height: 43_000 }), 'whole');
  assert.equal(reachOf(BILLION, { left: 200, top: -9_000, width: 41_000, height: 43_000 }), 'around');
});

test('the words under the small map name the tile, or all of the board with all that is checked', () => {
  const census = new Census(BILLION, () => 0);
  census.learn(5_050, 30);
  census.learn(7, 4);
  const range = '505,000,001 – 505,100,000';
  assert.deepEqual(hereWords(BILLION, census, 5_050, 'tile'), { label: 'You are in', range, count: '30 checked' });
  assert.deepEqual(hereWords(BILLION, census, 5_050, 'around'), { label: 'Around', range, count: '30 checked' });
  const all = { label: 'You see', range: '1 – 1,000,000,000', count: '34 checked' };
  assert.deepEqual(hereWords(BILLION, census, 5_050, 'whole'), all);
});
