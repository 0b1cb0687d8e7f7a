/*
 * When to dial again: soon for a player, spread out for a server, never quickly after a broken rule, and as late as a
 * server says that turns the page away.
 */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Connection, retryDelayMs } from '../../static/connection.js';

/** @typedef {import('../../static/connection.js').ConnectionState} ConnectionState */

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

test('when the browser loses its network, the next pulse tells whether the line is dead, long before the silence does', async () => {
  for (const pulses of [true, false]) {
    await inPage({ onLine: false }, async ({ connection, states, page }) => {
      connection.listener.received = () => connection.expectPulses();
      const socket = FakeSocket.last;
      socket.onmessage?.({ data: new ArrayBuffer(4) });
      assert.deepEqual(states.map(({ state }) => state), ['connecting', 'live']);
      page.dispatchEvent(new Event('offline'));
      // A server on the same machine goes on pulsing without a network.
      if (pulses) socket.onmessage?.({ data: new ArrayBuffer(4) });
      mock.timers.tick(3_000);
      assert.deepEqual(states.slice(2).map(({ state }) => state), pulses ? [] : ['offline']);
    });
  }
});

test('a page that is turned away says why and comes back when it was told to, and not before', async () => {
  await inPage({}, async ({ states, page, questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    assert.deepEqual(questions.map(({ url }) => url), ['http://here/ws/why']);
    await questions[0].answer({ reason: 'full', retry_after_s: 8 });
    const last = states[states.length - 1];
    assert.ok(last.state === 'offline' && last.retryInMs >= 8_000 && last.retryInMs <= 9_000, JSON.stringify(last));
    assert.equal(last.turnedAway, 'full');
    // Neither a network that is back nor somebody who looks again makes room.
    page.dispatchEvent(new Event('online'));
    document.dispatchEvent(new Event('visibilitychange'));
    mock.timers.tick(7_999);
    assert.equal(FakeSocket.dialled, 1);
    mock.timers.tick(1_001);
    assert.equal(FakeSocket.dialled, 2);
    // The words stay while it is tried, and while it is asked again.
    assert.deepEqual(states[states.length - 1], { state: 'connecting', turnedAway: 'full' });
    FakeSocket.last.onclose?.({ code: LOST });
    const again = states[states.length - 1];
    assert.ok(again.state === 'offline' && again.turnedAway === 'full', JSON.stringify(again));
    await questions[1].answer({ reason: 'connections', retry_after_s: 5 });
    assert.equal(turnedAwayIn(states), 'connections');
  });
});

test('whoever asks to try now need not wait, and once it is let in nothing is left of it', async () => {
  await inPage({}, async ({ connection, states, questions, page }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    await questions[0].answer({ reason: 'rate', retry_after_s: 3600 });
    connection.retryNow();
    assert.equal(FakeSocket.dialled, 2);
    FakeSocket.last.onmessage?.({ data: new ArrayBuffer(4) });
    assert.deepEqual(states[states.length - 1], { state: 'live' });
    // From here on it is an ordinary connection that is lost and found again.
    FakeSocket.last.onclose?.({ code: LOST });
    assert.equal(turnedAwayIn(states), undefined);
    assert.equal(questions.length, 1, 'it was let in, so there is nothing to ask');
    page.dispatchEvent(new Event('online'));
    assert.equal(FakeSocket.dialled, 3);
  });
});

test('no answer, or one that is of no use, leaves the pause as it was', async () => {
  for (const told of [{ reason: '', retry_after_s: null }, { reason: 'origin' }, undefined]) {
    await inPage({}, async ({ states, page, questions }) => {
      FakeSocket.last.onclose?.({ code: LOST });
      const before = states.length;
      await questions[0].answer(told);
      assert.equal(states.length, before, 'nothing new');
      page.dispatchEvent(new Event('online'));
      assert.equal(FakeSocket.dialled, 2, 'and a network that is back is a reason to try');
    });
  }
});

test('a server that is full and then gone is not called full any more', async () => {
  await inPage({}, async ({ states, questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    await questions[0].answer({ reason: 'full', retry_after_s: 5 });
    mock.timers.tick(6_000);
    FakeSocket.last.onclose?.({ code: LOST });
    await questions[1].answer(undefined);
    const last = states[states.length - 1];
    assert.ok(last.state === 'offline' && last.turnedAway === undefined && last.retryInMs <= 2_000, JSON.stringify(last));
    mock.timers.tick(2_000);
    assert.equal(FakeSocket.dialled, 3);
  });
});

test('a server that was full and says something else now is not called full any more', async () => {
  await inPage({}, async ({ states, questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    await questions[0].answer({ reason: 'full', retry_after_s: 5 });
    mock.timers.tick(6_000);
    FakeSocket.last.onclose?.({ code: TRY_LATER });
    assert.equal(turnedAwayIn(states), undefined);
  });
});

test('each attempt asks once, one at a time, and only the answer to the last one counts', async () => {
  await inPage({}, async ({ states, questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    mock.timers.tick(1_000);
    assert.equal(FakeSocket.dialled, 2, 'the answer is late');
    assert.equal(questions[0].signal.aborted, true);
    await questions[0].answer({ reason: 'full', retry_after_s: 9 });
    assert.deepEqual(states[states.length - 1], { state: 'connecting', turnedAway: undefined });
    FakeSocket.last.onclose?.({ code: LOST });
    assert.deepEqual(questions.map(({ signal }) => signal.aborted), [true, false]);
  });
});

test('a question without an answer is given up', async () => {
  await inPage({ onLine: false }, async ({ questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    mock.timers.tick(4_999);
    assert.equal(questions[0].signal.aborted, false);
    mock.timers.tick(1);
    assert.equal(questions[0].signal.aborted, true);
  });
});

test('who was signed out comes back soon, as somebody else, and any other broken rule still takes its time', async () => {
  for (const [reason, latestMs] of /** @type {[string, number][]} */ ([['signed out', 500], ['rate limit', 60_000]])) {
    await inPage({}, async ({ states }) => {
      FakeSocket.last.onmessage?.({ data: new ArrayBuffer(4) });
      FakeSocket.last.onclose?.({ code: POLICY, reason });
      const last = states[states.length - 1];
      assert.ok(last.state === 'offline' && last.retryInMs <= latestMs, reason);
      assert.equal(last.state === 'offline' && last.retryInMs >= 10_000, reason !== 'signed out');
    });
  }
});

test('a connection that should be somebody else\'s gives way to a new one at once, and is heard no more', async () => {
  await inPage({}, async ({ connection, states }) => {
    const old = FakeSocket.last;
    old.onmessage?.({ data: new ArrayBuffer(4) });
    connection.renew();
    assert.equal(FakeSocket.dialled, 2);
    old.onclose?.({ code: POLICY, reason: 'signed out' });
    assert.deepEqual(states.map(({ state }) => state), ['connecting', 'live', 'connecting']);
    // In a pause it only ends that.
    FakeSocket.last.onclose?.({ code: GOING_AWAY });
    connection.renew();
    assert.equal(FakeSocket.dialled, 3);
  });
});

test('only a refused handshake is asked about, and only where the answer can be read', async () => {
  for (const code of [GOING_AWAY, POLICY, TRY_LATER]) {
    await inPage({}, async ({ questions }) => {
      FakeSocket.last.onclose?.({ code });
      assert.equal(questions.length, 0, String(code));
    });
  }
  await inPage({ url: 'ws://elsewhere/ws' }, async ({ questions }) => {
    FakeSocket.last.onclose?.({ code: LOST });
    assert.equal(questions.length, 0);
  });
});

/** @param {ConnectionState[]} states */
function turnedAwayIn(states) {
  const last = states[states.length - 1];
  return last.state === 'live' ? undefined : last.turnedAway;
}

/**
 * A question why, and how it is answered: with this, or with nothing at all.
 * @typedef {{ url: string, signal: AbortSignal, answer: (told: unknown) => Promise<void> }} Question
 */

/**
 * What a test of one connection sees.
 * @typedef {{ connection: Connection, states: ConnectionState[], page: EventTarget, questions: Question[] }} Scene
 */

/**
 * Has a connection dial in a page that is made up, by a clock that stands still.
 * @param {{ url?: string, onLine?: boolean }} given
 * @param {(scene: Scene) => Promise<void>} play
 */
async function inPage({ url = 'ws://here/ws', onLine = true }, play) {
  const page = new EventTarget();
  /** @type {Question[]} */
  const questions = [];
  /** @type {(url: string, options: { signal: AbortSignal }) => Promise<Response>} */
  const fetch = (url, { signal }) =>
    new Promise((resolve, reject) => {
      questions.push({
        url,
        signal,
        answer(told) {
          if (told === undefined) reject(new TypeError('Failed to fetch'));
          else resolve(new Response(JSON.stringify(told)));
          // Reading it takes some turns.
          return new Promise((done) => setImmediate(() => setImmediate(done)));
        },
      });
    });
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const location = new URL('http://here/');
  /** @type {Record<string, unknown>} */
  const stubs = { window: page, document, location, navigator: { onLine }, WebSocket: FakeSocket, fetch };
  const before = Object.keys(stubs).map((name) => /** @type {const} */ ([name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  for (const [name, value] of Object.entries(stubs)) Object.defineProperty(globalThis, name, { value, configurable: true });
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  FakeSocket.dialled = 0;
  try {
    /** @type {ConnectionState[]} */
    const states = [];
    const connection = new Connection(url, { opened() {}, closed() {}, received() {}, stateChanged: (state) => states.push(state) });
    connection.start(undefined);
    await play({ connection, states, page, questions });
  } finally {
    mock.timers.reset();
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else Reflect.deleteProperty(globalThis, name);
    }
  }
}

class FakeSocket {
  static OPEN = 1;
  static dialled = 0;
  /** @type {FakeSocket} */
  static last;

  constructor() {
    this.readyState = FakeSocket.OPEN;
    /** @type {((event: { data: ArrayBuffer }) => void) | undefined} */
    this.onmessage = undefined;
    /** @type {((event: { code: number }) => void) | undefined} */
    this.onclose = undefined;
    FakeSocket.last = this;
    FakeSocket.dialled += 1;
  }

  close() {}
}
