// What the jump field understands, and what it says about the rest.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseJump } from '../../static/jump.js';

const BOXES = 1_000_000_000;

test('numbers are understood however they are written', () => {
  for (const typed of ['1234567', '1,234,567', '1.234.567', '1 234 567', ' 1_234_567 ', "1'234'567", '1’234’567', '#1234567', 'Box 1,234,567', '1\u202f234\u202f567', '1.234567m', '1,234567 million']) {
    assert.deepEqual(parseJump(typed, BOXES, 0), { id: 1_234_567 }, typed);
  }
});

test('shares, words and shorthands are places', () => {
  /** @type {[string, number][]} */
  const places = [
    ['50%', 500_000_000],
    ['12.5%', 125_000_000],
    ['12,5 %', 125_000_000],
    ['.1%', 1_000_000],
    ['0%', 1],
    ['100%', BOXES],
    ['first', 1],
    ['Last', BOXES],
    ['end', BOXES],
    ['half', 500_000_000],
    ['3k', 3_000],
    ['1.5 million', 1_500_000],
    ['1b', BOXES],
    ['random', 250_000_001],
    ['RANDOM', 250_000_001],
  ];
  for (const [typed, id] of places) assert.deepEqual(parseJump(typed, BOXES, 0.25), { id }, typed);
});

test('random reaches the first and the last box and nothing beyond', () => {
  assert.deepEqual(parseJump('random', 10, 0), { id: 1 });
  assert.deepEqual(parseJump('random', 10, 1 - Number.EPSILON), { id: 10 });
});

test('everything else is explained', () => {
  const outside = 'The boxes are numbered from 1 to 250,000.';
  /** @type {[string, string][]} */
  const answers = [
    ['250001', outside],
    ['0', outside],
    ['-5', outside],
    ['3m', outside],
    ['99999999999999999999999', outside],
    ['101%', 'The board ends at 100%.'],
    ['', 'Type where to go first.'],
    ['12.5', 'There are no parts of a box. Did you mean 12.5%?'],
    ['north', 'Type a box number up to 250,000, a percentage such as 50%, or random.'],
    ['1,23,456', 'Type a box number up to 250,000, a percentage such as 50%, or random.'],
  ];
  for (const [typed, error] of answers) assert.deepEqual(parseJump(typed, 250_000, 0), { error }, typed);
});
