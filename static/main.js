/*
 * Wires the page together and owns nothing itself. News flows one way: socket, session, board and census, view and
 * overview. Clicks flow back the other way: view, session, socket.
 */

import { Address } from './address.js';
import { Board } from './board.js';
import { cheerDisplay, confetti, sparkle } from './celebrate.js';
import { Census } from './census.js';
import { takeEarly } from './early.js';
import { Geometry, TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { listenToPointers, listenToSafariPinch, listenToWheel } from './gestures.js';
import { listenToJumpForm } from './jump.js';
import { listenToKeys, listenToZoomButtons } from './keys.js';
import { ownMilestone, remarkOn, totalMilestone } from './milestones.js';
import { Mine, keepSaved } from './mine.js';
import { MinePanel } from './mine_panel.js';
import { Overview } from './overview.js';
import { OverviewFeed } from './overview_feed.js';
import { listenToBusyButton, listenToMapSize, tileDisplay } from './overview_words.js';
import { connectionDisplay, element, noticeDisplay, showPlayers, totalDisplay } from './page.js';
import { Pending, openStorage } from './pending.js';
import { Session } from './session.js';
import { listenToShortcuts } from './shortcuts.js';
import { socketUrl } from './socket_url.js';
import { View } from './view.js';
import { whereDisplay } from './where.js';
import { beatenNotice, formatNumber, refusalNotice } from './words.js';

/** Nobody sees a tile's colour change more often. */
const COUNT_INTERVAL_MS = 100;

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
    countSoon(geometry.tileOf(id));
  },
  tileChanged(tile) {
    view.tileChanged(tile);
    countSoon(tile);
  },
});

/** @type {View} */
const view = new View(boardElement, geometry, { board, census, mine }, {
  moved() {
    session.show(view.tiles);
    overview.showWindow(view.window);
    showWhere(view.camera, view.current);
    address.writeSoon();
  },
  leaving: (id, z) => address.leaveFor(spotOf(id, z)),
  checked: (id) => session.check(id),
});

/**
 * The zoom that everyone arrives at is not worth a word in the address.
 * @param {number} id
 * @param {number} z
 */
const spotOf = (id, z) => ({ id, z: z === view.camera.zNatural ? undefined : z });
/** @type {Address} */
const address = new Address(geometry.boxes, () => spotOf(view.current, view.camera.z));

/** Tiles to be counted: ten thousand updates a second come from a few tiles. @type {Set<number>} */
const uncounted = new Set();

/** @param {number} tile */
function countSoon(tile) {
  if (uncounted.size === 0) setTimeout(countTiles, COUNT_INTERVAL_MS);
  uncounted.add(tile);
}

function countTiles() {
  for (const tile of uncounted) {
    const checked = board.doubts(tile) ? undefined : board.checkedIn(tile);
    if (checked !== undefined) census.learn(tile, checked);
  }
  uncounted.clear();
}

// --- around the board

const feed = new OverviewFeed(census);
/** @type {Overview} */
const overview = new Overview(element('overview'), geometry, census, mine, {
  picked: (column, row) => view.visit(column, row),
  // Whoever flew there by keys goes on with them there.
  left: () => boardElement.focus({ preventScroll: true }),
  dragged: (column, row) => view.centre(column, row),
  pointed: (tile) => showTile(overview.here, tile),
});
const showTile = tileDisplay(geometry, census);
element('map-card').hidden = geometry.tiles === 1;
listenToMapSize();
const minePanel = new MinePanel(mine, (id) => view.jump(id, { focus: true }));
const goWhereBusy = listenToBusyButton(census, (tile) => {
  // The pulse does not say which boxes of the tile, so the whole tile has to be in sight.
  const { column, row } = overview.middleOf(tile);
  const z = 0.9 * Math.min(view.camera.widthPx / TILE_COLUMNS, view.camera.heightPx / TILE_ROWS);
  view.jump(geometry.nearest(column, row), { focus: false, z });
});
keepSaved(mine);

const showNotice = noticeDisplay();
const cheer = cheerDisplay();
const showTotal = totalDisplay(geometry.boxes);
const showConnection = connectionDisplay(() => session.connection.retryNow());
const isBehind = (/** @type {number} */ tile) => census.checkedIn(tile) > (board.checkedIn(tile) ?? 0);
let lastTotal = 0;
let players = 0;

const url = socketUrl(document.body.dataset.websocketUrl ?? '', location.href);
const session = new Session(url, board, pending, isBehind, {
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
    if (connection.state === 'live') return;
    feed.lost();
    census.doubt();
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
const showWhere = whereDisplay(element('where'), element('where-spoken'));

// Read before the first draw, which writes the address.
const start = address.spot;
view.start(start?.id ?? 1, start?.z);
address.listen(({ id, z }) => view.jump(id, { focus: false, z: z ?? view.camera.zNatural, silent: true }));
listenToWheel(boardElement, view);
listenToPointers(boardElement, view);
listenToSafariPinch(boardElement, view);
listenToKeys(boardElement, view);
listenToZoomButtons(element('zoom'), view);
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
session.start(takeEarly());

/*
 * For tests and for the curious: reading and moving, no way around the session. Whoever moves waits until `flying` is
 * false: then the map stands still, and where it is close every checkbox stands for a box on the screen. `zoom` is in
 * CSS pixels per box; `level` says what boxes are drawn as ('board': tiles, 'boxes': pixels, 'close': checkboxes) and
 * is also told by body[data-level]; `centre` is the box that the address names.
 */
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
    get zoom() {
      return view.camera.z;
    },
    get level() {
      return view.camera.level;
    },
    get centre() {
      return view.current;
    },
    get flying() {
      return view.flying;
    },
    zoomTo(/** @type {number} */ z) {
      view.zoomTo(z);
    },
  }),
});
