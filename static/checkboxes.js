/*
 * Owns the real checkboxes. A billion of them cannot exist at once, so a few hundred are recycled: a box that leaves
 * on one side comes back on the other with a new number. They are in the document only while every one of them stands
 * for what is on the screen; while the map moves too fast for that, they are renumbered outside of it, a few
 * milliseconds in each frame, and the painted map shows the same meanwhile.
 */

import { CELLS_MAX, cellsAcross } from './camera.js';
import { tintAt } from './colours.js';
import { placeWords } from './where.js';
import { formatNumber } from './words.js';

/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./camera.js').Camera} Camera */
/** @typedef {import('./geometry.js').Geometry} Geometry */
/** @typedef {import('./marks.js').Mine} Mine */
/** @typedef {{ id: number, input: HTMLInputElement }} Cell `id` is 0 outside the board */
/** @typedef {{ element: HTMLElement, cells: Cell[] }} Row */

/** Renumbering one takes about 10 us, so this many are half of what a frame may take. */
const RENUMBERED_MAX = 400;

/**
 * The layer has room for this many boxes each way: 28,000 px, where positions are still exact. The sheet starts in
 * its middle, and over again when it comes near an edge.
 */
const LAYER_CELLS = 1_000;
const LAYER_CELLS_KEPT_FREE = 250;

/** Screen readers are told what sighted people see; these are elements of the page. */
const DESCRIPTIONS = { unknown: 'describe-unknown', waiting: 'describe-waiting', unchecked: '', checked: '' };

/** What an element says of its box, and must not say where there is none. */
const PER_BOX = ['data-id', 'data-state', 'data-mine', 'data-target', 'aria-label', 'aria-describedby'];

export class Checkboxes {
  /**
   * @param {HTMLElement} root
   * @param {Geometry} geometry
   * @param {{ board: Board, mine: Mine }} known
   * @param {() => void} hiding called before they leave the document, while one of them may still have the focus
   */
  constructor(root, geometry, { board, mine }, hiding) {
    this.geometry = geometry;
    this.board = board;
    this.mine = mine;
    this.hiding = hiding;
    this.layer = document.createElement('div');
    this.layer.className = 'layer';
    this.sheet = document.createElement('div');
    this.sheet.className = 'sheet';
    root.append(this.layer);
    /** @type {Row[]} in the order of the screen, as the elements are in the document */
    this.rows = [];
    this.columnCount = 0;
    this.rowCount = 0;
    this.cellPx = 0;
    this.firstColumn = 0;
    this.firstRow = 0;
    /** The first row that may still stand for other boxes than it should. */
    this.undone = 0;
    /** Whether the checkboxes are in the document, and therefore right. */
    this.shown = false;
    /** The place on the map that the corner of the layer stands for. */
    this.anchor = { column: 0, row: 0 };
    /** @type {Cell | undefined} the only cell that Tab stops at */
    this.tabStop = undefined;
    /** The box that is framed, or 0. */
    this.framed = 0;
    /** Whose place the words that describe it name. */
    this.describedId = 0;
    this.placeElement = /** @type {HTMLElement} */ (document.getElementById('describe-place'));
    root.addEventListener('animationend', ({ target }) => {
      if (target instanceof HTMLElement) delete target.dataset.motion;
    });
  }

  /**
   * Brings the checkboxes to where the camera is, as far as the time allows.
   * @param {Camera} camera at a zoom of whole pixels
   * @param {number} budgetMs
   * @returns {boolean} whether they are shown now; if not, it takes another frame
   */
  arrange(camera, budgetMs) {
    const { window: { left, top }, z, widthPx, heightPx } = camera;
    const columns = cellsAcross(widthPx, z);
    const rows = cellsAcross(heightPx, z);
    if (columns * rows > CELLS_MAX) throw new RangeError(`${columns} x ${rows} checkboxes are too many`);
    if (z !== this.cellPx || columns !== this.columnCount || rows !== this.rowCount) this.reshape(z, columns, rows);
    this.move(Math.floor(left), Math.floor(top));
    if (!this.renumber(this.shown ? Infinity : budgetMs)) return false;
    this.shift(left, top);
    if (!this.shown) this.layer.append(this.sheet);
    this.shown = true;
    return true;
  }

