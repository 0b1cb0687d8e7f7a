// Server-sent events, in whatever pieces they arrive.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Events } from '../../dashboard/events.js';

test('events are the same in whatever pieces they arrive', () => {
  const text = 'event: caller\ndata: {"role":"viewer"}\n\nevent: stats\ndata: one\ndata:two\n\n: a comment\n\ndata: three\n\n';
  const wanted = [
    { event: 'caller', data: '{"role":"viewer"}' },
    { event: 'stats', data: 'one\ntwo' },
    { event: 'message', data: 'three' },
  ];
  for (let size = 1; size <= text.length; size++) {
    const events = new Events();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...events.feed(text.slice(at, at + size)));
    assert.deepEqual(found, wanted, `pieces of ${size}`);
  }
});

test('one that never ends is given up', () => {
  const events = new Events();
  events.feed('data: ');
  assert.throws(() => {
    for (let times = 0; times < 100; times++) events.feed('x'.repeat(100_000));
  }, RangeError);
});
