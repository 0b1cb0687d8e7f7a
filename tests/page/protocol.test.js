/*
 * The page's half of tests/golden/frames.json, which the server's codec is held to as well.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

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