  /** Takes the checkboxes out of the document. */
  hide() {
    if (!this.shown) return;
    this.hiding();
    this.sheet.remove();
    this.shown = false;
  }

  /** @param {number} id */
  boxChanged(id) {
    const cell = this.cellOf(id);
    if (!cell) return;
    const before = cell.input.dataset.state;
    this.paint(cell);
    if (this.shown && before !== 'checked' && cell.input.dataset.state === 'checked') this.animate(id, 'pop');
  }

  /** @param {number} tile */
  tileChanged(tile) {
    for (const { cells } of this.rows) {
      for (const cell of cells) if (cell.id > 0 && this.geometry.tileOf(cell.id) === tile) this.paint(cell);
    }
  }

  /**
   * The checkbox of a box, if it is on the screen.
   * @param {number} id
   * @returns {HTMLInputElement | undefined}
   */
  inputOf(id) {
    return this.shown ? this.cellOf(id)?.input : undefined;
  }

  /**
   * Tab enters the board at this box; a thousand stops on the way to the footer would be a trap.
   * @param {number} id
   */
  stopTabAt(id) {
    const cell = this.cellOf(id);
    if (cell === this.tabStop && id === this.describedId) return;
    const before = this.tabStop;
    this.tabStop = cell;
    this.describedId = id;
    if (before && before !== cell) {
      before.input.tabIndex = -1;
      this.describe(before);
    }
    if (!cell) return;
    cell.input.tabIndex = 0;
    this.placeElement.textContent = placeWords(this.geometry, id);
    this.describe(cell);
  }

  /**
   * Frames one box, on the screen or not yet.
   * @param {number} id
   */
  frame(id) {
    const before = this.framed;
    this.framed = id;
    for (const other of [before, id]) {
      const cell = other > 0 ? this.cellOf(other) : undefined;
      cell?.input.toggleAttribute('data-target', other === id);
    }
  }

  /**
   * @param {number} id
   * @param {string} motion a name that the style sheet knows
   */
  animate(id, motion) {
    const input = this.inputOf(id);
    if (!input) return;
    // One is where one arrived last, and nowhere else.
    if (motion === 'found') this.sheet.querySelector('[data-motion="found"]')?.removeAttribute('data-motion');
    input.dataset.motion = motion;
  }

  /**
   * @param {number} cellPx
   * @param {number} columns
   * @param {number} rows
   */
  reshape(cellPx, columns, rows) {
    this.hide();
    this.cellPx = cellPx;
    this.columnCount = columns;
    this.rowCount = rows;
    this.undone = 0;
    while (this.rows.length > rows) this.rows.pop()?.element.remove();
    this.layer.style.setProperty('--cell', `${cellPx}px`);
    this.layer.style.width = this.layer.style.height = `${LAYER_CELLS * cellPx}px`;
    this.anchor = { column: -LAYER_CELLS, row: -LAYER_CELLS };
  }

  /**
   * Moves checkboxes from the side that leaves to the side that enters, so that their order in the document stays the
   * order on the screen, and most of them keep their number.
   * @param {number} firstColumn
   * @param {number} firstRow
   */
  move(firstColumn, firstRow) {
    const rightBy = firstColumn - this.firstColumn;
    const downBy = firstRow - this.firstRow;
    if (rightBy === 0 && downBy === 0) return;
    this.firstColumn = firstColumn;
    this.firstRow = firstRow;
    this.undone = 0;
    const leaving = Math.abs(rightBy) * this.rowCount + Math.abs(downBy) * this.columnCount;
    if (leaving > RENUMBERED_MAX) this.hide();
    // Half filled, or all new: there is nothing worth keeping.
    if (this.rows.length < this.rowCount) return;
    if (Math.abs(downBy) < this.rows.length) rotate(this.rows, downBy, this.sheet, (row) => row.element);
    for (const { element, cells } of this.rows) {
      if (Math.abs(rightBy) < cells.length) rotate(cells, rightBy, element, (cell) => cell.input);
    }
  }

