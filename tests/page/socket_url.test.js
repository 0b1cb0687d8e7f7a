/*
 * Which WebSocket is dialled, and where it is asked why that failed.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { socketUrl, whyUrl } from '../../static/socket_url.js';

test('without a setting it is the one of the server that the page came from', () => {
  assert.equal(socketUrl('', 'http://localhost:8080/#b=5'), 'ws://localhost:8080/ws?v=2');
  assert.equal(socketUrl('', 'https://example.org/play/?x=1'), 'wss://example.org/ws?v=2');
  assert.equal(socketUrl('', 'https://me:secret@example.org/'), 'wss://example.org/ws?v=2');
});

test('a path is on the same server', () => {
  assert.equal(socketUrl('/game/ws?room=1', 'https://example.org/'), 'wss://example.org/game/ws?room=1&v=2');
});

test('a URL is taken as it is, with the version added once', () => {
  assert.equal(socketUrl('ws://10.0.0.1:9000/ws', 'https://example.org/'), 'ws://10.0.0.1:9000/ws?v=2');
  assert.equal(socketUrl('wss://play.example/ws?v=1&a=b', 'http://a/'), 'wss://play.example/ws?v=2&a=b');
});

test('the reason of a refusal is beside the socket', () => {
  /** @param {string} configured @param {string} page */
  const why = (configured, page) => whyUrl(socketUrl(configured, page), page);
  assert.equal(why('', 'http://localhost:8080/#b=5'), 'http://localhost:8080/ws/why?v=2');
  assert.equal(why('', 'https://example.org/play/'), 'https://example.org/ws/why?v=2');
  assert.equal(why('/boxes/ws', 'https://example.org/boxes/'), 'https://example.org/boxes/ws/why?v=2');
  assert.equal(why('/ws/?board=b', 'https://example.org/'), 'https://example.org/ws/why?board=b&v=2');
  assert.equal(why('wss://example.org:443/ws', 'https://example.org/'), 'https://example.org/ws/why?v=2');
});

test('another origin is not asked: its answer could not be read', () => {
  for (const [configured, page] of [
    ['wss://play.example/ws', 'https://example.org/'],
    ['ws://example.org/ws', 'https://example.org/'],
    ['wss://example.org:8443/ws', 'https://example.org/'],
    ['ws://127.0.0.1:8080/ws', 'http://localhost:8080/'],
  ]) {
    assert.equal(whyUrl(socketUrl(configured, page), page), undefined, configured);
  }
});
