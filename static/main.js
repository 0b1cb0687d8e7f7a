/*
 * Wires the page together and owns nothing itself. News flows one way: socket, session, board, view and overview.
 * Clicks flow back the other way: view, session, socket.
 */

import { Board } from './board.js';
import { Geometry } from './geometry.js';
import { listenToDrag, listenToKeys, listenToWheel } from './gestures.js';
import { Overview } from './overview.js';
import {
  ADDRESS_REST_MS,
  connectionDisplay,
  listenToJumpForm,
  noticeDisplay,
  showPlayers,
  totalDisplay,
  whereDisplay,
} from './page.js';
import { formatHash, parseHash } from './place.js';
import { Session } from './session.js';
import { socketUrl } from './socket-url.js';
import { View } from './view.js';
import { refusalNotice } from './words.js';

const geometry = new Geometry(Number(document.body.dataset.boxes));
const boardElement = /** @type {HTMLElement} */ (document.getElementById('board'));
const overviewElement = /** @type {HTMLElement} */ (document.getElementById('overview'));

const board = new Board(geometry, {
  boxChanged(id) {
    view.boxChanged(id);
    const tile = geometry.tileOf(id);
    countTile(tile);
    if (board.stateOf(id) === 'checked') overview.glow(tile);
  },
  tileChanged(tile) {
    view.tileChanged(tile);
    countTile(tile);
  },
});

const view = new View(boardElement, geometry, board, {
  moved() {
    session.show(geometry.tilesIn(view.window));
    overview.showWindow(view.window);
    showWhere(view.current);
    writeAddressSoon();
  },
  checked: (id) => session.check(id),
});

const overview = new Overview(overviewElement, geometry, (column, row) => view.centre(column, row));

const showNotice = noticeDisplay();
const session = new Session(socketUrl(document.body.dataset.websocketUrl ?? '', location.href), board, {
  totalChanged: totalDisplay(geometry.boxes),
  connectionChanged: connectionDisplay(),
  refused: (id, reason) => showNotice(refusalNotice(id, reason)),
  pulsed(players, tiles) {
    showPlayers(players);
    for (const { tile, checked } of tiles) {
      overview.learn(tile, checked);
      overview.glow(tile);
    }
  },
});
const showWhere = whereDisplay(geometry);

/** @param {number} tile */
function countTile(tile) {
  const checked = board.checkedIn(tile);
  if (checked !== undefined) overview.learn(tile, checked);
}

let addressTimer = 0;

function writeAddressSoon() {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    history.replaceState(history.state, '', formatHash(view.current));
  }, ADDRESS_REST_MS);
}

window.addEventListener('hashchange', () => {
  const id = parseHash(location.hash, geometry.boxes);
  if (id !== undefined) view.jump(id, { focus: false });
});

// Read before the first draw, which writes the address.
const startId = parseHash(location.hash, geometry.boxes);
view.start();
if (startId !== undefined) view.jump(startId, { focus: false });
listenToWheel(boardElement, view);
listenToDrag(boardElement, view);
listenToKeys(boardElement, view);
listenToJumpForm(geometry.boxes, (id) => view.jump(id, { focus: true }));
session.start();

// For tests and for the curious: reading and moving, no way around the session.
Object.defineProperty(window, 'billion', {
  value: Object.freeze({
    get total() {
      return session.total;
    },
    stateOf(/** @type {number} */ id) {
      return geometry.has(id) ? board.stateOf(id) : undefined;
    },
    jump(/** @type {number} */ id) {
      if (!geometry.has(id)) throw new RangeError(`there is no box ${id}`);
      view.jump(id, { focus: false });
    },
  }),
});
