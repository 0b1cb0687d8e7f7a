/*
 * Owns the wire format of `/ws?v=2`: bytes to messages and messages to bytes, little-endian u32s told apart by their
 * length. The session talks to it. Pure: it never acts on a message and never throws at what a server sent; anything
 * it cannot read becomes `ignored`, so that a newer server does not break an older page.
 */

/**
 * @typedef {{ kind: 'total', total: number }} Total how many boxes are checked now
 * @typedef {{ kind: 'update', total: number, id: number }} Update a box is checked (also the answer to a duplicate)
 * @typedef {{ kind: 'refused', id: number, reason: number }} Refused our own check did not happen
 * @typedef {{ kind: 'range', first: number, mask: Uint8Array }} Range bit i of the mask is box `first + i`
 * @typedef {{ tile: number, checked: number }} TileCount
 * @typedef {{ kind: 'pulse', total: number, players: number, tiles: TileCount[] }} Pulse
 * @typedef {{ kind: 'ignored' }} Ignored
 * @typedef {Total | Update | Refused | Range | Pulse | Ignored} ServerMessage
 */

/** At most this many boxes fit one range request; it is also the size of a tile. */
export const RANGE_BOXES_MAX = 100_000;

/** Shorter masks are padded to this, so that no range answer has the 4, 5 or 8 bytes of another message. */
export const MASK_BYTES_MIN = 5;

const EXTENSION_PULSE = 1;
const PULSE_HEADER_BYTES = 4 + 1 + 4 + 4;
const PULSE_TILE_BYTES = 2 + 4;

/** @type {Ignored} */
const IGNORED = { kind: 'ignored' };

/**
 * @param {ArrayBuffer} bytes
 * @returns {ServerMessage}
 */
export function decode(bytes) {
  const view = new DataView(bytes);
  const u32 = (/** @type {number} */ at) => view.getUint32(at, true);
  switch (bytes.byteLength) {
    case 4:
      return { kind: 'total', total: u32(0) };
    case 5:
      return { kind: 'refused', id: u32(0), reason: view.getUint8(4) };
    case 8:
      return { kind: 'update', total: u32(0), id: u32(4) };
  }
  if (bytes.byteLength < 4 + MASK_BYTES_MIN) return IGNORED;
  // No box has id 0, so a range never starts there.
  if (u32(0) === 0) return decodeExtension(view);
  return { kind: 'range', first: u32(0), mask: new Uint8Array(bytes, 4) };
}

/**
 * @param {DataView} view
 * @returns {ServerMessage}
 */
function decodeExtension(view) {
  if (view.getUint8(4) !== EXTENSION_PULSE || view.byteLength < PULSE_HEADER_BYTES) return IGNORED;
  if ((view.byteLength - PULSE_HEADER_BYTES) % PULSE_TILE_BYTES !== 0) return IGNORED;
  /** @type {TileCount[]} */
  const tiles = [];
  for (let at = PULSE_HEADER_BYTES; at < view.byteLength; at += PULSE_TILE_BYTES) {
    tiles.push({ tile: view.getUint16(at, true), checked: view.getUint32(at + 2, true) });
  }
  return { kind: 'pulse', total: view.getUint32(5, true), players: view.getUint32(9, true), tiles };
}

/**
 * @param {number} id
 * @returns {ArrayBuffer}
 */
export function encodeCheck(id) {
  const bytes = new ArrayBuffer(4);
  new DataView(bytes).setUint32(0, id, true);
  return bytes;
}

/**
 * @param {number} first
 * @param {number} last included
 * @returns {ArrayBuffer}
 */
export function encodeRange(first, last) {
  const bytes = new ArrayBuffer(8);
  const view = new DataView(bytes);
  view.setUint32(0, first, true);
  view.setUint32(4, last, true);
  return bytes;
}

/**
 * How long the mask of a range answer is.
 * @param {number} boxes
 */
export function maskBytes(boxes) {
  return Math.max(MASK_BYTES_MIN, Math.ceil(boxes / 8));
}
