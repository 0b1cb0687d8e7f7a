import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Flight } from '../../static/flight.js';

const WIDTH = 1280;

/** @param {number} a @param {number} b */
const near = (a, b) => Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b));

const WAYS = [
  { name: 'across the board', from: { x: 20, y: 10, z: 28 }, to: { x: 39_990, y: 24_990, z: 28 } },
  { name: 'next door', from: { x: 20, y: 10, z: 28 }, to: { x: 80, y: 40, z: 28 } },
  { name: 'straight in', from: { x: 20_000, y: 12_500, z: 0.03 }, to: { x: 20_000, y: 12_500, z: 28 } },
  { name: 'straight out', from: { x: 20_000, y: 12_500, z: 28 }, to: { x: 20_000, y: 12_500, z: 0.03 } },
  { name: 'in and aside', from: { x: 20_000, y: 12_500, z: 0.03 }, to: { x: 7, y: 9, z: 36 } },
  { name: 'nowhere', from: { x: 5, y: 5, z: 28 }, to: { x: 5, y: 5, z: 28 } },
];

for (const { name, from, to } of WAYS) {
  test(`a flight ${name} starts here, lands exactly there and takes no jump between`, () => {
    const flight = new Flight(from, to, WIDTH);
    const start = flight.at(0);
    assert.ok(near(start.x, from.x) && near(start.y, from.y) && near(start.z, from.z));
    assert.deepEqual(flight.at(flight.durationMs), to);
    assert.deepEqual(flight.at(flight.durationMs * 9), to);
    const almost = flight.at(flight.durationMs - 1e-6);
    assert.ok(Math.abs(almost.x - to.x) < 0.1 && Math.abs(almost.y - to.y) < 0.1 && near(almost.z, to.z), JSON.stringify(almost));
    let before = start;
    for (let step = 1; step <= 200; step++) {
      const now = flight.at((flight.durationMs * step) / 200);
      for (const value of [now.x, now.y, now.z]) assert.ok(Number.isFinite(value));
      assert.ok(now.z > 0);
      const movedPx = Math.hypot(now.x - before.x, now.y - before.y) * Math.min(now.z, before.z);
      assert.ok(movedPx < WIDTH / 4, `${movedPx} px in one of 200 steps`);
      assert.ok(Math.abs(Math.log(now.z / before.z)) < 0.25);
      before = now;
    }
  });
}

test('a long flight rises until both ends are in sight, a short one hardly', () => {
  const highest = (/** @type {Flight} */ flight) =>
    Math.min(...Array.from({ length: 101 }, (_, step) => flight.at((flight.durationMs * step) / 100).z));
  const [across, nextDoor] = WAYS.map(({ from, to }) => new Flight(from, to, WIDTH));
  assert.ok(highest(across) < 0.1);
  assert.ok(highest(nextDoor) > 14);
});

test('no flight takes longer than two seconds, and a longer way takes longer', () => {
  const durations = [60, 600, 6_000, 39_000].map(
    (distance) => new Flight({ x: 0, y: 0, z: 28 }, { x: distance, y: 0, z: 28 }, WIDTH).durationMs,
  );
  assert.deepEqual(durations, [...durations].sort((a, b) => a - b));
  assert.ok(durations[3] <= 2_000);
});
