/*
 * Wires the page together and owns nothing itself. News flows one way: socket, session, board and census, view and
 * overview. Clicks flow back the other way: view, session, socket.
 */

import { Address } from './address.js';
import { Arrival, Guide, LastPlace, middleOf } from './arrival.js';
import { Board } from './board.js';
import { Busy, busyButton } from './busy.js';
import { cheerDisplay, confetti, sparkle } from './celebrate.js';
import { Census } from './census.js';
import { tileAtRandom } from './company.js';
import { Door, NOTE, loadPeople } from './door.js';
import { takeEarly } from './early.js';
import { Geometry, TILE_COLUMNS, TILE_ROWS } from './geometry.js';
import { listenToPointers, listenToSafariPinch, listenToWheel } from './gestures.js';
import { listenToJumpForm } from './jump.js';
import { helpDialog } from './help.js';
import { listenToKeys, listenToShortcuts, listenToZoomButtons } from './keys.js';
import { ownMilestone, remarkOn, totalMilestone } from './milestones.js';
import { Mine, keepSaved } from './mine.js';
import { MinePanel } from './mine_panel.js';
import { Operator, operatorDisplay } from './operator.js';
import { Overview } from './overview.js';
import { OverviewFeed } from './overview_feed.js';
import { listenToMapSize, tileDisplay } from './overview_words.js';
import { connectionDisplay, element, letIn, noticeDisplay, showPlayers, totalDisplay } from './page.js';
import { Pending, openStorage } from './pending.js';
import { formatHash } from './place.js';
import { Session } from './session.js';
import { socketUrl } from './socket_url.js';
import { View } from './view.js';
import { Hover, whereDisplay } from './where.js';
import { beatenNotice, formatNumber, refusalNotice } from './words.js';

/** Nobody sees a tile's colour change more often. */
const COUNT_INTERVAL_MS = 100;

/** How often Random leads to where nobody may have been. */
const FREE_LAND_SHARE = 0.2;

/** A tile is 12.5 KB, so over a slow line it comes within this, or the middle of the tile has to do. */
const TILE_PATIENCE_MS = 4_000;
/** Where something happens all the time the next check comes soon. */
const NEXT_CHECK_MS = 1_500;

const { boxes: boxesText, board: boardName = '' } = document.body.dataset;
const geometry = new Geometry(Number(boxesText));
const boardElement = element('board');
const storage = openStorage();
const mine = new Mine(storage, boardName, geometry.boxes);
const pending = new Pending(storage, boardName, geometry.boxes);
const census = new Census(geometry);
const busy = new Busy(census.now);

const board = new Board(geometry, {
  boxChanged(id) {
    view.boxChanged(id);
    if (board.stateOf(id) === 'checked' && !session.isOwn(id)) sawOther(id);
    countSoon(geometry.tileOf(id));
  },
  tileChanged(tile) {
    view.tileChanged(tile);
    guide.tileChanged(tile);
    countSoon(tile);
  },
});

/** @type {View} */
const view = new View(boardElement, geometry, { board, census, mine }, {
  moved,
  leaving: (id, z, series) => address.leaveFor(standOf(id, z), series),
  checked(id) {
    session.check(id);
    address.stayed();
  },
  stuck: () => sayStuck(),
});

function moved() {
  // Until a newcomer's place is found, nothing is worth loading or telling.
  if (!arrival.isOver) return;
  session.show(view.tiles);
  overview.showWindow(view.window);
  hover.moved();
  address.moved();
  door.looked();
}

/**
 * The zoom that everyone arrives at is not worth a word in the address.
 * @param {number} id
 * @param {number} z
 */
const standOf = (id, z) => {
  const { camera } = view;
  return { id, z: z === camera.zNatural ? undefined : z, close: camera.levelAt(z) === 'close' };
};
const lastPlace = new LastPlace(storage, boardName, geometry.boxes);
/** @type {Address} */
const address = new Address(geometry.boxes, {
  here: () => standOf(view.meant.id, view.meant.z),
  go({ id, z }) {
    handOn();
    view.jump(id, { focus: false, z: z ?? view.camera.zNatural, silent: true });
  },
  lost: (problem) => showNotice(problem),
  invited: (invitation) => void door.open(invitation),
  settled: (hash) => lastPlace.keep(hash),
});

/** @type {Guide} */
const guide = new Guide(board, () => view.screen, Math.random);
// A hand on the page is right, whatever was being looked for.
for (const hand of ['pointerdown', 'wheel', 'keydown']) {
  addEventListener(hand, () => handOn(), { capture: true, passive: true });
}

