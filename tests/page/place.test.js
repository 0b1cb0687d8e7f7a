import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatHash, parseHash } from '../../static/place.js';

const BOXES = 1_000_000_000;

test('a link carries a box and a zoom', () => {
  assert.deepEqual(parseHash('#b=123456789&z=0.5', BOXES), { id: 123_456_789, z: 0.5 });
  assert.deepEqual(parseHash('#z=28&b=1', BOXES), { id: 1, z: 28 });
});

test('a link of the days before there was a zoom still leads there', () => {
  assert.deepEqual(parseHash('#b=123456789', BOXES), { id: 123_456_789, z: undefined });
});

test('a place that does not exist is none', () => {
  for (const hash of ['', '#', '#b=', '#b=0', '#b=1000000001', '#b=-1', '#b=1e3', '#b=12345678901', '#z=3', '#help']) {
    assert.equal(parseHash(hash, BOXES), undefined, hash);
  }
});

test('a zoom that makes no sense is ignored, the place is not', () => {
  for (const zoom of ['', '0', '-1', 'NaN', 'Infinity', '1e9', 'near', '.', '99999']) {
    assert.deepEqual(parseHash(`#b=7&z=${zoom}`, BOXES), { id: 7, z: undefined }, zoom);
  }
});

test('what is written is read back, to three figures', () => {
  assert.equal(formatHash(7, undefined), '#b=7');
  assert.equal(formatHash(7, 0.0237612), '#b=7&z=0.0238');
  assert.equal(formatHash(7, 16), '#b=7&z=16');
  for (const z of [0.00905, 0.02, 0.5, 1.25, 12.3, 56]) {
    assert.deepEqual(parseHash(formatHash(1_000_000_000, z), BOXES), { id: 1_000_000_000, z });
  }
});
