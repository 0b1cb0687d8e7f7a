/*
 * Who the page is to the server: asked for before the first check and not earlier, never in the way of one for longer
 * than a second, and the same after a reconnect, a sign-in, and what other tabs do.
 */

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Identity, PATIENCE_MS, readMe } from '../../static/people_identity.js';

const ANN = { user: 'ann0', name: 'Ann', is_account: true, team: { id: 't1', name: 'Foxes', colour: '#CC3311' }, ticket: 'for-ann' };
const NOBODY = { user: 'anon', name: null, is_account: false, team: null, ticket: 'for-anon' };

/** A server that says what it is given to say, one answer at a time. */
function open({ note = false, answers = /** @type {unknown[]} */ ([]) } = {}) {
  const kept = new Map(note ? [['billion.me', '1']] : []);
  /** @type {any[]} */
  const texts = [];
  /** @type {string[]} */
  const asked = [];
  /** @type {string[]} */
  const news = [];
  const world = {
    ask: async (/** @type {string} */ method, /** @type {string} */ path, /** @type {any} */ body) => {
      asked.push(`${method} ${path} ${JSON.stringify(body)}`);
      const answer = answers.shift();
      return answer === undefined ? new Promise(() => {}) : answer;
    },
    send: (/** @type {string} */ text) => texts.push(JSON.parse(text)) > 0,
    storage: {
      getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
      setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
      removeItem: (/** @type {string} */ key) => void kept.delete(key),
    },
    now: () => Date.now(),
  };
  const identity = new Identity(world, {
    changed: (me) => news.push(`me ${me?.name ?? me?.user ?? '-'}`),
    publish: (what) => news.push(`publish ${what}`),
    redial: () => news.push('redial'),
  });
  const welcome = (/** @type {string | null} */ user) => identity.hear({ type: 'welcome', data: { connection: 'c-1', user } });
  return { identity, texts, asked, news, kept, welcome };
}

const done = (/** @type {unknown} */ value) => ({ ok: true, value });
const refused = (/** @type {number} */ status, /** @type {number | undefined} */ retryAfterS = undefined) => ({ ok: false, status, detail: '', retryAfterS });
const turns = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});

test('whoever only looks is asked nothing', async () => {
  const { identity, texts, asked } = open();
  identity.opened();
  await turns();
  assert.deepEqual([texts, asked], [[], []]);
});

test('the first check waits for an identity, and the connection takes it on by a ticket', async () => {
  const { identity, texts, asked, news, kept, welcome } = open({ answers: [done(NOBODY)] });
  identity.opened();
  const waited = identity.beforeCheck();
  assert.ok(waited);
  assert.equal(identity.beforeCheck(), waited, 'the next check waits for the same');
  welcome(null);
  await turns();
  assert.deepEqual(asked, ['POST me {"connection":"c-1"}']);
  assert.deepEqual(texts.map(({ data }) => data), [{}, { ticket: 'for-anon' }]);
  assert.deepEqual(news, ['me anon']);
  welcome('anon');
  await waited;
  assert.equal(identity.beforeCheck(), undefined);
  assert.ok(kept.has('billion.me'));
});

test('a check waits for a second and not longer, whatever does not answer', async () => {
  for (const silent of ['welcome', 'request', 'ticket']) {
    const { identity, welcome } = open({ answers: silent === 'request' ? [] : [done(NOBODY)] });
    identity.opened();
    let went = false;
    void identity.beforeCheck()?.then(() => (went = true));
    if (silent !== 'welcome') welcome(null);
    await turns();
    mock.timers.tick(PATIENCE_MS - 1);
    await turns();
    assert.equal(went, false, silent);
    mock.timers.tick(1);
    await turns();
    assert.equal(went, true, silent);
    assert.equal(identity.beforeCheck(), undefined, 'nor does the next one wait again');
  }
});

test('a server that cannot say who one is keeps no check, and is asked again when it said', async () => {
  const { identity, asked, welcome } = open({ answers: [refused(503, 7), done(NOBODY)] });
  identity.opened();
  const waited = identity.beforeCheck();
  welcome(null);
  await waited;
  assert.equal(identity.beforeCheck(), undefined);
  mock.timers.tick(6_999);
  assert.equal(identity.beforeCheck(), undefined);
  assert.equal(asked.length, 1);
  mock.timers.tick(1);
  assert.equal(identity.beforeCheck(), undefined, 'asked beside the checks');
  welcome(null);
  await turns();
  assert.equal(asked.length, 2);
  assert.equal(identity.me?.user, 'anon');
});

