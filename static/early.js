/*
 * Owns the first socket until the connection takes it over. Over a slow line a handshake takes as long as loading half
 * of the modules, so this one, which needs hardly any other, dials while they are under way.
 */

import { socketUrl } from './socket_url.js';

/** @typedef {{ socket: WebSocket, received: unknown[] }} EarlySocket `received`: what came before anybody listened */

/** @type {EarlySocket | undefined} */
let early = dial();

/** @returns {EarlySocket} */
function dial() {
  const socket = new WebSocket(socketUrl(document.body.dataset.websocketUrl ?? '', location.href));
  socket.binaryType = 'arraybuffer';
  /** @type {unknown[]} */
  const received = [];
  socket.onmessage = ({ data }) => received.push(data);
  return { socket, received };
}

/** Hands it over, once, unless it is gone already. */
export function takeEarly() {
  const taken = early;
  early = undefined;
  return taken && taken.socket.readyState <= WebSocket.OPEN ? taken : undefined;
}
