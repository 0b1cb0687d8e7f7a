// Where the page opens: by the link, from the last time, or beside others; and who waits for that how long.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Arrival, Guide, LastPlace, middleOf } from '../../static/arrival.js';
import { Board } from '../../static/board.js';
import { Busy } from '../../static/busy.js';
import { Census } from '../../static/census.js';
import { Geometry } from '../../static/geometry.js';

const geometry = new Geometry(1_000_000);
const NOTHING = { boxChanged() {}, tileChanged() {} };

function page() {
  const census = new Census(geometry, () => 0);
  const board = new Board(geometry, { ...NOTHING, tileChanged: (tile) => guide.tileChanged(tile) });
  const guide = new Guide(board, () => ({ columns: 30, rows: 20 }), () => 0);
  /** @type {string[]} */
  const said = [];
  const arrival = new Arrival({ census, busy: new Busy(() => 0), guide }, {
    askOverview: () => said.push('overview?'),
    askTile: (tile) => said.push(`tile ${tile}?`),
    landed: (spot) => said.push(spot ? `at ${spot.id}` : 'here'),
  }, () => 0);
  const overview = (/** @type {Record<number, number>} */ counts) => {
    const bytes = new Uint8Array(16 + 3 * geometry.tiles);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode('BXO1'));
    view.setUint32(4, geometry.boxes, true);
    view.setUint32(8, Object.values(counts).reduce((sum, count) => sum + count, 0), true);
    view.setUint32(12, geometry.tiles, true);
    for (const [tile, count] of Object.entries(counts)) {
      for (let plane = 0; plane < 3; plane++) bytes[16 + plane * geometry.tiles + Number(tile)] = count >> (8 * plane);
    }
    assert.ok(census.learnOverview(bytes.buffer, 0));
  };
  return { arrival, board, guide, said, overview };
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
});

test('who comes by a link or comes again is there at once and asks nothing', () => {
  const { arrival, said } = page();
  arrival.begin({ id: 5, z: undefined });
  assert.deepEqual([said, arrival.isOver], [['here'], true]);
});

test('a newcomer waits for the overview and then for a tile, and lands beside a checked box', () => {
  const { arrival, board, said, overview } = page();
  arrival.begin(undefined);
  assert.equal(arrival.isOver, false);
  overview({ 0: 70_000, 4: 1 });
  assert.deepEqual(said, ['overview?', 'tile 4?']);
  const mask = new Uint8Array(12_500);
  mask[0] = 0b10; // The second box of the tile; the free one below it has the most room around.
  board.learnRange(geometry.firstOf(4), mask);
  assert.deepEqual(said.slice(2), ['at 400402']);
  mock.timers.tick(60_000);
  overview({ 0: 70_000, 4: 1, 5: 900 });
  assert.equal(said.length, 3, 'later news moves nobody');
});

test('an empty board begins with its first box', () => {
  const { arrival, said, overview } = page();
  arrival.begin(undefined);
  overview({});
  assert.deepEqual(said, ['overview?', 'here']);
});

test('nobody waits for long: without an overview one stays, without the tile its middle has to do', () => {
  const deaf = page();
  deaf.arrival.begin(undefined);
  mock.timers.tick(2_500);
  assert.deepEqual(deaf.said, ['overview?', 'here']);
  deaf.overview({ 4: 1 });
  assert.equal(deaf.said.length, 2, 'what comes too late does not move the map');

  const slow = page();
  slow.arrival.begin(undefined);
  slow.overview({ 4: 1 });
  mock.timers.tick(1_500);
  assert.deepEqual(slow.said, ['overview?', 'tile 4?', `at ${middleOf(geometry, 4)}`]);
});

test('who begins without waiting stays where the map is', () => {
  const { arrival, guide, said, overview } = page();
  arrival.begin(undefined);
  overview({ 4: 1 });
  guide.cancel();
  arrival.giveUp();
  mock.timers.tick(60_000);
  assert.deepEqual(said, ['overview?', 'tile 4?', 'here']);
});

test('a guide that may linger goes to the next check of somebody else', () => {
  const { board, guide } = page();
  /** @type {number[]} */
  const found = [];
  const lead = () => guide.lead({ tile: 4, found: (box) => found.push(box), patienceMs: 4_000, lingerMs: 1_500 });
  lead();
  guide.saw(300_001);
  assert.deepEqual(found, [], 'in another tile');
  guide.saw(400_777);
  assert.deepEqual([found, guide.searching], [[400_777], false]);
  const mask = new Uint8Array(12_500);
  mask[0] = 0b10;
  lead();
  board.learnRange(geometry.firstOf(4), mask);
  mock.timers.tick(1_499);
  assert.equal(found.length, 1);
  mock.timers.tick(1);
  assert.deepEqual(found, [400_777, 400_402]);
});

test('the last place is kept for each board, and damage is as good as nothing', () => {
  /** @type {Map<string, string>} */
  const items = new Map();
  const storage = {
    getItem: (/** @type {string} */ key) => items.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void items.set(key, value),
  };
  const last = new LastPlace(storage, 'main', geometry.boxes);
  assert.equal(last.spot, undefined);
  last.keep('#b=77&z=0.5');
  assert.deepEqual(new LastPlace(storage, 'main', geometry.boxes).spot, { id: 77, z: 0.5 });
  assert.equal(new LastPlace(storage, 'other', geometry.boxes).spot, undefined);
  for (const text of ['', 'rubbish', '#b=0', '#b=1000001']) {
    last.keep(text);
    assert.equal(last.spot, undefined, text);
  }
  const forbidden = () => {
    throw new DOMException('no', 'SecurityError');
  };
  const none = new LastPlace({ getItem: forbidden, setItem: forbidden }, 'main', geometry.boxes);
  none.keep('#b=1');
  assert.equal(none.spot, undefined);
});
