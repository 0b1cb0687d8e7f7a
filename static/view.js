/*
 * Owns the window over the map: where it stands, and the real checkboxes that fill it. A billion of them cannot exist
 * at once (browsers clamp an element near 33 million pixels), so a few hundred are recycled: a box that leaves on one
 * side comes back on the other with a new number.
 *
 * Gestures and the jump field move it, the board tells it what changed, and it reports moves and clicks. It decides
 * nothing about what a check means.
 */

import { formatNumber } from './words.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {{ id: number, input: HTMLInputElement }} Cell `id` is 0 outside the board */
/** @typedef {{ element: HTMLElement, cells: Cell[] }} Row */

/**
 * @typedef {object} ViewListener
 * @property {() => void} moved
 * @property {(id: number) => void} checked someone clicked a box that can be checked
 */

/** Creating 2,000 native checkboxes takes about 50 ms, recycling them 18 ms: about what one frame can bear. */
const CELLS_MAX = 2_000;
const CELL_PX = 28;
/** Fingers are wider than pointers. */
const CELL_TOUCH_PX = 36;

/**
 * The layer has room for this many boxes each way: 28,000 px, where positions are still exact. The sheet starts in
 * its middle, and over again when it comes near an edge.
 */
const LAYER_CELLS = 1_000;
const LAYER_CELLS_KEPT_FREE = 250;

/** How much of a box is left free around the map, so that the outermost boxes are seen to be that. */
const EDGE = 0.5;

/** How many colours checked boxes come in; the style sheet has one for each. */
const TINTS = 6;

/** Screen readers are told what sighted people see; these are elements of the page. */
const DESCRIPTIONS = { unknown: 'describe-unknown', waiting: 'describe-waiting', unchecked: '', checked: '' };

export class View {
  /**
   * @param {HTMLElement} root
   * @param {Geometry} geometry
   * @param {Board} board
   * @param {ViewListener} listener
   */
  constructor(root, geometry, board, listener) {
    this.root = root;
    this.geometry = geometry;
    this.board = board;
    this.listener = listener;
    this.layer = document.createElement('div');
    this.layer.className = 'layer';
    this.sheet = document.createElement('div');
    this.sheet.className = 'sheet';
    this.layer.append(this.sheet);
    root.append(this.layer);
    /** @type {Row[]} in the order of the screen, as the elements are in the document */
    this.rows = [];
    this.cellPx = CELL_PX;
    this.left = -EDGE;
    this.top = -EDGE;
    this.width = 1;
    this.height = 1;
    this.firstColumn = 0;
    this.firstRow = 0;
    /** The place on the map that the corner of the layer stands for. */
    this.anchor = { column: 0, row: 0 };
    /** The box that the address and the keyboard mean: the last one aimed at, or the middle after moving away. */
    this.current = 1;
    /** @type {Cell | undefined} the only cell that Tab stops at */
    this.tabStop = undefined;
    this.frame = 0;

    root.addEventListener('click', (event) => this.clicked(event));
    // A click leaves the focus on its box, so the arrow keys go on from there.
    // The window stays where it is: if it moved between pressing and releasing the button, the click would be lost.
    root.addEventListener('focusin', ({ target }) => this.choose(idOf(target)));
    root.addEventListener('animationend', ({ target }) => {
      if (target instanceof HTMLElement) delete target.dataset.motion;
    });
  }

  /** Fills the window for the first time; from here on the listener is called. */
  start() {
    this.resize();
    new ResizeObserver(() => this.resize()).observe(this.root);
  }

  /** The part of the map that is on the screen, in boxes. */
  get window() {
    return { left: this.left, top: this.top, width: this.width, height: this.height };
  }

  /**
   * Moves by a distance on the screen, as a wheel or a finger does.
   * @param {number} dxPx
   * @param {number} dyPx
   */
  pan(dxPx, dyPx) {
    this.moveTo(this.left + dxPx / this.cellPx, this.top + dyPx / this.cellPx);
  }

