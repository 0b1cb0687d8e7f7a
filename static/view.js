/*
 * Owns what is on the screen: frame by frame it has the map shown where the camera is, as real checkboxes where the
 * player is close and at rest, else painted. (How the camera gets there is up to motion.js.) Gestures, keys, links and
 * the jump field move it; the board tells it what changed; it reports moves and checks. It decides nothing about what
 * a check means.
 */

import { Camera } from './camera.js';
import { Checkboxes, idOf } from './checkboxes.js';
import { listenToDensity } from './density.js';
import { Motion } from './motion.js';
import { Painter } from './painter.js';
import { listenToColours } from './palette.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./camera.js').Stand} Stand */
/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./marks.js').Mine} Mine */

/**
 * @typedef {object} ViewListener
 * @property {() => void} moved
 * @property {(id: number, z: number, series?: string) => void} leaving a flight sets off for somewhere else; flights of
 *   one series that follow each other are one journey
 * @property {(id: number) => void} checked someone clicked a box that can be checked
 * @property {(id: number) => void} stuck someone clicked a box that is checked already
 */

/** What a frame may spend on preparing checkboxes that are not shown yet. */
const ARRANGE_MS = 4;

const TOUCH = matchMedia('(pointer: coarse)');

export class View {
  /**
   * @param {HTMLElement} root
   * @param {Geometry} geometry
   * @param {{ board: Board, census: Census, mine: Mine }} known
   * @param {ViewListener} listener
   */
  constructor(root, geometry, known, listener) {
    this.root = root;
    this.geometry = geometry;
    this.board = known.board;
    this.listener = listener;
    this.camera = new Camera(geometry);
    this.motion = new Motion(this.camera, () => this.drawSoon());
    this.painter = new Painter(root, this.camera, known);
    this.checkboxes = new Checkboxes(root, geometry, known, () => this.hold(0));
    /** The box that the address and the keyboard mean: the last one aimed at, or the middle after moving away. */
    this.current = 1;
    /** The box that was aimed at last, by a jump, a link, a key or a click; it stays framed. 0 before there is one. */
    this.target = 0;
    /**
     * Where zooming out set off, or what somebody was sent to from afar: zooming in leads there. 0 once the map was moved
     * otherwise.
     */
    this.origin = 0;
    /** A box that gets the focus when there is a checkbox for it, or 0. */
    this.focusNext = 0;
    /** A box that is pointed out on arrival, or 0. */
    this.found = 0;
    this.request = 0;
    this.timer = 0;
    /** Where the listener was last told that we are. */
    this.toldStand = '';
    /** Where to stand as soon as the board has a size: a page that opens in the background may have none. */
    this.first = /** @type {{ id: number, z: number | undefined } | undefined} */ (undefined);

    root.addEventListener('click', (event) => this.clicked(event));
    root.addEventListener('pointermove', (event) => this.point(event.pointerType === 'mouse' ? event : undefined));
    root.addEventListener('pointerleave', () => this.point(undefined));
    // A click leaves the focus on its box, so the arrow keys go on from there.
    // The window stays where it is: if it moved between pressing and releasing the button, the click would be lost.
    root.addEventListener('focusin', ({ target }) => this.choose(idOf(target)));
    known.census.listen((tile) => {
      this.painter.blocks.learn(tile);
      if (!this.checkboxes.shown) this.drawSoon();
    });
    known.mine.listen((id) => {
      if (id !== undefined) this.checkboxes.boxChanged(id);
      this.drawSoon();
    });
    listenToColours(() => {
      this.painter.recolour();
      this.drawSoon();
    });
  }

  /**
   * Fills the window for the first time; from here on the listener is called.
   * @param {number} id
   * @param {number | undefined} z
   */
  start(id, z) {
    this.first = { id, z };
    this.current = id;
    this.resize();
    new ResizeObserver(() => this.resize()).observe(this.root);
    listenToDensity(() => this.resize());
  }

  /**
   * Stands somewhere at once: nothing was looked at before, so there is nothing to fly over.
   * @param {number} id
   * @param {number | undefined} z
   */
  appear(id, z) {
    this.current = id;
    if (this.first) return void (this.first = { id, z });
    this.camera.stand(this.standAt(id, z ?? this.camera.zNatural));
    this.origin = this.originAt(id, this.camera.z);
    // Nothing to look at yet, so the checkboxes may take as long as they need.
    if (this.crisp) this.checkboxes.arrange(this.camera, Infinity);
    this.draw(performance.now());
  }

