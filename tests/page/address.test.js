// When the address follows the player, what becomes an entry of the history, and what a browser that refuses does to it.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Address } from '../../static/address.js';

const BOXES = 1_000_000_000;

/** What a browser does with an address: entries, one of which is shown. */
class Tab {
  constructor(/** @type {string} */ url) {
    /** @type {{ url: URL, title: string, state?: unknown }[]} */
    this.entries = [{ url: new URL(url, 'https://boxes.example/'), title: '' }];
    this.at = 0;
    /** @type {'takes' | 'throws' | 'ignores'} */
    this.mood = 'takes';
    this.changes = 0;
    /** @type {(() => void)[]} */
    this.listeners = [];
  }
  get shown() {
    return this.entries[this.at];
  }
  get hashes() {
    return this.entries.map(({ url }) => url.hash);
  }
  /** @param {boolean} isPush @param {unknown} state @param {string} [url] */
  change(isPush, state, url) {
    if (url === undefined) return void (this.shown.state = state);
    this.changes += 1;
    if (this.mood === 'throws') throw new DOMException('too many', 'SecurityError');
    if (this.mood === 'ignores') return;
    const entry = { url: new URL(url, this.shown.url), title: this.shown.title, state };
    this.entries.splice(isPush ? this.at + 1 : this.at, isPush ? Infinity : 1, entry);
    if (isPush) this.at += 1;
  }
  /** @param {number} by */
  go(by) {
    this.at += by;
    for (const listener of this.listeners) listener();
    for (const listener of this.listeners) listener();
  }
}

/** @param {string} url @param {Tab} [tab] one that showed the page before, and loads it anew */
function open(url, tab = new Tab(url)) {
  tab.listeners = [];
  const player = { id: 1, z: /** @type {number | undefined} */ (undefined), close: true };
  /** @type {string[]} */
  const said = [];
  /** @type {string[]} */
  const invited = [];
  Object.assign(globalThis, {
    location: {
      get hash() {
        return tab.shown.url.hash;
      },
      get search() {
        return tab.shown.url.search;
      },
      get pathname() {
        return tab.shown.url.pathname;
      },
    },
    history: {
      get state() {
        return tab.shown.state ?? null;
      },
      pushState: (/** @type {unknown} */ state, /** @type {string} */ _, /** @type {string} */ url) => tab.change(true, state, url),
      replaceState: (/** @type {unknown} */ state, /** @type {string} */ _, /** @type {string | undefined} */ url) => tab.change(false, state, url),
    },
    document: {
      get title() {
        return tab.shown.title;
      },
      set title(title) {
        tab.shown.title = title;
      },
    },
    addEventListener: (/** @type {string} */ _, /** @type {() => void} */ listener) => tab.listeners.push(listener),
  });
  document.title = 'Billion Checkboxes';
  const address = new Address(BOXES, {
    here: () => ({ ...player }),
    go: ({ id, z }) => {
      Object.assign(player, { id, z, close: z === undefined });
      address.moved();
    },
    lost: (problem) => said.push(problem),
    invited: (invitation) => invited.push(invitation),
    settled: (hash) => said.push(hash),
  });
  const { link } = address;
  if (link && 'spot' in link) Object.assign(player, link.spot, { close: link.spot.z === undefined });
  else player.id = 4_711;
  address.arrived();
  /** Wanders, frame by frame. */
  const move = (/** @type {number} */ id, /** @type {number | undefined} */ z = undefined) => {
    Object.assign(player, { id, z, close: z === undefined });
    address.moved();
  };
  const jump = (/** @type {number} */ id, series = '') => {
    address.leaveFor({ id, z: undefined, close: true }, series);
    move(id);
  };
  return { tab, player, said, invited, address, move, jump, rest: () => mock.timers.tick(1_000) };
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
});

test('an address without a place stays as it is until the player moves', () => {
  const { tab, address, move, rest } = open('/?utm_source=chat');
  address.moved();
  rest();
  assert.equal(tab.changes, 0);
  assert.equal(tab.shown.title, 'Billion Checkboxes');
  move(4_712);
  rest();
  assert.equal(tab.shown.url.href, 'https://boxes.example/?utm_source=chat#b=4712');
  assert.equal(tab.entries.length, 1);
  assert.equal(tab.shown.title, 'Box 4,712 - Billion Checkboxes');
});

test('back to an address without a place leads back to where one arrived', () => {
  const { tab, player, jump, rest } = open('/');
  jump(99);
  rest();
  assert.deepEqual(tab.hashes, ['', '#b=99']);
  tab.go(-1);
  assert.equal(player.id, 4_711);
  rest();
  assert.deepEqual([tab.shown.url.hash, tab.shown.title], ['', 'Billion Checkboxes']);
  tab.go(1);
  assert.equal(player.id, 99);
  rest();
  assert.equal(tab.changes, 1);
});

test('back to an address without a place leads there also after a reload somewhere else', () => {
  const first = open('/');
  first.jump(99);
  first.rest();
  const { tab, player, rest } = open('', first.tab);
  assert.equal(player.id, 99);
  tab.go(-1);
  rest();
  assert.equal(player.id, 4_711);
  assert.deepEqual([tab.shown.url.hash, tab.shown.title], ['', 'Billion Checkboxes']);
});

test('an entry that remembers no place gets the plain title at least', () => {
  const { tab, player, rest } = open('/#b=99');
  tab.entries.unshift({ url: new URL('/', tab.shown.url), title: 'Box 99 - Billion Checkboxes', state: { home: 'elsewhere' } });
  tab.at = 1;
  tab.go(-1);
  rest();
  assert.deepEqual([player.id, tab.shown.title], [99, 'Billion Checkboxes']);
});