  /**
   * Puts a place into the middle.
   * @param {number} column may be a fraction
   * @param {number} row
   */
  centre(column, row) {
    this.moveTo(column - this.width / 2, row - this.height / 2);
  }

  /**
   * @param {number} left
   * @param {number} top
   */
  moveTo(left, top) {
    this.place(left, top);
    this.current = this.geometry.nearest(this.left + this.width / 2, this.top + this.height / 2);
    // Several wheel events may come within one frame; only the last position needs to be drawn.
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  /**
   * Puts a box into the middle, points it out, and gives it the focus if that is wanted.
   * @param {number} id
   * @param {{ focus: boolean }} options
   */
  jump(id, { focus }) {
    const { column, row } = this.geometry.placeOf(id);
    this.place(column + 0.5 - this.width / 2, row + 0.5 - this.height / 2);
    this.current = id;
    this.draw();
    const cell = this.cellOf(id);
    if (!cell) return;
    if (focus) cell.input.focus({ preventScroll: true });
    this.animate(cell, 'found');
  }

  /**
   * Goes from the current box along one axis, moving the window only when the destination is not inside it. Where
   * the board ends on the way, it goes as far as there are boxes.
   * @param {number} columns
   * @param {number} rows
   */
  step(columns, rows) {
    const { column, row } = this.geometry.placeOf(this.current);
    const reach = Math.max(Math.abs(columns), Math.abs(rows));
    for (let distance = reach; distance > 0; distance--) {
      const id = this.geometry.idAt(
        column + Math.sign(columns) * distance,
        row + Math.sign(rows) * distance,
      );
      if (id === 0) continue;
      this.aim(id);
      break;
    }
    this.cellOf(this.current)?.input.focus({ preventScroll: true });
  }

  /** A screen up or down keeps one row of what was there, for the eye. */
  get pageRows() {
    return Math.max(1, Math.floor(this.height) - 1);
  }

  /** @param {number} id */
  boxChanged(id) {
    const cell = this.cellOf(id);
    if (!cell) return;
    const before = cell.input.dataset.state;
    this.paint(cell);
    if (before !== 'checked' && cell.input.dataset.state === 'checked') this.animate(cell, 'pop');
  }

  /** @param {number} tile */
  tileChanged(tile) {
    for (const cell of this.cells()) {
      if (cell.id && this.geometry.tileOf(cell.id) === tile) this.paint(cell);
    }
  }

  /**
   * Makes a box that is on the screen the current one.
   * @param {number} id
   */
  choose(id) {
    if (id === 0 || id === this.current) return;
    this.current = id;
    this.moveTabStop();
    this.listener.moved();
  }

  /**
   * Makes a box the current one and brings it inside.
   * @param {number} id
   */
  aim(id) {
    const { column, row } = this.geometry.placeOf(id);
    const into = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ at) =>
      Math.max(Math.min(start, at), at + 1 - size);
    this.place(into(this.left, this.width, column), into(this.top, this.height, row));
    this.current = id;
    this.draw();
  }

  /**
   * @param {number} left
   * @param {number} top
   */
  place(left, top) {
    this.left = clampWindow(left, this.width, this.geometry.columns);
    this.top = clampWindow(top, this.height, this.geometry.rows);
  }

  resize() {
    const widthPx = this.root.clientWidth;
    const heightPx = this.root.clientHeight;
    if (widthPx === 0 || heightPx === 0) return;
    const middle = { column: this.left + this.width / 2, row: this.top + this.height / 2 };
    const wasDrawn = this.rows.length > 0;

    const count = (/** @type {number} */ px) => Math.ceil(px / this.cellPx) + 1;
    this.cellPx = matchMedia('(pointer: coarse)').matches ? CELL_TOUCH_PX : CELL_PX;
    while (count(widthPx) * count(heightPx) > CELLS_MAX) this.cellPx += 1;
    this.width = widthPx / this.cellPx;
    this.height = heightPx / this.cellPx;
    this.root.style.setProperty('--cell', `${this.cellPx}px`);
    this.layer.style.width = this.layer.style.height = `${LAYER_CELLS * this.cellPx}px`;
    this.fill(count(widthPx), count(heightPx));

    if (wasDrawn) this.place(middle.column - this.width / 2, middle.row - this.height / 2);
    this.aim(this.current);
  }