  /**
   * Frames a box for as long as no other one is aimed at, and points it out for a moment.
   * @param {number} id
   */
  pointOut(id) {
    this.aimAt(id);
    this.found = id;
    this.drawSoon();
  }

  /** @param {number} id */
  aimAt(id) {
    this.target = id;
    this.checkboxes.frame(id);
    this.painter.marks.target = id;
  }

  /** The box under a point of the board's element, or 0. */
  boxUnder(/** @type {number} */ xPx, /** @type {number} */ yPx) {
    const { x, y } = this.camera.under(xPx, yPx);
    return this.geometry.idAt(Math.floor(x), Math.floor(y));
  }

  /** The part of the map that is on the screen, in boxes. */
  get window() {
    return this.camera.window;
  }

  /** The box and the zoom that are meant: where the map stands, or is on its way to. */
  get meant() {
    const { camera, motion, first, current } = this;
    return { id: current, z: first ? first.z ?? camera.zNatural : (motion.destination ?? camera).z };
  }

  /** How many boxes fit where they can be checked. */
  get screen() {
    const { widthPx, heightPx, zNatural } = this.camera;
    return { columns: Math.floor(widthPx / zNatural), rows: Math.floor(heightPx / zNatural) };
  }

  /** The tiles worth loading: those on the screen, or those where a flight is about to land. */
  get tiles() {
    const { destination } = this.motion;
    if (!destination) return this.camera.tilesWanted;
    const there = new Camera(this.geometry);
    there.resize(this.camera.widthPx, this.camera.heightPx, TOUCH.matches);
    there.stand(destination);
    return there.tilesWanted;
  }

  /** Whether the picture is on its way to somewhere, or checkboxes are about to appear. */
  get flying() {
    const settled = this.crisp ? this.checkboxes.shown : this.camera.level !== 'close';
    return this.motion.moving || !settled;
  }

  /** Whether real checkboxes belong here. */
  get crisp() {
    const { camera, motion } = this;
    return !motion.moving && !motion.zooming && camera.level === 'close' && Number.isInteger(camera.z);
  }

  /**
   * Moves by a distance on the screen, as a wheel or a finger does.
   * @param {number} dxPx
   * @param {number} dyPx
   */
  pan(dxPx, dyPx) {
    this.interrupt();
    this.camera.pan(dxPx, dyPx);
    this.wander();
    this.motion.panned();
  }

  /**
   * Puts a place into the middle at once, as dragging on the overview does.
   * @param {number} column may be a fraction
   * @param {number} row
   */
  centre(column, row) {
    this.interrupt();
    this.camera.stand({ x: column, y: row, z: this.camera.z });
    this.wander();
  }

  /**
   * Zooms around a point of the board's element, while a hand is at it.
   * @param {number} factor
   * @param {number} xPx
   * @param {number} yPx
   * @param {{ smooth: boolean, held?: boolean, dxPx?: number, dyPx?: number }} options `held`: the hand will say when it
   *   lets go; `dxPx` and `dyPx`: how far it pulls the map meanwhile
   */
  zoomBy(factor, xPx, yPx, options) {
    this.found = 0;
    const origin = factor < 1 ? this.origin || this.current : 0;
    if (options.dxPx || options.dyPx) this.camera.pan(options.dxPx ?? 0, options.dyPx ?? 0);
    this.motion.zoomBy(factor, xPx, yPx, options);
    this.wander();
    // The map ends, so on the way out something else comes to its middle; what is meant stays what it was.
    this.origin = origin;
    if (origin !== 0) this.current = origin;
  }

  /**
   * A hand is on the map, or off it: as long as it is there, the map moves with it and by nothing else.
   * @param {boolean} held
   */
  grasp(held) {
    this.motion.grasp(held);
  }

  /**
   * Zooms around the middle, as buttons and keys do.
   * @param {number} z
   */
  zoomTo(z) {
    const from = this.motion.destination ?? this.camera;
    const to = this.restZoomOf(this.camera.clampZoom(z));
    this.interrupt();
    if (to < from.z && this.origin === 0) this.origin = this.current;
    // The middle of the whole board is nobody's place: what one came out of is where one goes in again.
    const { x, y } = this.origin > 0 && to > from.z ? this.standAt(this.origin, to) : from;
    this.current = this.origin || this.geometry.nearest(x, y);
    this.depart({ x, y, z: to });
  }