test('a server that does not know of identities is asked once on a connection, and one that closes for it never again', async () => {
  const { identity, texts } = open();
  identity.opened();
  const waited = identity.beforeCheck();
  identity.hear({ type: 'error', data: { code: 'unknown_type', of: 'identify' } });
  await waited;
  identity.beforeCheck();
  assert.equal(texts.length, 1);
  identity.closed(1006);
  mock.timers.tick(60_000);
  identity.opened();
  const again = identity.beforeCheck();
  assert.equal(texts.length, 2);
  identity.closed(1003);
  await again;
  identity.opened();
  assert.equal(identity.beforeCheck(), undefined);
  assert.equal(texts.length, 2);
});

test('a page that had an identity asks at once, and needs no ticket where the handshake had the cookie', async () => {
  const { identity, texts, asked, welcome } = open({ note: true, answers: [done(ANN)] });
  identity.opened();
  welcome('ann0');
  await turns();
  assert.equal(identity.me?.name, 'Ann');
  assert.equal(texts.length, 1);
  // After a reconnect a glance is enough.
  identity.closed(1001);
  identity.opened();
  assert.ok(identity.beforeCheck());
  welcome('ann0');
  await turns();
  assert.equal(identity.beforeCheck(), undefined);
  assert.equal(asked.length, 1);
});

test('a connection that is lost keeps no check, and what was asked on it counts no more', async () => {
  const { identity, news, welcome } = open({ answers: [done(ANN)] });
  identity.opened();
  const waited = identity.beforeCheck();
  welcome(null);
  identity.closed(1006);
  await waited;
  await turns();
  assert.deepEqual(news, []);
});

test('after it was signed out the page is nobody, unless the cookie is that of a new sign-in', async () => {
  for (const owner of [null, 'ann0']) {
    const { identity, news, kept, asked, welcome } = open({ note: true, answers: [done(ANN), done(ANN)] });
    identity.opened();
    welcome('ann0');
    await turns();
    identity.closed(1008);
    identity.signedOut();
    assert.equal(identity.me, undefined);
    identity.opened();
    welcome(owner);
    await turns();
    assert.deepEqual(news, owner ? ['me Ann', 'me -', 'me Ann'] : ['me Ann', 'me -']);
    assert.equal(kept.has('billion.me'), owner !== null);
    assert.equal(asked.length, owner ? 2 : 1);
    assert.equal(identity.beforeCheck() === undefined, owner !== null, 'and the next check asks for an identity');
  }
});

test('who signs in is somebody else on the open connection, and other tabs hear of it', async () => {
  const { identity, texts, news, welcome } = open({ note: true, answers: [done(NOBODY)] });
  identity.opened();
  welcome('anon');
  await turns();
  void identity.adopt(ANN);
  await turns();
  assert.deepEqual(texts[1].data, { ticket: 'for-ann' });
  welcome('ann0');
  await turns();
  assert.deepEqual(news, ['me anon', 'me Ann', 'publish changed']);
});

test('a connection that stays somebody else is given up for a new one', async () => {
  const { identity, news, welcome } = open({ note: true, answers: [done(NOBODY)] });
  identity.opened();
  welcome('anon');
  await turns();
  void identity.adopt(ANN);
  await turns();
  identity.hear({ type: 'error', data: { code: 'forbidden', of: 'identify' } });
  await turns();
  assert.ok(news.includes('redial'), String(news));
});

test('what other tabs do is followed and not said again', async () => {
  const { identity, news, asked, welcome } = open({ note: true, answers: [done(NOBODY), done(ANN)] });
  identity.opened();
  welcome('anon');
  await turns();
  identity.heardOf('changed');
  welcome('anon');
  await turns();
  assert.equal(asked.length, 2);
  identity.heardOf('gone');
  assert.deepEqual(news, ['me anon', 'me Ann', 'me -', 'redial']);
  identity.heardOf('gone');
  assert.equal(news.length, 4, 'nobody need not leave');
});

test('what the server says of a player is read with care', () => {
  assert.deepEqual(readMe(ANN), { user: 'ann0', name: 'Ann', isAccount: true, team: { id: 't1', name: 'Foxes', colour: '#cc3311' } });
  assert.deepEqual(readMe({ user: 'x' }), { user: 'x', name: null, isAccount: null, team: null });
  const odd = readMe({ user: 'x', name: 7, is_account: 'yes', team: { id: 't', name: 'T', colour: 'url(x)' } });
  assert.deepEqual(odd, { user: 'x', name: null, isAccount: null, team: { id: 't', name: 'T', colour: '#8d87ab' } });
  for (const value of [null, undefined, 7, {}, { user: 7 }]) assert.equal(readMe(value), undefined);
});
