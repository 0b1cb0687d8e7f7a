// What is cheered at, and that nothing is cheered at twice or to whoever was not there.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lastTotalMilestone, nextTotalMilestone, ownMilestone, remarkOn, totalMilestone } from '../../static/milestones.js';

test('own boxes are cheered at ever more rarely', () => {
  const cheered = Array.from({ length: 3000 }, (_, at) => at + 1).filter((count) => ownMilestone(count));
  assert.deepEqual(cheered, [1, 10, 25, 42, 50, 75, 100, 200, 250, 500, 750, 1000, 2000, 2500]);
});

test('round totals are cheered at by whoever saw them pass', () => {
  assert.equal(totalMilestone(99, 100), 100);
  assert.equal(totalMilestone(100, 101), undefined);
  assert.equal(totalMilestone(999_990, 1_000_020), 1_000_000);
  assert.equal(totalMilestone(0, 500), undefined, 'the first total is no news');
  assert.equal(totalMilestone(400, 5_000), undefined, 'nor is one after a long time away');
  assert.equal(totalMilestone(150, 140), undefined);
  assert.deepEqual([0, 99, 100, 200, 500, 1_999, 999_999_999].map(nextTotalMilestone), [100, 100, 200, 500, 1_000, 2_000, 1_000_000_000]);
  assert.deepEqual([0, 99, 100, 499, 500, 1_999, 1_000_000_000].map(lastTotalMilestone), [0, 0, 100, 200, 500, 1_000, 1_000_000_000]);
});

test('pretty numbers get a word, ordinary ones none', () => {
  const boxes = 1_000_000_000;
  for (const id of [1, 777, 5_000, 12_345, 12_321, 65_536, 500_000_000, boxes]) assert.ok(remarkOn(id, boxes), String(id));
  const remarked = Array.from({ length: 100_000 }, (_, at) => 300_000_000 + at).filter((id) => remarkOn(id, boxes));
  assert.ok(remarked.length < 30, `a remark stays rare: ${remarked.length} of 100,000`);
});