  /** @param {number} factor */
  zoomStep(factor) {
    this.zoomTo((this.motion.destination?.z ?? this.camera.z) * factor);
  }

  /**
   * Flies to a box, points it out, and gives it the focus if that is wanted.
   * @param {number} id
   * @param {{ focus: boolean, z?: number, silent?: boolean, series?: string }} options `silent`: the history has it
   */
  jump(id, { focus, z, silent = false, series }) {
    if (this.first) return this.appear(id, z);
    const { camera } = this;
    const here = camera.level === 'close' && !this.motion.moving ? camera.z : camera.zNatural;
    const to = this.standAt(id, this.restZoomOf(camera.clampZoom(z ?? here)));
    if (!silent) this.listener.leaving(id, to.z, series);
    this.interrupt();
    this.origin = this.originAt(id, to.z);
    this.current = id;
    this.aimAt(id);
    this.found = id;
    this.hold(focus ? id : 0);
    this.depart(to);
  }

  /**
   * Flies to a place of the overview: to the boxes there, or from afar to what is around it.
   * @param {number} column may be a fraction
   * @param {number} row
   */
  visit(column, row) {
    const { camera } = this;
    const id = this.geometry.nearest(column, row);
    if (camera.level === 'close') return this.jump(id, { focus: false });
    this.approach({ x: column, y: row }, false);
  }

  /**
   * Flies nearer to a place that was tapped from too far to check anything there.
   * @param {{ x: number, y: number }} place
   * @param {boolean} allTheWay
   */
  approach({ x, y }, allTheWay) {
    const { camera } = this;
    const id = this.geometry.nearest(x, y);
    const z = allTheWay ? camera.zNatural : camera.zoomAfter(camera.z);
    this.listener.leaving(id, z);
    this.interrupt();
    this.origin = 0;
    this.current = id;
    if (camera.levelAt(z) === 'close') this.pointOut(id);
    this.depart({ x, y, z });
  }

  /** Flies out one level. */
  retreat() {
    this.zoomTo(this.camera.zoomBefore);
  }

  /**
   * Goes along one axis: close by from box to box, moving the window only when the destination is not inside it; from
   * afar the map itself.
   * @param {number} columns
   * @param {number} rows
   */
  step(columns, rows) {
    if (this.camera.level !== 'close') return this.pan(columns * 80, rows * 80);
    const { column, row } = this.geometry.placeOf(this.current);
    const reach = Math.max(Math.abs(columns), Math.abs(rows));
    // Where the board ends on the way, it goes as far as there are boxes.
    for (let distance = reach; distance > 0; distance--) {
      const id = this.geometry.idAt(column + Math.sign(columns) * distance, row + Math.sign(rows) * distance);
      if (id === 0) continue;
      this.aim(id);
      break;
    }
    this.focusCurrent();
  }

  /**
   * A screen up or down keeps a little of what was there, for the eye.
   * @param {1 | -1} direction
   */
  page(direction) {
    const { camera } = this;
    if (camera.level === 'close') return this.step(0, direction * Math.max(1, Math.floor(camera.window.height) - 1));
    this.pan(0, direction * camera.heightPx * 0.85);
  }

  /** What Space and Enter do when no checkbox has the focus. */
  act() {
    if (this.camera.checksByClick) this.check(this.current);
    else this.approach(this.camera, false);
  }

  /** @param {number} id */
  boxChanged(id) {
    this.checkboxes.boxChanged(id);
    this.painter.boxChanged(id);
    if (!this.checkboxes.shown) this.drawSoon();
  }

  /** @param {number} tile */
  tileChanged(tile) {
    this.checkboxes.tileChanged(tile);
    this.painter.pixels.loaded(tile);
    if (!this.checkboxes.shown) this.drawSoon();
  }

  /**
   * Makes a box that is on the screen the current one.
   * @param {number} id
   */
  choose(id) {
    if (id === 0 || id === this.current) return;
    this.current = id;
    if (this.origin !== 0) this.origin = id;
    this.aimAt(id);
    this.checkboxes.stopTabAt(id);
    this.listener.moved();
  }