test('a mangled link is put right at once, and one that cannot be read is left to be looked at', () => {
  assert.deepEqual(open('/#b%3D500000000.').tab.hashes, ['#b=500000000']);
  const query = open('/?b=5&z=0.5').tab;
  assert.equal(query.shown.url.href, 'https://boxes.example/#b=5&z=0.5');
  const { tab, rest, move } = open('/#b=abc');
  rest();
  assert.deepEqual([tab.hashes, tab.changes], [['#b=abc'], 0]);
  move(8);
  rest();
  assert.deepEqual(tab.hashes, ['#b=8']);
});

test('wandering rewrites the entry, a jump leaves one where the wandering ended', () => {
  const { tab, move, jump, rest, said } = open('/#b=5');
  move(6);
  move(7);
  jump(1_000);
  rest();
  assert.deepEqual(tab.hashes, ['#b=7', '#b=1000']);
  assert.deepEqual(tab.entries.map(({ title }) => title), ['Box 7 - Billion Checkboxes', 'Box 1,000 - Billion Checkboxes']);
  assert.equal(said.at(-1), '#b=1000', 'and it is known where the player was last');
});

test('leaving the checkboxes leaves an entry, whatever hand did it', () => {
  const { tab, player, move, rest } = open('/#b=123456789');
  move(123_456_790);
  rest();
  move(123_456_791);
  // A wheel turns for a while.
  for (const z of [12, 5, 0.5, 0.0227]) move(123_456_791, z);
  rest();
  assert.deepEqual(tab.hashes, ['#b=123456791', '#b=123456791&z=0.0227']);
  move(5_000, 0.03);
  rest();
  assert.equal(tab.entries.length, 2, 'from afar it is wandering again');
  tab.go(-1);
  assert.deepEqual([player.id, player.close], [123_456_791, true]);
  rest();
  assert.deepEqual(tab.hashes, ['#b=123456791', '#b=5000&z=0.03']);
});

test('a series is one entry, until somebody wanders on from there', () => {
  const { tab, move, jump, rest } = open('/#b=5');
  for (let id = 10; id < 200; id++) jump(id, 'random');
  assert.ok(tab.changes < 5, `${tab.changes} changes are too many for a browser`);
  rest();
  assert.deepEqual(tab.hashes, ['#b=5', '#b=199']);
  jump(300, 'random');
  rest();
  assert.deepEqual(tab.hashes, ['#b=5', '#b=300']);
  move(301);
  jump(400, 'random');
  rest();
  assert.deepEqual(tab.hashes, ['#b=5', '#b=301', '#b=400']);
  jump(7);
  jump(500, 'random');
  rest();
  assert.deepEqual(tab.hashes, ['#b=5', '#b=301', '#b=400', '#b=7', '#b=500']);
});

test('who checks a box comes back to it, and the series that led there is over', () => {
  const { tab, said, address, jump, rest } = open('/');
  address.stayed();
  rest();
  assert.deepEqual([said, tab.hashes], [['#b=4711'], ['']], 'the address is still nobody’s place');
  jump(50, 'random');
  address.stayed();
  jump(60, 'random');
  rest();
  assert.deepEqual(tab.hashes, ['', '#b=50', '#b=60']);
});

test('a jump to where one is leaves no second entry', () => {
  const { tab, jump, rest } = open('/#b=5');
  jump(5);
  jump(6);
  jump(6);
  rest();
  assert.deepEqual(tab.hashes, ['#b=5', '#b=6']);
});

for (const mood of /** @type {const} */ (['throws', 'ignores'])) {
  test(`a browser that ${mood} stops no jump and agrees within a second once it takes changes again`, () => {
    const { tab, player, jump, rest } = open('/#b=5');
    tab.mood = mood;
    jump(77);
    assert.equal(player.id, 77);
    rest();
    rest();
    assert.deepEqual(tab.hashes, ['#b=5']);
    tab.mood = 'takes';
    rest();
    assert.deepEqual(tab.hashes, ['#b=5', '#b=77'], 'and the entry is still made');
    rest();
    assert.equal(tab.shown.title, 'Box 77 - Billion Checkboxes');
  });
}

test('an edited address is followed, or told to be unreadable', () => {
  const { tab, player, said, rest } = open('/#b=5');
  const edit = (/** @type {string} */ hash) => {
    tab.entries.push({ url: new URL(hash, tab.shown.url), title: '' });
    tab.go(1);
    rest();
  };
  edit('#b=1,234');
  assert.deepEqual([player.id, tab.shown.url.hash], [1_234, '#b=1234']);
  edit('#b=somewhere');
  assert.equal(player.id, 1_234);
  assert.ok(said.includes('This link names no box, so nobody knows where it leads.'));
});

test('an invitation is taken out of the address at once and leads nowhere', () => {
  for (const pushed of [false, true]) {
    const page = pushed ? open('/#b=7') : open('/#team=in1');
    if (pushed) {
      page.tab.change(true, null, '/#team=in1');
      page.tab.go(0);
    }
    assert.deepEqual(page.invited, ['in1']);
    const here = pushed ? '#b=7' : '#b=4711';
    assert.equal(page.tab.shown.url.hash, here);
    assert.ok(!page.tab.entries.some(({ title }) => title.includes('in1')));
    page.move(9);
    page.rest();
    assert.equal(page.tab.shown.url.hash, '#b=9');
  }
});
