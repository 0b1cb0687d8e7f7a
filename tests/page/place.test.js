/*
 * How a place is linked.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatHash, parseHash } from '../../static/place.js';

const BILLION = 1_000_000_000;

test('a link leads back to where it was taken', () => {
  for (const id of [1, 123_456_789, BILLION]) {
    for (const z of [undefined, 0.03, 0.5, 2, 16, 28]) {
      assert.deepEqual(parseHash(formatHash(id, z), BILLION), { id, z });
    }
  }
  assert.equal(formatHash(123_456_789, undefined), '#b=123456789');
  assert.equal(formatHash(7, 0.123456), '#b=7&z=0.123');
});

test('a link without a box of this board leads nowhere', () => {
  for (const hash of ['', '#', '#b=', '#b=0', '#b=1000000001', '#b=1e3', '#b=-5', '#b=5.5', '#z=3', '#b=99999999999']) {
    assert.equal(parseHash(hash, BILLION), undefined, hash);
  }
});

test('a zoom that makes no sense does not spoil the place', () => {
  for (const zoom of ['0', '-3', 'x', '1e9', '99999', '']) {
    assert.deepEqual(parseHash(`#b=5&z=${zoom}`, BILLION), { id: 5, z: undefined }, zoom);
  }
  assert.deepEqual(parseHash('#z=2&utm=x&b=5', BILLION), { id: 5, z: 2 }, 'whatever else is in the address');
});
