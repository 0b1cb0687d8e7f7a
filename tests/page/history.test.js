// The last minutes of a figure, and the line that shows them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { History, SPAN_MS } from '../../dashboard/history.js';

test('only the last minutes are kept, and of a clock that was set back nothing', () => {
  const history = new History();
  for (let second = 0; second <= 1_000; second++) history.add(second * 1_000, second === 3 ? 99 : 1);
  assert.equal(history.points.length, SPAN_MS / 1_000 + 1);
  assert.equal(history.most, 1);
  history.add(5_000, 7);
  assert.deepEqual(history.points, [{ atMs: 5_000, value: 7 }]);
  history.add(5_000 + 2 * SPAN_MS, null);
  assert.deepEqual(history.points, []);
});

test('the line ends at the right, stands on zero, and has gaps where nothing was measured', () => {
  const history = new History();
  const now = SPAN_MS;
  history.add(now - 90_000, 5);
  history.add(now - 89_000, 10);
  for (const at of [88_000, 87_000]) history.add(now - at, null);
  history.add(now - 1_000, 0);
  history.add(now, 10);
  assert.deepEqual(history.paths(now, 180, 40), {
    line: 'M0.0 20.0h.1L2.0 0.0M178.0 40.0h.1L180.0 0.0',
    area: 'M0.0 40L0.0 20.0L2.0 0.0L2.0 40ZM178.0 40L178.0 40.0L180.0 0.0L180.0 40Z',
  });
  assert.deepEqual(new History().paths(now, 180, 40), { line: '', area: '' });
});

test('a history of seconds is not stretched over the whole width', () => {
  const history = new History();
  history.add(0, 1);
  history.add(1_000, 1);
  assert.equal(history.paths(1_000, 60, 10).line, 'M59.0 0.0h.1L60.0 0.0');
});
