/*
 * Owns reading tests/golden/frames.json for the page's tests.
 */

import { readFileSync } from 'node:fs';

const file = JSON.parse(readFileSync(new URL('../golden/frames.json', import.meta.url), 'utf8'));

/** @param {string} part */
export function golden(part) {
  const entries = file[part];
  if (!entries?.length) throw new Error(`nothing under ${part}`);
  return entries;
}

/**
 * @param {string} hex
 * @returns {ArrayBuffer}
 */
export function bytesOf(hex) {
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16));
  return bytes.buffer;
}

/** @param {ArrayBuffer} bytes */
export function hexOf(bytes) {
  return Buffer.from(bytes).toString('hex');
}
