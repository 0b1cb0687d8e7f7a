// Links as they are written, and as they arrive after chat programs had them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { formatHash, readLink, readPlace } from '../../static/place.js';

const BOXES = 1_000_000_000;

/** @param {string} address what follows the path */
function read(address) {
  const { hash, search } = new URL(address, 'https://boxes.example/');
  return readLink({ hash, search }, BOXES);
}

test('a link carries a box and a zoom', () => {
  assert.deepEqual(read('#b=123456789&z=0.5'), { spot: { id: 123_456_789, z: 0.5 } });
  assert.deepEqual(read('#z=28&b=1'), { spot: { id: 1, z: 28 } });
});

test('a link of the days before there was a zoom still leads there', () => {
  assert.deepEqual(read('#b=123456789'), { spot: { id: 123_456_789, z: undefined } });
});

test('a link that a chat program mangled leads where it was meant to', () => {
  const mangled = [
    ...['#b%3D500000000', '#b%253D500000000', '#%62=500000000', '#b=500000000.', '#b=500000000,', '#b=500000000)'],
    ...['#b=500000000%20', '#b=500000000%29.', '#b=500000000%E2%80%A6', '#b=500000000>', '#b=500000000%22', '#b=500000000%27'],
    ...['#b=500000000**', '#b=500000000_', '#b=500000000]', '#b=500000000!', '#b=500000000?', '#b=500000000;', '#b=500000000%0A'],
    ...['#B=500000000', '#b:500000000', '#b=%20500000000', '#b=500,000,000', '#b=500.000.000', '#b=500%20000%20000'],
    ...['#500000000', '#500,000,000', '#/b=500000000', '#!b=500000000', '#?b=500000000', '##b=500000000', '#box500000000'],
    ...['?b=500000000', '?utm_source=chat&b=500000000', '?b=500000000&fbclid=x1', '?b%3D500000000', '#b=５００００００００', '#b=٥٠٠٠٠٠٠٠٠'],
    ...['#b=500000000%', '#b=500000000%2', '#b=500000000&amp;', '#b=500000000%20look%20at%207%20of%20them', '#b=500000000\u200b'],
  ];
  for (const address of mangled) {
    assert.deepEqual(read(address), { spot: { id: 500_000_000, z: undefined } }, address);
  }
});

test('the zoom of a mangled link is read as well', () => {
  for (const address of ['#b=5&z=0.5,', '#b%3D5%26z%3D0.5', '#b=5&amp;z=0.5', '#b=5&z=0,5', '#b=5&z=0.5.', '?b=5&z=0.5', '#b=5,z=0.5', '#b=5;z=.5)']) {
    assert.deepEqual(read(address), { spot: { id: 5, z: 0.5 } }, address);
  }
});

test('a zoom that makes no sense is ignored, the place is not', () => {
  for (const zoom of ['', '0', '-1', 'NaN', 'Infinity', '1e9', 'near', '.', '99999']) {
    assert.deepEqual(read(`#b=7&z=${zoom}`), { spot: { id: 7, z: undefined } }, zoom);
  }
});

test('a link that cannot be followed says why', () => {
  const unreadable = 'This link names no box, so nobody knows where it leads.';
  for (const address of ['#b=', '#b=1e3', '#b=five', '#z=3', '#help', '#b=12ab', '#b%3D', '?b=', '#b=%FF']) {
    assert.deepEqual(read(address), { problem: unreadable }, address);
  }
  /** @type {[string, string][]} */
  const outside = [
    ['#b=0', '0'],
    ['#b=1000000001', '1,000,000,001'],
    ['#b=12345678901', '12,345,678,901'],
    ['#b=-1', '-1'],
    ['#0', '0'],
  ];
  for (const [address, named] of outside) {
    const problem = `This link leads to box ${named}, but they are numbered from 1 to 1,000,000,000.`;
    assert.deepEqual(read(address), { problem }, address);
  }
});

test('an address without a place says nothing', () => {
  for (const address of ['', '#', '#.', '#/', '#!', '#%20', '?', '?utm_source=chat', '?fbclid=b5', '?ab=5']) {
    assert.equal(read(address), undefined, address);
  }
});

test('the fragment has the word, unless only the query names a box', () => {
  assert.deepEqual(read('?b=5#b=7'), { spot: { id: 7, z: undefined } });
  assert.deepEqual(read('?b=5#top'), { spot: { id: 5, z: undefined } });
});

test('what is written is read back, to three figures', () => {
  assert.equal(formatHash(7, undefined), '#b=7');
  assert.equal(formatHash(7, 0.0237612), '#b=7&z=0.0238');
  assert.equal(formatHash(7, 16), '#b=7&z=16');
  for (const z of [0.00905, 0.02, 0.5, 1.25, 12.3, 56]) {
    assert.deepEqual(readPlace(formatHash(BOXES, z), BOXES), { spot: { id: BOXES, z } });
  }
});
