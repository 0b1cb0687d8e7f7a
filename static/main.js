/*
 * Wires the page together and owns nothing itself. News flows one way: socket, session, board, view and overview.
 * Clicks flow back the other way: view, session, socket.
 */

import { Address } from './address.js';
import { Board } from './board.js';
import { Census } from './census.js';
import { Geometry } from './geometry.js';
import { listenToPointers, listenToWheel } from './gestures.js';
import { listenToKeys, listenToZoomButtons } from './keys.js';
import { Overview } from './overview.js';
import { connectionDisplay, listenToJumpForm, noticeDisplay, showPlayers, totalDisplay } from './page.js';
import { Session } from './session.js';
import { View } from './view.js';
import { whereDisplay } from './where.js';
import { refusalNotice } from './words.js';

const geometry = new Geometry(Number(document.body.dataset.boxes));
const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const boardElement = element('board');
const overviewElement = element('overview');

const census = new Census(geometry);
/** @type {import('./marks.js').Mine | undefined} */
const mine = undefined;

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

/** The zoom that everyone arrives at is not worth a word in the address. @type {(id: number, z: number) => import('./address.js').Spot} */
const spotOf = (id, z) => ({ id, z: z === view.camera.zNatural ? undefined : z });
const address = new Address(geometry.boxes, () => spotOf(view.current, view.camera.z));

const overview = new Overview(overviewElement, geometry, (column, row) => view.centre(column, row));

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const showNotice = noticeDisplay();
const session = new Session(`${scheme}//${location.host}/ws?v=2`, board, {
  totalChanged: totalDisplay(geometry.boxes),
  connectionChanged: connectionDisplay(),
  refused: (id, reason) => showNotice(refusalNotice(id, reason)),
  pulsed(players, tiles) {
    showPlayers(players);
    for (const { tile, checked } of tiles) {
      overview.learn(tile, checked);
      overview.glow(tile);
      census.learn(tile, checked);
    }
  },
  lacks: (tile) => census.checkedIn(tile) > (board.checkedIn(tile) ?? 0),
});
const showWhere = whereDisplay(element('where'), element('where-spoken'));

/** @param {number} tile */
function countTile(tile) {
  const checked = board.checkedIn(tile);
  if (checked === undefined) return;
  overview.learn(tile, checked);
  census.learn(tile, checked);
}

// Read before the first draw, which writes the address.
const start = address.spot;
view.start(start?.id ?? 1, start?.z);
address.listen(({ id, z }) => view.jump(id, { focus: false, z: z ?? view.camera.zNatural, silent: true }));
listenToWheel(boardElement, view);
listenToPointers(boardElement, view);
listenToKeys(boardElement, view);
listenToZoomButtons(element('zoom'), view);
listenToJumpForm(geometry.boxes, (id) => view.jump(id, { focus: true }));
session.start();

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
