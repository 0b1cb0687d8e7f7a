/*
 * What the page makes of the server's word on why it was turned away, and how it asks.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { askWhy, readAnswer } from '../../static/turned_away.js';

test('an answer says which it was, and for how long', () => {
  const full = { status: 503, reason: 'full', retry_after_s: 7, node: '0123abcd' };
  assert.deepEqual(readAnswer(503, '7', full), { reason: 'full', retryInMs: 7_000 });
  for (const reason of ['connections', 'rate', 'draining']) {
    assert.deepEqual(readAnswer(429, null, { reason, retry_after_s: 1 }), { reason, retryInMs: 1_000 });
  }
  assert.deepEqual(readAnswer(503, '9', { reason: 'full' }), { reason: 'full', retryInMs: 9_000 });
});

test('a question that is over the limit of requests itself says the same of the handshake', () => {
  const problem = { type: 'about:quota', status: 429, 'violated-policies': ['address'] };
  for (const status of [429, 503, 403]) {
    assert.deepEqual(readAnswer(status, '3', problem), { reason: 'rate', retryInMs: 3_000 });
  }
  assert.equal(readAnswer(200, '3', problem), undefined);
});

test('what says nothing of use is no answer', () => {
  for (const [status, retryAfter, told] of /** @type {[number, string | null, unknown][]} */ ([
    [200, null, { status: 200, reason: '', retry_after_s: null }],
    [403, null, { status: 403, reason: 'origin', retry_after_s: null }],
    [429, '5', { reason: 'something new', retry_after_s: 5 }],
    [503, null, { reason: 'full', retry_after_s: null }],
    [503, 'Fri, 31 Dec 1999 23:59:59 GMT', { reason: 'full' }],
    [503, '-1', { reason: 'full' }],
    [429, null, null],
    [429, 'soon', 'no object'],
  ])) {
    assert.equal(readAnswer(status, retryAfter, told), undefined, JSON.stringify([status, retryAfter, told]));
  }
});

test('nobody waits for ever: a timer of more than 24 days would be due at once', () => {
  assert.equal(readAnswer(429, null, { reason: 'rate', retry_after_s: 1e12 })?.retryInMs, 86_400_000);
});

test('it is asked with credentials of the own origin and past every cache', async () => {
  const native = globalThis.fetch;
  /** @type {unknown[][]} */
  const asked = [];
  const { signal } = new AbortController();
  /** @param {() => Promise<Response>} answer */
  const answering = (answer) => {
    globalThis.fetch = (...question) => {
      asked.push(question);
      return answer();
    };
    return askWhy('http://here/ws/why', signal);
  };
  try {
    const told = JSON.stringify({ reason: 'full', retry_after_s: 5 });
    const answer = await answering(async () => new Response(told, { status: 503 }));
    assert.deepEqual(answer, { reason: 'full', retryInMs: 5_000 });
    assert.deepEqual(asked, [['http://here/ws/why', { cache: 'no-store', credentials: 'same-origin', signal }]]);
    // No server, and a proxy's own page.
    assert.equal(await answering(() => Promise.reject(new TypeError('Failed to fetch'))), undefined);
    assert.equal(await answering(async () => new Response('no server can take this now', { status: 503 })), undefined);
  } finally {
    globalThis.fetch = native;
  }
});
