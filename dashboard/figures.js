/*
 * Owns what the figures are made of: the nodes' seconds added up, refusals counted against the second before, the heat of
 * shards joined to what a strip has room for. Pure.
 */

/**
 * @typedef {object} Board
 * @property {string} name
 * @property {number} boxes
 * @property {number} checked
 * @property {boolean} read_only
 * @property {string | null} store_problem
 * @property {number[]} shards
 */

/**
 * @typedef {object} Node
 * @property {string} id
 * @property {string} version
 * @property {number} uptime_s
 * @property {number} connections
 * @property {number} connections_max
 * @property {number} lagging
 * @property {number} checks_per_s
 * @property {number} updates_per_s
 * @property {boolean} draining
 * @property {number | null} memory_bytes
 * @property {number | null} to_screens_ms
 * @property {number | null} to_screens_max_ms
 * @property {Board[]} boards
 */

/**
 * An event of the stream.
 * @typedef {object} Second
 * @property {string} node
 * @property {number} at_ms
 * @property {Node[]} nodes
 * @property {Record<string, number>} refusals
 * @property {{ address: string, connections: number }[]} addresses
 * @property {{ reason: string, since_ms: number, by: string } | null} read_only
 * @property {number} blocks
 * @property {number} blocks_version
 * @property {import('./notice.js').Notice | null} [notice]
 */

/** Cells of the strip. */
export const CELLS = 50;

/** @param {Node[]} nodes */
export function totals(nodes) {
  /** @param {(node: Node) => number} of */
  const sum = (of) => nodes.reduce((sum, node) => sum + of(node), 0);
  return {
    players: sum((node) => node.connections),
    playersMax: sum((node) => node.connections_max),
    checks: sum((node) => node.checks_per_s),
    updates: sum((node) => node.updates_per_s),
    lagging: sum((node) => node.lagging),
    // Of nodes side by side the slowest one is what somebody sees, and the largest one is the first to be short.
    toScreens: greatest(nodes.map((node) => node.to_screens_ms)),
    toScreensMax: greatest(nodes.map((node) => node.to_screens_max_ms)),
    memory: greatest(nodes.map((node) => node.memory_bytes)),
  };
}

/**
 * @param {(number | null | undefined)[]} values
 * @returns {number | null} none if there is none
 */
export function greatest(values) {
  return values.reduce((/** @type {number | null} */ most, value) => (value != null && (most === null || value > most) ? value : most), null);
}

/**
 * Checks a second of each part of the main board, on all nodes. More shards than cells are joined, neighbours with
 * neighbours; fewer are left as they are.
 * @param {Node[]} nodes
 * @returns {{ first: number, last: number, rate: number }[]}
 */
export function heat(nodes) {
  const boards = nodes.flatMap(({ boards }) => boards.slice(0, 1));
  const shards = Math.max(0, ...boards.map(({ shards }) => shards.length));
  if (shards === 0) return [];
  const boxes = boards[0].boxes;
  const stride = Math.ceil(Math.ceil(boxes / 100_000) / shards) * 100_000;
  const cells = Math.min(shards, CELLS);
  return Array.from({ length: cells }, (_, cell) => {
    const [from, to] = [Math.floor((cell * shards) / cells), Math.floor(((cell + 1) * shards) / cells)];
    let rate = 0;
    for (const board of boards) {
      for (let shard = from; shard < to; shard++) rate += board.shards[shard] ?? 0;
    }
    return { first: from * stride + 1, last: Math.min(to * stride, boxes), rate };
  });
}

/** Refusals of one node, by reason: all since it was started, and how many a second. */
export class Refusals {
  constructor() {
    /** @type {Second | undefined} */
    this.before = undefined;
  }

  /**
   * @param {Second} now
   * @returns {{ reason: string, count: number, rate: number }[]} the most first
   */
  rates(now) {
    const before = this.before?.node === now.node && now.at_ms > this.before.at_ms ? this.before : undefined;
    this.before = now;
    const seconds = before ? (now.at_ms - before.at_ms) / 1_000 : 1;
    const all = Object.entries(now.refusals).map(([reason, count]) => {
      // What has never happened before is not in the list, and what another node has counted is no news.
      const last = before ? before.refusals[reason] ?? 0 : count;
      return { reason, count, rate: Math.max(0, count - last) / seconds };
    });
    return all.sort((a, b) => b.count - a.count || a.reason.localeCompare(b.reason));
  }
}