  /**
   * Brings the number of checkboxes to what the window needs.
   * @param {number} columns
   * @param {number} rows
   */
  fill(columns, rows) {
    while (this.rows.length > rows) this.rows.pop()?.element.remove();
    while (this.rows.length < rows) {
      const element = document.createElement('div');
      element.className = 'row';
      this.sheet.append(element);
      this.rows.push({ element, cells: [] });
    }
    for (const row of this.rows) {
      while (row.cells.length > columns) row.cells.pop()?.input.remove();
      while (row.cells.length < columns) {
        const input = document.createElement('input');
        input.type = 'checkbox';
        input.className = 'box';
        input.tabIndex = -1;
        input.autocomplete = 'off';
        row.element.append(input);
        row.cells.push({ id: -1, input });
      }
    }
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.recycle(Math.floor(this.left), Math.floor(this.top));
    this.shift();
    this.moveTabStop();
    this.listener.moved();
  }

  /**
   * The layer slides under the window, and the sheet of checkboxes lies on the layer where the map has them. So a box
   * that stays visible keeps its place on the layer and is not painted again. (The layer is larger than the sheet for
   * the same reason: a layer that changes its bounds is painted anew. Together this took off half of the time.)
   */
  shift() {
    const { anchor, cellPx } = this;
    const fits = (/** @type {number} */ at) => at >= 0 && at <= LAYER_CELLS - LAYER_CELLS_KEPT_FREE;
    if (!fits(this.firstColumn - anchor.column) || !fits(this.firstRow - anchor.row)) {
      anchor.column = this.firstColumn - LAYER_CELLS / 2;
      anchor.row = this.firstRow - LAYER_CELLS / 2;
    }
    this.sheet.style.left = `${(this.firstColumn - anchor.column) * cellPx}px`;
    this.sheet.style.top = `${(this.firstRow - anchor.row) * cellPx}px`;
    const x = Math.round((anchor.column - this.left) * cellPx);
    const y = Math.round((anchor.row - this.top) * cellPx);
    this.layer.style.transform = `translate3d(${x}px, ${y}px, 0)`;
  }

  /**
   * Moves checkboxes from the side that leaves to the side that enters, so that their order in the document stays the
   * order on the screen, then renumbers the ones that changed.
   * @param {number} firstColumn
   * @param {number} firstRow
   */
  recycle(firstColumn, firstRow) {
    const rightBy = firstColumn - this.firstColumn;
    const downBy = firstRow - this.firstRow;
    this.firstColumn = firstColumn;
    this.firstRow = firstRow;
    this.releaseFocus();
    if (Math.abs(downBy) < this.rows.length) {
      rotate(this.rows, downBy, this.sheet, (row) => row.element);
    }
    for (const { element, cells } of this.rows) {
      if (Math.abs(rightBy) < cells.length) rotate(cells, rightBy, element, (cell) => cell.input);
    }
    this.rows.forEach(({ cells }, y) => {
      cells.forEach((cell, x) => this.assign(cell, this.geometry.idAt(firstColumn + x, firstRow + y)));
    });
  }

  /** A focused checkbox that is about to become another box gives the focus to the board, not to a stranger. */
  releaseFocus() {
    const id = idOf(document.activeElement);
    if (id && !this.isInside(id)) this.root.focus({ preventScroll: true });
  }

  /** @param {number} id */
  isInside(id) {
    const { column, row } = this.geometry.placeOf(id);
    const x = column - this.firstColumn;
    const y = row - this.firstRow;
    return y >= 0 && y < this.rows.length && x >= 0 && x < this.rows[0].cells.length;
  }

