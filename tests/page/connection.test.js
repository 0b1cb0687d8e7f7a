/*
 * When to dial again: soon for a player, spread out for a server, and never quickly after a broken rule.
 */

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { Connection, retryDelayMs } from '../../static/connection.js';

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

test('when the browser loses its network, the next pulse tells whether the line is dead, long before the silence does', () => {
  const page = new EventTarget();
  /** @type {Record<string, unknown>} */
  const stubs = { window: page, document: new EventTarget(), navigator: { onLine: false }, WebSocket: FakeSocket };
  const before = Object.keys(stubs).map((name) => /** @type {const} */ ([name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  for (const [name, value] of Object.entries(stubs)) Object.defineProperty(globalThis, name, { value, configurable: true });
  mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  try {
    for (const pulses of [true, false]) {
      /** @type {string[]} */
      const states = [];
      const connection = new Connection('ws://here/ws', {
        opened() {},
        received: () => connection.expectPulses(),
        stateChanged: ({ state }) => states.push(state),
      });
      connection.start(undefined);
      const socket = FakeSocket.last;
      socket.onmessage?.({ data: new ArrayBuffer(4) });
      assert.deepEqual(states, ['connecting', 'live']);
      page.dispatchEvent(new Event('offline'));
      // A server on the same machine goes on pulsing without a network.
      if (pulses) socket.onmessage?.({ data: new ArrayBuffer(4) });
      mock.timers.tick(3_000);
      assert.deepEqual(states.slice(2), pulses ? [] : ['offline']);
    }
  } finally {
    mock.timers.reset();
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else Reflect.deleteProperty(globalThis, name);
    }
  }
});

class FakeSocket {
  static OPEN = 1;
  /** @type {FakeSocket} */
  static last;

  constructor() {
    this.readyState = FakeSocket.OPEN;
    /** @type {((event: { data: ArrayBuffer }) => void) | undefined} */
    this.onmessage = undefined;
    FakeSocket.last = this;
  }

  close() {}
}
