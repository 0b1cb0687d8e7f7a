// What the jump field understands, and what it says about the rest.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Geometry } from '../../static/geometry.js';
import { parseJump } from '../../static/jump.js';

const BOXES = 1_000_000_000;
const BOARD = new Geometry(BOXES);
const SMALL = new Geometry(250_000);

test('numbers are understood however they are written', () => {
  const typed = [
    ...['1234567', '1,234,567', '1.234.567', '1 234 567', ' 1_234_567 ', "1'234'567", '1’234’567', '1\u202f234\u202f567', '1\u00a0234\u00a0567'],
    ...['1234,567', '12,34,567', '1,234.567', '1,234,567.', '+1234567', '1234567\n', '#1234567', 'Box 1,234,567', '# 1234567', 'no. 1234567', '№ 1234567'],
    ...['1.234567m', '1,234567 million', '1.234567 Mio', '١٢٣٤٥٦٧', '१२३४५६७', '１２３４５６７', '١٬٢٣٤٬٥٦٧', '1234.567k', '12.34567 lakh', '12 34 56 7'],
  ];
  for (const text of typed) assert.deepEqual(parseJump(text, BOARD), { id: 1_234_567 }, text);
});

test('shares, powers, words and shorthands are places', () => {
  /** @type {[string, number][]} */
  const places = [
    ['50%', 500_000_000], ['12.5%', 125_000_000], ['12,5 %', 125_000_000], ['.1%', 1_000_000],
    ['0%', 1], ['100%', BOXES], ['12.345%', 123_450_000], ['50 percent', 500_000_000], ['50 per cent', 500_000_000],
    ['50 Prozent', 500_000_000], ['%50', 500_000_000], ['٥٠٪', 500_000_000], ['0.067%', 670_000], ['5‰', 5_000_000],
    ['½', 500_000_000], ['1/2', 500_000_000], ['3 / 4', 750_000_000], ['¼', 250_000_000],
    ['1e6', 1_000_000], ['1.5e6', 1_500_000], ['2^20', 1_048_576], ['10^9', BOXES], ['2**10+1', 1_025],
    ['first', 1], ['Last', BOXES], ['end', BOXES], ['half', 500_000_000], ['Middle.', 500_000_000],
    ['3k', 3_000], ['1.5 million', 1_500_000], ['3 Mio', 3_000_000], ['3 Mio.', 3_000_000], ['1b', BOXES],
    ['5.', 5], ['+5', 5], ['10,00,000', 1_000_000], ['2 crore', 20_000_000],
  ];
  for (const [text, id] of places) assert.deepEqual(parseJump(text, BOARD), { id }, text);
});

test('random is a place that somebody else chooses', () => {
  for (const text of ['random', 'RANDOM', 'surprise me', 'anywhere']) assert.deepEqual(parseJump(text, BOARD), { random: true }, text);
});

test('whatever the page itself shows leads there', () => {
  const there = { id: 701_700_023 };
  const { row, column } = BOARD.placeOf(there.id);
  const texts = [
    `row ${row + 1}, column ${column + 1}`,
    `Row ${row + 1}, column ${column + 1}, box 701,700,023 of 1,000,000,000`,
    `column ${column + 1}, row ${row + 1}`,
    'Box 701,700,023',
    'pointing at box 701,700,023',
    '45 × 23 boxes around box 701,700,023',
    'Someone was faster: box 701,700,023 is checked already.',
    'https://boxes.example/#b=701700023&z=0.5',
    'https://boxes.example/?b=701700023',
    'look: https://boxes.example/#b%3D701700023.',
    '#b=701700023',
    'b=701,700,023',
  ];
  for (const text of texts) assert.deepEqual(parseJump(text, BOARD), there, text);
  assert.deepEqual(parseJump('row 17,501, column 23', BOARD), { id: BOARD.idAt(22, 17_500) });
  assert.deepEqual(parseJump('700,000,001 – 700,100,000', BOARD), { id: 700_000_001 });
  for (const label of ['You are in', 'Around', 'You see', 'Boxes']) {
    assert.deepEqual(parseJump(`${label} 700,000,001 – 700,100,000`, BOARD), { id: 700_000_001 }, label);
  }
  assert.deepEqual(parseJump('boxes 700,000,001 - 700,100,000', BOARD), { id: 700_000_001 });
});

test('everything else is explained', () => {
  const outside = 'The boxes are numbered from 1 to 250,000.';
  const unclear = 'Type a box number up to 250,000, a percentage such as 50%, or random.';
  /** @type {[string, string][]} */
  const answers = [
    ['250001', outside],
    ['0', outside],
    ['-5', outside],
    ['−5', outside],
    ['3m', outside],
    ['10^9+1', outside],
    ['99999999999999999999999', outside],
    ['box 250,001', outside],
    ['https://boxes.example/#b=250001', outside],
    ['101%', 'The board ends at 100%.'],
    ['3/2', 'The board ends at 100%.'],
    ['1/0', 'The board ends at 100%.'],
    ['-5%', 'The board begins at 0%.'],
    ['row 251, column 1', 'There are 250 rows and 1,200 columns.'],
    ['', 'Type where to go first.'],
    ['12.5', 'There are no parts of a box. Did you mean 12.5%?'],
    ['1,234.5', 'There are no parts of a box. Did you mean 1,234?'],
    ['1e99', outside],
    ['north', unclear],
    ['5 apples', unclear],
    ['2026-11-29', unclear],
    ['constructor', unclear],
  ];
  for (const [text, error] of answers) assert.deepEqual(parseJump(text, SMALL), { error }, text);
});

test('what is suggested is never refused', () => {
  for (const text of ['12.5', '0.1', '100.5', '1234.5', '1,234.56', '99999999.25', '1,23', '250000.5', '1234,5']) {
    const said = parseJump(text, SMALL);
    const suggestion = 'error' in said ? /Did you mean (.*)\?/.exec(said.error)?.[1] : undefined;
    assert.ok(suggestion, text);
    assert.ok('id' in parseJump(suggestion, SMALL), `${text}: ${suggestion}`);
  }
});
