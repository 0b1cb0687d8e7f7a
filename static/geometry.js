/*
 * Owns the shape of the map: which box lies at which column and row, and which tile it belongs to.
 * Everybody who turns an id into a place, or back, asks here. Pure: it knows nothing of the document or the socket.
 *
 * A tile is 100,000 consecutive ids, 400 boxes wide and 250 high; 100 tiles lie side by side. A billion boxes are
 * therefore 100 x 100 tiles, a map of 40,000 x 25,000 boxes, and it is the same map for everyone.
 */

export const TILE_BOXES = 100_000;
export const TILE_COLUMNS = 400;
export const TILE_ROWS = TILE_BOXES / TILE_COLUMNS;
export const TILES_PER_ROW = 100;

/** @typedef {{ column: number, row: number }} Place 0-based, from the top left corner of the map */

export class Geometry {
  /** @param {number} boxes how many boxes the board has; ids run from 1 to this */
  constructor(boxes) {
    if (!Number.isInteger(boxes) || boxes < 1 || boxes > 0xffff_ffff) {
      throw new RangeError(`a board has between 1 and 4,294,967,295 boxes, not ${boxes}`);
    }
    this.boxes = boxes;
    this.tiles = Math.ceil(boxes / TILE_BOXES);
    this.tileColumns = Math.min(this.tiles, TILES_PER_ROW);
    this.tileRows = Math.ceil(this.tiles / TILES_PER_ROW);
    this.columns = Math.min(boxes, this.tileColumns * TILE_COLUMNS);
    // The last row of tiles is as high as its first tile, which is only short when it is also the last tile.
    const lastRowStart = (this.tileRows - 1) * TILES_PER_ROW * TILE_BOXES;
    const lastRowBoxes = Math.min(boxes - lastRowStart, TILE_BOXES);
    this.rows = (this.tileRows - 1) * TILE_ROWS + Math.ceil(lastRowBoxes / TILE_COLUMNS);
  }

  /** @param {number} id */
  has(id) {
    return Number.isInteger(id) && id >= 1 && id <= this.boxes;
  }

  /** @param {number} id */
  tileOf(id) {
    return Math.floor((id - 1) / TILE_BOXES);
  }

  /** @param {number} tile */
  firstOf(tile) {
    return tile * TILE_BOXES + 1;
  }

  /** @param {number} tile */
  lastOf(tile) {
    return Math.min((tile + 1) * TILE_BOXES, this.boxes);
  }

  /**
   * @param {number} id
   * @returns {Place}
   */
  placeOf(id) {
    const tile = this.tileOf(id);
    const offset = (id - 1) % TILE_BOXES;
    return {
      column: (tile % TILES_PER_ROW) * TILE_COLUMNS + (offset % TILE_COLUMNS),
      row: Math.floor(tile / TILES_PER_ROW) * TILE_ROWS + Math.floor(offset / TILE_COLUMNS),
    };
  }

  /**
   * The box at a place, or 0 (no box has that id) where the map is empty.
   * @param {number} column
   * @param {number} row
   */
  idAt(column, row) {
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) return 0;
    const tile = Math.floor(row / TILE_ROWS) * TILES_PER_ROW + Math.floor(column / TILE_COLUMNS);
    const id = tile * TILE_BOXES + (row % TILE_ROWS) * TILE_COLUMNS + (column % TILE_COLUMNS) + 1;
    return id <= this.boxes ? id : 0;
  }

  /**
   * A box at or near a place, for places that may lie outside the map.
   * @param {number} column
   * @param {number} row
   */
  nearest(column, row) {
    const inside = (/** @type {number} */ value, /** @type {number} */ count) =>
      Math.min(Math.max(Math.floor(value), 0), count - 1);
    // Only the end of the last row of tiles can be empty inside the map, so the last box is never far from there.
    return this.idAt(inside(column, this.columns), inside(row, this.rows)) || this.boxes;
  }

  /**
   * The tiles that a window over the map touches, nearest to its middle first: they are asked for in this order.
   * @param {{ left: number, top: number, width: number, height: number }} window in boxes
   * @returns {number[]}
   */
  tilesIn({ left, top, width, height }) {
    const middle = { x: (left + width / 2) / TILE_COLUMNS - 0.5, y: (top + height / 2) / TILE_ROWS - 0.5 };
    const firstX = Math.max(0, Math.floor(left / TILE_COLUMNS));
    const firstY = Math.max(0, Math.floor(top / TILE_ROWS));
    const endX = Math.min(this.tileColumns, Math.ceil((left + width) / TILE_COLUMNS));
    const endY = Math.min(this.tileRows, Math.ceil((top + height) / TILE_ROWS));
    /** @type {{ tile: number, distance: number }[]} */
    const found = [];
    for (let y = firstY; y < endY; y++) {
      for (let x = firstX; x < endX; x++) {
        const tile = y * TILES_PER_ROW + x;
        if (tile < this.tiles) found.push({ tile, distance: Math.hypot(x - middle.x, y - middle.y) });
      }
    }
    return found.sort((a, b) => a.distance - b.distance).map(({ tile }) => tile);
  }
}