function handOn() {
  guide.cancel();
  arrival.giveUp();
}

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
  pointed: (tile) => showTile(overview.here, tile, overview.reach),
});
const showTile = tileDisplay(geometry, census);
listenToMapSize();
const minePanel = new MinePanel(mine, (id) => view.jump(id, { focus: true, series: 'mine' }));
const { go: goWhereBusy, show: showBusy } = busyButton(busy, {
  visit({ tile, box }) {
    if (box > 0) return view.jump(box, { focus: false, z: view.camera.zNatural, series: 'busy' });
    // Nobody says which boxes of the tile, so first all of it is in sight, and the next check there leads on.
    const z = 0.9 * Math.min(view.camera.widthPx / TILE_COLUMNS, view.camera.heightPx / TILE_ROWS);
    view.jump(middleOf(geometry, tile), { focus: false, z, series: 'busy' });
    const found = (/** @type {number} */ id) => view.jump(id, { focus: false, z: view.camera.zNatural, series: 'busy' });
    guide.lead({ tile, found, patienceMs: TILE_PATIENCE_MS, lingerMs: NEXT_CHECK_MS });
  },
  quiet: () => showNotice('Nobody else has checked anything for a while. Random leads to what others left behind.'),
});
census.listen((tile, news) => {
  if (tile === undefined || news === 0) return;
  busy.rose(tile, news);
  showBusy();
});

/** @param {number} id */
function sawOther(id) {
  busy.saw(geometry.tileOf(id), id);
  guide.saw(id);
}

/** Mostly to something, sometimes to free land. */
function goAnywhere() {
  const tile = Math.random() < FREE_LAND_SHARE ? undefined : tileAtRandom(census, overview.here, Math.random);
  const options = { focus: true, series: 'random' };
  if (tile === undefined) return view.jump(1 + Math.floor(Math.random() * geometry.boxes), options);
  if (!board.knows(tile)) view.jump(middleOf(geometry, tile), options);
  guide.lead({ tile, found: (id) => view.jump(id, options), patienceMs: TILE_PATIENCE_MS });
}

keepSaved(mine, () => showNotice('Your boxes count, but this browser stores nothing for this page: it will forget which were yours.'));

const showNotice = noticeDisplay();
const cheer = cheerDisplay();
const showTotal = totalDisplay(geometry.boxes);
const showConnection = connectionDisplay(() => session.connection.retryNow());
const isBehind = (/** @type {number} */ tile) => census.checkedIn(tile) > (board.checkedIn(tile) ?? 0);
let lastTotal = 0;
let players = 0;

const url = socketUrl(document.body.dataset.websocketUrl ?? '', location.href);
/** @type {Operator} */
const operator = new Operator(operatorDisplay((place) => operator.dismiss(place)));

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
    operator.reopened();
    feed.lost();
    census.doubt();
  },
  greeted: () => feed.greeted(),
  said(text) {
    operator.hear(text);
    door.hear(text);
  },
  opened: () => door.opened(),
  closed: (code, reason) => door.closed(code, reason),
  beforeCheck: () => door.beforeCheck(),
  confirmed(id) {
    busy.checkedOwn(geometry.tileOf(id));
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
    operator.settled();
    players = online;
    showPlayers(online);
    for (const { tile, checked } of tiles) census.learn(tile, checked, true);
  },
});
/** @type {Door} */
const door = new Door({ storage, notice: (text) => showNotice(text) }, () => loadPeople({
  base: document.body.dataset.base ?? '',
  hasChat: 'chat' in document.body.dataset,
  send: (text) => session.connection.send(text),
  redial: () => session.connection.renew(),
  here: () => (view.camera.level === 'close' ? geometry.tileOf(view.current) : undefined),
  storage,
  notice: (text) => showNotice(text),
}));
element('me').addEventListener('click', () => void door.open());
addEventListener('storage', ({ key }) => {
  if (key === NOTE) door.noted();
});
const showWhere = whereDisplay(element('where'), element('where-spoken'));
const hover = new Hover(boardElement, view, (box) => showWhere(view.camera, view.current, box));

const sayStuck = once(() => showNotice('Already checked, for good. Free boxes are the empty ones; Random finds some.'));

/** @param {() => void} action */
function once(action) {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}

/** @type {Arrival} */
const arrival = new Arrival({ census, busy, guide }, {
  askOverview: () => void feed.askAhead(),
  askTile: (tile) => session.show([tile]),
  landed(spot) {
    if (spot) view.appear(spot.id, spot.z);
    address.arrived();
    moved();
  },
}, Math.random);
const { link } = address;
const linked = link && 'spot' in link ? link.spot : undefined;
const start = linked ?? lastPlace.spot;
view.start(start?.id ?? 1, start?.z);
arrival.begin(start);
if (linked) {
  view.pointOut(linked.id);
  if (!lastPlace.spot) lastPlace.keep(formatHash(linked.id, linked.z));
}
if (link && 'problem' in link) showNotice(link.problem);
listenToWheel(boardElement, view);
listenToPointers(boardElement, view);
listenToSafariPinch(boardElement, view);
listenToKeys(boardElement, view);
listenToZoomButtons(element('zoom'), view);
listenToJumpForm(geometry, { jump: (id) => view.jump(id, { focus: true }), random: goAnywhere });
listenToShortcuts(boardElement, {
  '?': helpDialog(),
  '/': () => element('jump').focus(),
  j: () => element('jump').focus(),
  m: () => element('overview').focus(),
  r: () => element('jump-random').click(),
  b: goWhereBusy,
  p: () => minePanel.go(-1),
  n: () => minePanel.go(1),
});
session.start(takeEarly());
letIn();

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
      handOn();
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
      return view.flying || guide.searching || !arrival.isOver;
    },
    zoomTo(/** @type {number} */ z) {
      handOn();
      view.zoomTo(z);
    },
  }),
});
