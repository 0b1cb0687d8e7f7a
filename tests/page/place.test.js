/*
 * How a place is typed and linked.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseJump } from '../../static/place.js';

const BILLION = 1_000_000_000;

test('a number is understood however it is grouped', () => {
  const typed = ['1234567', '1,234,567', '1.234.567', '1 234 567', '1_234_567', "1'234'567", '#1234567', ' Box 1,234,567 '];
  for (const text of typed) assert.deepEqual(parseJump(text, BILLION, 0), { id: 1_234_567 }, text);
});

test('a percentage reaches both ends of the board', () => {
  const shares = [['0%', 1], ['50%', 500_000_000], ['12.5 %', 125_000_000], ['0,1%', 1_000_000], ['100%', BILLION]];
  for (const [text, id] of shares) assert.deepEqual(parseJump(text, BILLION, 0), { id }, text);
});

test('random is any box and nothing else', () => {
  assert.deepEqual(parseJump('random', BILLION, 0), { id: 1 });
  assert.deepEqual(parseJump('Random ', BILLION, 1 - Number.EPSILON), { id: BILLION });
});

test('what is no place is answered with a sentence', () => {
  for (const text of ['', '0', '1000000001', '101%', '-1', '1e9', '1,23', 'north', '5.5', '%']) {
    const found = parseJump(text, BILLION, 0);
    assert.ok('error' in found && /\.$/.test(found.error), `${text}: ${JSON.stringify(found)}`);
  }
});
