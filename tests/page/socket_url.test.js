/*
 * Which WebSocket is dialled.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { socketUrl } from '../../static/socket_url.js';

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
