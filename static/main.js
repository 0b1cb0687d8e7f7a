/*
 * Wires the page together and owns nothing itself. News flows one way: socket, session, board and census, view and
 * overview. Clicks flow back the other way: view, session, socket.
 */

import { Board } from './board.js';
import { cheerDisplay, confetti, sparkle } from './celebrate.js';
import { Census } from './census.js';
import { Geometry } from './geometry.js';
import { listenToDrag, listenToKeys, listenToWheel } from './gestures.js';
import { listenToJumpForm } from './jump.js';
import { ownMilestone, remarkOn, totalMilestone } from './milestones.js';
import { Mine, keepSaved } from './mine.js';
import { MinePanel } from './mine_panel.js';
import { Overview } from './overview.js';
import { OverviewFeed } from './overview_feed.js';
import { listenToBusyButton, listenToMapSize, tileDisplay } from './overview_words.js';
import {
  ADDRESS_REST_MS,
  connectionDisplay,
  element,
  noticeDisplay,
  showPlayers,
  totalDisplay,
  whereDisplay,
} from './page.js';
import { Pending, openStorage } from './pending.js';
import { formatHash, parseHash } from './place.js';
import { Session } from './session.js';
import { listenToShortcuts } from './shortcuts.js';
import { View } from './view.js';
import { beatenNotice, formatNumber, refusalNotice } from './words.js';

const { boxes: boxesText, board: boardName = '' } = document.body.dataset;
const geometry = new Geometry(Number(boxesText));
const boardElement = element('board');
const storage = openStorage();
const mine = new Mine(storage, boardName, geometry.boxes);
const pending = new Pending(storage, boardName, geometry.boxes);
const census = new Census(geometry);

const board = new Board(geometry, {
  boxChanged(id) {
    view.boxChanged(id);
    countTile(geometry.tileOf(id));
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

/** @param {number} tile */
function countTile(tile) {
  const checked = board.checkedIn(tile);
  if (checked !== undefined) census.learn(tile, checked);
}

// --- around the board

const feed = new OverviewFeed(census);
const overview = new Overview(element('overview'), geometry, census, mine, {
  picked: (column, row) => view.centre(column, row),
  dragged: (column, row) => view.centre(column, row),
  pointed: (tile) => showTile(overview.here, tile),
});
const showTile = tileDisplay(geometry, census);
element('map-card').hidden = geometry.tiles === 1;
listenToMapSize();
const minePanel = new MinePanel(mine, (id) => view.jump(id, { focus: true }));
const goWhereBusy = listenToBusyButton(census, (tile) => {
  const { column, row } = overview.middleOf(tile);
  view.centre(column, row);
});
keepSaved(mine);

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const showNotice = noticeDisplay();
const cheer = cheerDisplay();
const showTotal = totalDisplay(geometry.boxes);
const showConnection = connectionDisplay(() => session.connection.retryNow());
const isBehind = (/** @type {number} */ tile) => census.checkedIn(tile) > (board.checkedIn(tile) ?? 0);
let lastTotal = 0;
let players = 0;

const session = new Session(`${scheme}//${location.host}/ws?v=2`, board, pending, isBehind, {
  totalChanged(total) {
    const passed = totalMilestone(lastTotal, total);
    lastTotal = total;
    showTotal(total);
    if (passed === undefined) return;
    cheer(`${formatNumber(passed)} boxes are checked. Look what we did together!`);
    confetti();
  },
  connectionChanged(connection) {
    showConnection(connection);
    if (connection.state !== 'live') feed.lost();
  },
  greeted: () => feed.greeted(),
  confirmed(id) {
    if (!mine.add(id)) return;
    sparkle(id);
    const words = ownMilestone(mine.count);
    if (words !== undefined) confetti();
    const remark = words ?? remarkOn(id, geometry.boxes);
    if (remark !== undefined) cheer(remark);
  },
  beaten: (id) => showNotice(beatenNotice(id)),
  refused: (id, reason) => showNotice(refusalNotice(id, reason)),
  waitingChanged: (waiting) => minePanel.showWaiting(waiting),
  pulsed(online, tiles) {
    players = online;
    showPlayers(online);
    for (const { tile, checked } of tiles) census.learn(tile, checked, true);
  },
});
const showWhere = whereDisplay(geometry);

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
listenToShortcuts(boardElement, {
  '?': () => element('help').togglePopover(),
  '/': () => element('jump').focus(),
  j: () => element('jump').focus(),
  m: () => element('overview').focus(),
  r: () => element('jump-random').click(),
  b: goWhereBusy,
  p: () => minePanel.go(-1),
  n: () => minePanel.go(1),
});
session.start();

// For tests and for the curious: reading and moving, no way around the session.
Object.defineProperty(window, 'billion', {
  value: Object.freeze({
    get total() {
      return session.total;
    },
    get players() {
      return players;
    },
    get mine() {
      return mine.count;
    },
    census(/** @type {number} */ tile) {
      return census.known ? census.checkedIn(tile) : undefined;
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
