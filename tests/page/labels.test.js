import assert from 'node:assert/strict';
import { test } from 'node:test';

import { strengths } from '../../static/labels.js';

test('at every zoom there are words on the tiles, and nearly everywhere of one kind', () => {
  assert.deepEqual(strengths(0), { counts: 1, numbers: 0 });
  assert.deepEqual(strengths(1), { counts: 0, numbers: 1 });
  for (let near = 0; near <= 1; near += 0.05) {
    const { counts, numbers } = strengths(near);
    assert.ok(Math.max(counts, numbers) >= 0.5, `${near}`);
    if (Math.abs(near - 0.5) > 0.06) assert.deepEqual([counts, numbers].sort(), [0, 1], `${near}`);
  }
});