  /**
   * Makes a box the current one and brings it inside.
   * @param {number} id
   */
  aim(id) {
    this.interrupt();
    const { column, row } = this.geometry.placeOf(id);
    const { left, top, width, height } = this.camera.window;
    const into = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ at) =>
      Math.max(Math.min(start, at), at + 1 - size);
    const x = into(left, width, column) + width / 2;
    const y = into(top, height, row) + height / 2;
    this.camera.stand({ x, y, z: this.camera.z });
    this.current = id;
    // If all checkboxes have to go for it, the focus comes back on this one, not on the one that it left.
    if (idOf(document.activeElement)) this.focusNext = id;
    this.draw(performance.now());
  }

  resize() {
    const { camera, root } = this;
    const widthPx = root.clientWidth;
    const heightPx = root.clientHeight;
    if (widthPx === 0 || heightPx === 0) return;
    const turned = widthPx !== camera.widthPx;
    const close = camera.level === 'close';
    camera.resize(widthPx, heightPx, TOUCH.matches);
    this.painter.resize(widthPx, heightPx);
    if (this.first) {
      const { id, z } = this.first;
      this.first = undefined;
      return this.appear(id, z);
    }
    this.motion.resized(close);
    // What is meant stays in sight, but nothing moves under a hand, nor for a keyboard that will be gone again.
    if (turned && this.crisp && !this.motion.held) this.aim(this.current);
    else this.draw(performance.now());
  }

  /** Whatever was under way ends here; the hand on the map is right. */
  interrupt() {
    this.motion.interrupt();
    this.found = 0;
  }

  /** The map was moved by hand, so the middle is what is meant now. */
  wander() {
    this.origin = 0;
    this.current = this.geometry.nearest(this.camera.x, this.camera.y);
    this.drawSoon();
  }

  /** @param {Stand} to */
  depart(to) {
    this.motion.depart(to);
    this.draw(performance.now());
  }

  /**
   * @param {number} id
   * @param {number} z
   * @returns {Stand}
   */
  standAt(id, z) {
    const { column, row } = this.geometry.placeOf(id);
    return { x: column + 0.5, y: row + 0.5, z };
  }

  /**
   * From afar a place that is meant need not be in the middle, because the map ends. Close by, it is on the screen.
   * @param {number} id
   * @param {number} z
   */
  originAt(id, z) {
    return this.camera.levelAt(z) === 'close' ? 0 : id;
  }

  /** @param {number} z */
  restZoomOf(z) {
    const { camera } = this;
    return z < camera.zClose * 0.85 ? z : Math.min(Math.max(Math.round(z), camera.zClose), camera.zMax);
  }

  /**
   * The board itself takes the focus, until there is a checkbox to hand it on to.
   * @param {number} id
   */
  hold(id) {
    const focused = document.activeElement;
    const held = focused !== null && focused !== this.root && this.root.contains(focused);
    if (id === 0 && !held) return;
    this.focusNext = id || this.focusNext || idOf(focused);
    this.root.focus({ preventScroll: true });
  }

  focusCurrent() {
    const input = this.checkboxes.inputOf(this.current);
    if (input) input.focus({ preventScroll: true });
    else this.hold(this.current);
  }

  drawSoon() {
    if (this.request === 0) this.request = requestAnimationFrame((nowMs) => this.draw(nowMs));
  }

  /** @param {number} nowMs */
  draw(nowMs) {
    if (this.first) return;
    cancelAnimationFrame(this.request);
    clearTimeout(this.timer);
    this.request = 0;
    this.timer = 0;
    const { camera, motion } = this;
    if (motion.advance(nowMs)) this.current = this.origin || this.geometry.nearest(camera.x, camera.y);
    const shown = this.showCheckboxes();
    this.painter.show(!shown);
    if (!shown) {
      const againInMs = this.painter.paint(nowMs, motion.still);
      if (againInMs === 0 || motion.moving || this.crisp) this.drawSoon();
      else if (againInMs !== undefined) this.timer = setTimeout(() => this.drawSoon(), againInMs);
      this.placeCursor();
    }
    this.tellMoved();
  }

  /** What Space means is framed for those who use keys: from afar the middle, nearer a box that need not be there. */
  placeCursor() {
    const { camera, root } = this;
    if (!camera.checksByClick) return;
    const { column, row } = this.geometry.placeOf(this.current);
    root.style.setProperty('--cursor-x', `${(column + 0.5 - camera.window.left) * camera.z}px`);
    root.style.setProperty('--cursor-y', `${(row + 0.5 - camera.window.top) * camera.z}px`);
  }

  /** Redrawing because boxes changed is no move. */
  tellMoved() {
    const { x, y, z, widthPx, heightPx } = this.camera;
    const stand = [x, y, z, widthPx, heightPx, this.current, this.motion.way?.sinceMs].join();
    if (stand === this.toldStand) return;
    this.toldStand = stand;
    this.listener.moved();
  }

  /** @returns {boolean} whether real checkboxes are what is seen */
  showCheckboxes() {
    const { checkboxes, root, camera } = this;
    const focused = idOf(document.activeElement);
    if (this.crisp) {
      // A focused checkbox that is about to become another box gives the focus to the board, not to a stranger.
      if (focused && !this.isInside(focused)) root.focus({ preventScroll: true });
      const arranged = checkboxes.arrange(camera, ARRANGE_MS);
      if (arranged) this.arrive();
      else if (root.dataset.level !== camera.level) this.showLevel();
      return arranged;
    }
    checkboxes.hide();
    this.showLevel();
    return false;
  }

  /** The checkboxes are there: whatever waited for one gets it. */
  arrive() {
    const { checkboxes, root } = this;
    checkboxes.stopTabAt(this.current);
    this.showLevel();
    if (this.focusNext !== 0) {
      if (document.activeElement === root) checkboxes.inputOf(this.focusNext)?.focus({ preventScroll: true });
      this.focusNext = 0;
    }
    if (this.found !== 0) checkboxes.animate(this.found, 'found');
    this.found = 0;
  }

  /** Says how the map is shown: to the style sheet, to tests, and to whoever cannot see it. */
  showLevel() {
    const { level, checksByClick } = this.camera;
    const { root, checkboxes } = this;
    root.tabIndex = checkboxes.shown ? -1 : 0;
    document.body.dataset.click = checksByClick ? 'checks' : 'dives';
    if (root.dataset.level === level) return;
    root.dataset.level = document.body.dataset.level = level;
    // Where there are no checkboxes, arrow keys have to reach us instead of a screen reader's own cursor.
    root.setAttribute('role', level === 'close' ? 'group' : 'application');
  }

  /** @param {number} id */
  isInside(id) {
    const { column, row } = this.geometry.placeOf(id);
    const { left, top, width, height } = this.camera.window;
    return column >= Math.floor(left) && column < left + width && row >= Math.floor(top) && row < top + height;
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const id = idOf(event.target);
    if (id) {
      // Not every browser gives the focus to a checkbox that is clicked.
      this.choose(id);
      const state = this.board.stateOf(id);
      // Boxes are never unchecked. Preventing the click puts the native mark back as it was.
      if (state === 'checked' || state === 'waiting') event.preventDefault();
      if (state === 'checked') this.refuse(id);
      else if (state !== 'waiting') this.listener.checked(id);
    } else this.tapped(event);
  }

  /** @param {MouseEvent} event */
  under({ clientX, clientY }) {
    const area = this.root.getBoundingClientRect();
    const place = this.camera.under(clientX - area.left, clientY - area.top);
    return { place, id: this.geometry.idAt(Math.floor(place.x), Math.floor(place.y)) };
  }

  /**
   * Points out the box under the pointer where it is painted but large enough to be checked.
   * @param {MouseEvent | undefined} event
   */
  point(event) {
    const id = event && !this.checkboxes.shown && this.camera.checksByClick ? this.under(event).id : 0;
    if (id === this.painter.marks.pointed) return;
    this.painter.marks.pointed = id;
    this.root.toggleAttribute('data-pointed', id !== 0);
    this.drawSoon();
  }

  /** @param {MouseEvent} event a click on the painted map, or between the round corners of checkboxes */
  tapped(event) {
    const { place, id } = this.under(event);
    const { detail } = event;
    if (id === 0) return;
    // The second click of two goes on to where the first one has set off for, however near that has come meanwhile.
    const destination = detail >= 2 ? this.motion.destination : undefined;
    if (this.camera.checksByClick && !destination) this.check(id);
    else this.approach(destination ?? place, detail >= 2);
  }

  /** @param {number} id */
  check(id) {
    this.choose(id);
    const state = this.board.stateOf(id);
    if (state === 'checked') this.refuse(id);
    else if (state !== 'waiting') this.listener.checked(id);
  }

  /**
   * A box that cannot be checked any more says so.
   * @param {number} id
   */
  refuse(id) {
    this.checkboxes.animate(id, 'shake');
    if (!this.checkboxes.shown) {
      this.painter.marks.ring(id, 'stuck', performance.now());
      this.drawSoon();
    }
    this.listener.stuck(id);
  }
}
