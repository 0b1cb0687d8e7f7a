/*
 * What operators say: who it is for, how long it stands, and that hostile or future envelopes do nothing.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Operator, readEnvelope } from '../../static/operator.js';

/**
 * @param {string} id
 * @param {unknown} data
 */
const toAll = (id, data) => JSON.stringify({ type: 'notice', id, from: 'operator', to: '*', timestamp: 7, data });
const soon = { text: 'Soon', severity: 'warning', until: null };

function listening() {
  /** @type {string[]} */
  const shown = [];
  const operator = new Operator((place, said) => shown.push(`${place}: ${said?.text ?? '-'}`));
  return { operator, shown };
}

test('an envelope says where something stands, or that it does not any more', () => {
  assert.deepEqual(readEnvelope(toAll('A', soon)), {
    place: 'all',
    id: 'A',
    said: { id: 'A', text: 'Soon', severity: 'warning' },
  });
  assert.deepEqual(readEnvelope(toAll('A', null)), { place: 'all', id: 'A', said: undefined });
  const own = JSON.stringify({ type: 'notice', id: 'B', to: 'conn:1-2', data: { text: 'x', severity: 'later' } });
  assert.deepEqual(readEnvelope(own), { place: 'own', id: 'B', said: { id: 'B', text: 'x', severity: 'info' } });
});

test('what is no envelope of a kind that is known is left alone', () => {
  for (const text of ['', '{', 'null', '7', '{"type":"chat","id":"A","data":null}', toAll('A', 7), toAll('A', { text: 7 }), '{"type":"notice"}']) {
    assert.equal(readEnvelope(text), undefined, text);
  }
});

test('what is said again is shown once, and what was put away does not come back', () => {
  const { operator, shown } = listening();
  operator.hear(toAll('A', soon));
  operator.hear(toAll('A', soon));
  operator.dismiss('all');
  operator.reopened();
  operator.hear(toAll('A', soon));
  operator.settled();
  assert.deepEqual(shown, ['all: Soon', 'all: -']);
  operator.hear(toAll('B', { ...soon, text: 'Now' }));
  operator.hear(toAll('B', null));
  assert.deepEqual(shown.slice(2), ['all: Now', 'all: -']);
});

test('a notice that ended while the page was offline goes when the new connection does not speak of it', () => {
  const { operator, shown } = listening();
  operator.hear(toAll('A', soon));
  operator.hear(JSON.stringify({ type: 'notice', id: 'B', to: 'conn:1-2', data: { text: 'Hi' } }));
  operator.settled();
  operator.reopened();
  assert.deepEqual(shown, ['all: Soon', 'own: Hi'], 'nothing moves before that is known');
  operator.settled();
  assert.deepEqual(shown.slice(2), ['all: -'], 'what was said to this page alone stands');
});
