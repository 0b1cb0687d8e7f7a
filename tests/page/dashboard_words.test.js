// How the dashboard writes figures.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sentence } from '../../dashboard/api.js';
import { duration, inOne, memory, rate, refusalWords, time } from '../../dashboard/words.js';

test('figures have as many digits as one reads at a glance', () => {
  assert.deepEqual([0, 0.04, 4.26, 9.96, 12.4, 4_321, 123_456, 12_345_678].map(rate), ['0', '0.0', '4.3', '10', '12', '4,321', '123 k', '12.3 M']);
  assert.deepEqual([null, 0.26, 9.96, 250, 999.6, 2_340].map((ms) => inOne(time(ms))), ['–', '0.3 ms', '10 ms', '250 ms', '1.0 s', '2.3 s']);
  assert.deepEqual([null, 48_123_456, 1_234_567_890].map((bytes) => inOne(memory(bytes))), ['–', '48 MB', '1.2 GB']);
  assert.deepEqual([0, 59, 60, 3_661, 86_400, 90_061].map(duration), ['0 s', '59 s', '1 min', '1 h 1 min', '1 d', '1 d 1 h']);
});

test('errors are sentences, and reasons are put into words where they are known', () => {
  assert.equal(sentence('the token is not valid here'), 'The token is not valid here.');
  assert.equal(sentence('It is so.'), 'It is so.');
  assert.equal(refusalWords('full'), 'no place left');
  assert.equal(refusalWords('new one'), 'new one');
});
