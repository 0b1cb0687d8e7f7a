/*
 * Owns how one comes to a place that nobody named. The page opens at the place a link names, else where this reader was
 * last, else where others have been, beside their boxes and with free ones in sight. That takes two answers, so the map
 * waits for them, for a while: who has begun to look around is not moved any more. It moves nothing itself.
 */

import { boxInCompany, tileForNewcomer } from './company.js';
import { readPlace } from './place.js';

/** @typedef {import('./busy.js').Busy} Busy */
/** @typedef {import('./census.js').Census} Census */
/** @typedef {import('./place.js').Spot} Spot */

/**
 * @typedef {object} ArrivalListener
 * @property {() => void} askOverview
 * @property {(tile: number) => void} askTile
 * @property {(spot: Spot | undefined) => void} landed called once; nothing: stay where the map is
 */

/** Over a slow line the first boxes come after about two seconds; nobody should wait much longer for better ones. */
const OVERVIEW_PATIENCE_MS = 2_500;
const TILE_PATIENCE_MS = 1_500;

export class Arrival {
  /**
   * @param {{ census: Census, busy: Busy, guide: Guide }} known
   * @param {ArrivalListener} listener
   * @param {() => number} random in [0, 1)
   */
  constructor({ census, busy, guide }, listener, random) {
    this.census = census;
    this.busy = busy;
    this.guide = guide;
    this.listener = listener;
    this.random = random;
    this.isOver = false;
    this.isLooking = false;
    this.timer = 0;
    census.listen(() => this.look());
  }

  /** @param {Spot | undefined} spot where the map stands already, by a link or from the last time */
  begin(spot) {
    if (spot) return this.land(undefined);
    this.isLooking = true;
    this.timer = setTimeout(() => this.giveUp(), OVERVIEW_PATIENCE_MS);
    this.listener.askOverview();
    this.look();
  }

  /** Once it is known what is where: chooses a tile, and waits for its boxes. */
  look() {
    if (!this.isLooking || !this.census.known) return;
    this.isLooking = false;
    clearTimeout(this.timer);
    const tile = tileForNewcomer(this.census, this.busy.tiles, this.random);
    if (tile === undefined) return this.land(undefined);
    this.listener.askTile(tile);
    const found = (/** @type {number} */ id) => this.land({ id, z: undefined });
    this.guide.lead({ tile, found, patienceMs: TILE_PATIENCE_MS });
  }

  /** The player began without waiting, or there was nothing to wait for any more. */
  giveUp() {
    if (!this.isOver) this.land(undefined);
  }

  /** @param {Spot | undefined} spot */
  land(spot) {
    clearTimeout(this.timer);
    this.isLooking = false;
    this.isOver = true;
    this.listener.landed(spot);
  }
}

/*
 * The second half of a journey to a tile of which nothing is known yet: waits for the tile's boxes and then says which of
 * them to go to. The player's own hand ends it.
 */
/** @typedef {import('./board.js').Board} Board */
/** @typedef {import('./company.js').Screen} Screen */

/**
 * @typedef {object} Journey
 * @property {number} tile
 * @property {(box: number) => void} found called once, at the latest when patience ends
 * @property {number} patienceMs
 * @property {number} [lingerMs] so long after the tile is known someone may still check a box there, which is better
 */

/** @typedef {Journey & { deadline: number, linger: number }} Trip */

export class Guide {
  /**
   * @param {Board} board
   * @param {() => Screen} screen
   * @param {() => number} random in [0, 1)
   */
  constructor(board, screen, random) {
    this.board = board;
    this.screen = screen;
    this.random = random;
    /** @type {Trip | undefined} */
    this.trip = undefined;
  }

  /** Whether a box is still being looked for. */
  get searching() {
    return this.trip !== undefined;
  }

  /** @param {Journey} journey */
  lead(journey) {
    this.cancel();
    const deadline = setTimeout(() => this.arrive(), journey.patienceMs);
    this.trip = { ...journey, deadline, linger: 0 };
    this.tileChanged(journey.tile);
  }

  /** Somebody else decides where to go now. */
  cancel() {
    clearTimeout(this.trip?.deadline);
    clearTimeout(this.trip?.linger);
    this.trip = undefined;
  }

  /** @param {number} tile there is news of it, perhaps its boxes */
  tileChanged(tile) {
    const { trip } = this;
    if (trip?.tile !== tile || trip.linger !== 0 || !this.board.knows(tile) || this.board.doubts(tile)) return;
    if (trip.lingerMs) trip.linger = setTimeout(() => this.arrive(), trip.lingerMs);
    else this.arrive();
  }

  /**
   * Somebody else checked a box.
   * @param {number} box
   */
  saw(box) {
    const { trip } = this;
    if (!trip?.lingerMs || trip.tile !== this.board.geometry.tileOf(box)) return;
    this.cancel();
    trip.found(box);
  }

  arrive() {
    const { trip, board } = this;
    if (!trip) return;
    this.cancel();
    const { geometry } = board;
    const [first, last] = [geometry.firstOf(trip.tile), geometry.lastOf(trip.tile)];
    const boxes = last - first + 1;
    const bits = board.bitsOf(trip.tile);
    const offset = bits ? boxInCompany(bits, boxes, this.screen(), this.random) : undefined;
    trip.found(offset === undefined ? middleOf(geometry, trip.tile) : first + offset);
  }
}

/**
 * The box in the middle of a tile, which may be short.
 * @param {import('./geometry.js').Geometry} geometry
 * @param {number} tile
 */
export function middleOf(geometry, tile) {
  const [first, last] = [geometry.placeOf(geometry.firstOf(tile)), geometry.placeOf(geometry.lastOf(tile))];
  const column = last.row > first.row ? first.column + 200 : Math.floor((first.column + last.column) / 2);
  return geometry.nearest(column, Math.floor((first.row + last.row) / 2));
}

/*
 * The place where this reader was last on this board, kept on the device: there an address without a place leads. Storage
 * may be full, forbidden or damaged, and then one arrives as for the first time.
 */
export class LastPlace {
  /**
   * @param {Pick<Storage, 'getItem' | 'setItem'> | undefined} storage
   * @param {string} board
   * @param {number} boxes
   */
  constructor(storage, board, boxes) {
    this.storage = storage;
    this.key = `billion.place.${board}`;
    this.boxes = boxes;
  }

  /** @returns {Spot | undefined} */
  get spot() {
    try {
      const place = readPlace(this.storage?.getItem(this.key) ?? '', this.boxes);
      return place && 'spot' in place ? place.spot : undefined;
    } catch {
      return undefined;
    }
  }

  /** @param {string} hash as the address has it */
  keep(hash) {
    try {
      this.storage?.setItem(this.key, hash);
    } catch {
      // Then the next visit begins like a first one.
    }
  }
}
