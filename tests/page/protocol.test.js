/*
 * The page's half of tests/golden/frames.json, which the server's codec is held to as well.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Census } from '../../static/census.js';
import { Geometry } from '../../static/geometry.js';
import { decode, encodeCheck, encodeRange, maskBytes } from '../../static/protocol.js';
import { bytesOf, golden, hexOf } from './golden.js';

/** The ids of the set bits, as the fixture lists them. */
function checkedIn(first, mask) {
  const ids = [];
  for (let bit = 0; bit < mask.length * 8; bit++) {
    if ((mask[bit >> 3] >> (bit & 7)) & 1) ids.push(first + bit);
  }
  return ids;
}

test('the page reads the golden messages of the server', () => {
  for (const { name, hex, meaning } of golden('server')) {
    const read = decode(bytesOf(hex));
    if (read.kind === 'range') {
      const { boxes, checked, ...rest } = meaning;
      assert.deepEqual({ kind: read.kind, first: read.first }, rest, name);
      assert.equal(read.mask.length, maskBytes(boxes), name);
      assert.deepEqual(checkedIn(read.first, read.mask), checked, name);
    } else {
      assert.deepEqual(read, meaning, name);
    }
  }
});

test('the page ignores what it cannot read, and never throws', () => {
  for (const { name, hex } of golden('ignored')) {
    assert.deepEqual(decode(bytesOf(hex)), { kind: 'ignored' }, name);
  }
  for (let length = 0; length < 64; length++) {
    for (const fill of [0, 1, 255]) {
      assert.ok(decode(new Uint8Array(length).fill(fill).buffer).kind, `${length} bytes of ${fill}`);
    }
  }
});

test('the page writes the golden messages of a client', () => {
  for (const { name, hex, meaning } of golden('client')) {
    const written = meaning.kind === 'check' ? encodeCheck(meaning.id) : encodeRange(meaning.first, meaning.last);
    assert.equal(hexOf(written), hex, name);
  }
});

test('the page reads the golden overviews', () => {
  for (const { name, hex, meaning } of golden('overview')) {
    const census = new Census(new Geometry(meaning.boxes), () => 0);
    assert.ok(census.learnOverview(bytesOf(hex), 0), name);
    assert.deepEqual(meaning.checked.map((_, tile) => census.checkedIn(tile)), meaning.checked, name);
  }
});

test('the page takes no overview of another board, of another version or cut short', () => {
  const [{ hex, meaning }] = golden('overview').slice(1);
  const refuses = (boxes, bytes) => !new Census(new Geometry(boxes), () => 0).learnOverview(bytesOf(bytes), 0);
  assert.ok(refuses(meaning.boxes + 100_000, hex));
  assert.ok(refuses(meaning.boxes, hex.replace('31', '32')), 'BXO2');
  assert.ok(refuses(meaning.boxes, hex.slice(0, -2)));
  assert.ok(refuses(meaning.boxes, `${hex.slice(0, -2)}07`), 'tiles that do not add up to the total');
});
