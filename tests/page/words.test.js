/*
 * Numbers and refusals in words.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatNumber, formatShare, refusalNotice, turnedAwayWords, writeNumbersFor } from '../../static/words.js';

const BILLION = 1_000_000_000;

test('numbers are grouped', () => {
  assert.equal(formatNumber(0), '0');
  assert.equal(formatNumber(1_234_567), '1,234,567');
});

test('a share keeps two figures and is 100% only when nothing is missing', () => {
  const shares = [
    [0, '0%'], [1, '0.0000001%'], [12_345, '0.0012%'], [9_990_000, '1%'], [10_000_000, '1.00%'],
    [123_456_789, '12.34%'], [BILLION - 1, '99.99%'], [BILLION, '100%'],
  ];
  for (const [part, words] of shares) assert.equal(formatShare(part, BILLION), words);
});

test('a refusal names the box and why', () => {
  assert.equal(refusalNotice(1_234, 4), 'Box 1,234 was not checked: slow down a little.');
  const reasons = new Set([1, 2, 3, 4, 5, 99].map((reason) => refusalNotice(1, reason)));
  assert.equal(reasons.size, 6, 'each reason has words of its own');
});

test('whoever is turned away reads which it was, in a line that is no longer than the one it replaces', () => {
  /** @type {import('../../static/turned_away.js').Reason[]} */
  const reasons = ['full', 'connections', 'rate', 'draining'];
  const words = reasons.map(turnedAwayWords);
  assert.equal(new Set(words).size, reasons.length);
  assert.ok(words.every((line) => line.length <= 'Shared with the world. Checked stays checked.'.length - 5));
  assert.equal(turnedAwayWords(undefined), '');
});

test('numbers have the digits and separators of the reader, the words stay English', () => {
  try {
    writeNumbersFor('de-DE');
    assert.equal(formatNumber(668_849), '668.849');
    assert.equal(formatShare(668_849, BILLION), '0,067\u00a0%');
    assert.equal(formatShare(123_456_789, BILLION), '12,34\u00a0%');
    assert.equal(refusalNotice(1_234, 4), 'Box 1.234 was not checked: slow down a little.');
    writeNumbersFor('hi-IN-u-nu-deva');
    assert.equal(formatNumber(1_234_567), '१२,३४,५६७');
    // Kept apart from what is around them, so that "1 – 2" is not read from right to left.
    writeNumbersFor('ar-EG');
    assert.equal(formatNumber(1_234), '\u2066١٬٢٣٤\u2069');
  } finally {
    writeNumbersFor('en-US');
  }
});

test('a language that is none is no reason not to start', () => {
  for (const language of ['C', 'en-US@posix', '', undefined, 'tlh']) {
    writeNumbersFor(language);
    assert.equal(formatNumber(1_234_567), '1,234,567', language);
  }
});
