/*
 * When to dial again: soon for a player, spread out for a server, and never quickly after a broken rule.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { retryDelayMs } from '../../static/connection.js';

const LOST = 1006;
const GOING_AWAY = 1001;
const POLICY = 1008;
const TRY_LATER = 1013;
const ALMOST_1 = 1 - Number.EPSILON;

test('pauses grow with every failure and end at a quarter of a minute', () => {
  const longest = Array.from({ length: 20 }, (_, at) => retryDelayMs(at + 1, LOST, true, ALMOST_1));
  for (let at = 1; at < longest.length; at++) assert.ok(longest[at] >= longest[at - 1]);
  assert.ok(longest[0] <= 1_000);
  assert.ok(longest[19] > 14_000 && longest[19] <= 15_000);
});

test('pauses are spread, so that a restarted server is not met by everyone at once', () => {
  for (let failures = 1; failures < 20; failures++) {
    const [soonest, latest] = [0, ALMOST_1].map((random) => retryDelayMs(failures, LOST, true, random));
    assert.ok(soonest >= 500);
    assert.ok(latest - soonest >= 400, `failure ${failures}: ${soonest} to ${latest}`);
  }
});

test('a server that says goodbye is tried again within half a second, once', () => {
  for (const code of [GOING_AWAY, TRY_LATER]) {
    assert.ok(retryDelayMs(1, code, true, ALMOST_1) <= 500);
    assert.ok(retryDelayMs(2, code, true, 0) >= 500);
  }
});

test('after a broken rule it takes ten seconds at least', () => {
  for (let failures = 1; failures < 20; failures++) {
    assert.ok(retryDelayMs(failures, POLICY, true, 0) >= 10_000);
    assert.ok(retryDelayMs(failures, POLICY, true, ALMOST_1) <= 60_000);
  }
});

test('without a network it still tries now and then', () => {
  assert.equal(retryDelayMs(1, LOST, false, 0), 15_000);
});