  /**
   * @param {number} budgetMs
   * @returns {boolean} whether all of them are done
   */
  renumber(budgetMs) {
    const deadlineMs = performance.now() + budgetMs;
    while (this.undone < this.rowCount) {
      const cells = this.fill(this.undone);
      const row = this.firstRow + this.undone;
      cells.forEach((cell, x) => this.assign(cell, this.geometry.idAt(this.firstColumn + x, row)));
      this.undone += 1;
      if (performance.now() > deadlineMs) break;
    }
    return this.undone >= this.rowCount;
  }

  /**
   * Brings a row to as many checkboxes as are needed.
   * @param {number} y
   */
  fill(y) {
    let row = this.rows[y];
    if (!row) {
      row = { element: document.createElement('div'), cells: [] };
      row.element.className = 'row';
      this.sheet.append(row.element);
      this.rows.push(row);
    }
    const { element, cells } = row;
    while (cells.length > this.columnCount) cells.pop()?.input.remove();
    while (cells.length < this.columnCount) {
      const input = document.createElement('input');
      input.type = 'checkbox';
      input.className = 'box';
      input.tabIndex = -1;
      input.autocomplete = 'off';
      element.append(input);
      cells.push({ id: -1, input });
    }
    return cells;
  }

  /**
   * The layer slides under the window, and the sheet of checkboxes lies on the layer where the map has them. So a box
   * that stays visible keeps its place on the layer and is not painted again. (The layer is larger than the sheet for
   * the same reason: a layer that changes its bounds is painted anew. Together this took off half of the time.)
   * @param {number} left
   * @param {number} top
   */
  shift(left, top) {
    const { anchor, cellPx } = this;
    const fits = (/** @type {number} */ at) => at >= 0 && at <= LAYER_CELLS - LAYER_CELLS_KEPT_FREE;
    if (!fits(this.firstColumn - anchor.column) || !fits(this.firstRow - anchor.row)) {
      anchor.column = this.firstColumn - LAYER_CELLS / 2;
      anchor.row = this.firstRow - LAYER_CELLS / 2;
    }
    this.sheet.style.left = `${(this.firstColumn - anchor.column) * cellPx}px`;
    this.sheet.style.top = `${(this.firstRow - anchor.row) * cellPx}px`;
    const x = Math.round((anchor.column - left) * cellPx);
    const y = Math.round((anchor.row - top) * cellPx);
    this.layer.style.transform = `translate3d(${x}px, ${y}px, 0)`;
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
      for (const name of PER_BOX) input.removeAttribute(name);
      input.checked = false;
      return;
    }
    input.dataset.id = String(id);
    const { column, row } = this.geometry.placeOf(id);
    input.dataset.tint = String(tintAt(column, row));
    input.setAttribute('aria-label', `Box ${formatNumber(id)}`);
    this.paint(cell);
  }

  /** @param {Cell} cell */
  paint(cell) {
    const { id, input } = cell;
    const state = this.board.stateOf(id);
    input.checked = state === 'checked' || state === 'waiting';
    input.toggleAttribute('data-target', id === this.framed);
    input.toggleAttribute('data-mine', input.checked && this.mine.has(id));
    if (input.dataset.state !== state) input.dataset.state = state;
    this.describe(cell);
  }

  /**
   * What is heard of a box beyond its number: what is seen of it, and of the one that keys are at also its place.
   * @param {Cell} cell
   */
  describe(cell) {
    const { input } = cell;
    const words = [];
    const state = DESCRIPTIONS[this.board.stateOf(cell.id)];
    if (state) words.push(state);
    else if (input.hasAttribute('data-mine')) words.push('describe-mine');
    if (cell === this.tabStop) words.push('describe-place');
    const described = words.join(' ');
    if (described === (input.getAttribute('aria-describedby') ?? '')) return;
    if (described) input.setAttribute('aria-describedby', described);
    else input.removeAttribute('aria-describedby');
  }

  /**
   * @param {number} id
   * @returns {Cell | undefined}
   */
  cellOf(id) {
    const { column, row } = this.geometry.placeOf(id);
    const cell = this.rows[row - this.firstRow]?.cells[column - this.firstColumn];
    // While they are being renumbered, some still stand for what was here before.
    return cell?.id === id ? cell : undefined;
  }
}

/**
 * The box that an element stands for, or 0.
 * @param {unknown} element
 */
export function idOf(element) {
  return element instanceof HTMLInputElement ? Number(element.dataset.id ?? 0) : 0;
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