  /**
   * @param {Cell} cell
   * @param {number} id
   */
  assign(cell, id) {
    if (cell.id === id) return;
    cell.id = id;
    const { input } = cell;
    delete input.dataset.motion;
    input.disabled = id === 0;
    if (id === 0) {
      delete input.dataset.id;
      delete input.dataset.state;
      input.removeAttribute('aria-label');
      input.removeAttribute('aria-describedby');
      input.checked = false;
      return;
    }
    input.dataset.id = String(id);
    input.dataset.tint = String(tintOf(id));
    input.setAttribute('aria-label', `Box ${formatNumber(id)}`);
    this.paint(cell);
  }

  /** @param {Cell} cell */
  paint({ id, input }) {
    const state = this.board.stateOf(id);
    input.checked = state === 'checked' || state === 'waiting';
    if (input.dataset.state === state) return;
    input.dataset.state = state;
    if (DESCRIPTIONS[state]) input.setAttribute('aria-describedby', DESCRIPTIONS[state]);
    else input.removeAttribute('aria-describedby');
  }

  /** Tab enters the board at the current box; a thousand stops on the way to the footer would be a trap. */
  moveTabStop() {
    const cell = this.cellOf(this.current);
    if (cell === this.tabStop) return;
    if (this.tabStop) this.tabStop.input.tabIndex = -1;
    if (cell) cell.input.tabIndex = 0;
    this.tabStop = cell;
  }

  /**
   * @param {number} id
   * @returns {Cell | undefined}
   */
  cellOf(id) {
    const { column, row } = this.geometry.placeOf(id);
    const cell = this.rows[row - this.firstRow]?.cells[column - this.firstColumn];
    // Between a move and its frame the checkboxes still stand for what was here before.
    return cell?.id === id ? cell : undefined;
  }

  *cells() {
    for (const row of this.rows) yield* row.cells;
  }

  /**
   * @param {Cell} cell
   * @param {string} motion a name that the style sheet knows
   */
  animate({ input }, motion) {
    input.dataset.motion = motion;
  }

  /** @param {Event} event */
  clicked(event) {
    const id = idOf(event.target);
    if (!id) return;
    // Not every browser gives the focus to a checkbox that is clicked.
    this.choose(id);
    const state = this.board.stateOf(id);
    // Boxes are never unchecked. Preventing the click puts the native mark back as it was.
    if (state === 'checked' || state === 'waiting') event.preventDefault();
    else this.listener.checked(id);
  }
}

/**
 * The box that an element stands for, or 0.
 * @param {unknown} element
 */
function idOf(element) {
  return element instanceof HTMLInputElement ? Number(element.dataset.id ?? 0) : 0;
}

/**
 * A window stays on the map and its edge; a map smaller than the window stands in its middle.
 * @param {number} start
 * @param {number} size
 * @param {number} count
 */
function clampWindow(start, size, count) {
  if (count + 2 * EDGE <= size) return (count - size) / 2;
  return Math.min(Math.max(start, -EDGE), count + EDGE - size);
}

/**
 * Moves `by` items from the front to the back, or from the back to the front, in a list and in the document.
 * @template T
 * @param {T[]} items
 * @param {number} by
 * @param {HTMLElement} parent
 * @param {(item: T) => HTMLElement} elementOf
 */
function rotate(items, by, parent, elementOf) {
  if (by > 0) {
    const moved = items.splice(0, by);
    items.push(...moved);
    parent.append(...moved.map(elementOf));
  } else if (by < 0) {
    const moved = items.splice(by);
    items.unshift(...moved);
    parent.prepend(...moved.map(elementOf));
  }
}

/**
 * A colour that looks random but is the same for everyone: the multiplier is 2^32 divided by the golden ratio, which
 * spreads neighbouring ids far apart.
 * @param {number} id
 */
function tintOf(id) {
  return (Math.imul(id, 0x9e37_79b1) >>> 16) % TINTS;
}
