/*
 * Owns which key is meant by a press, whatever alphabet the keyboard writes, and whether single letters and signs do
 * anything at all: whoever speaks to the computer would set off half of them by a word.
 */

import { openStorage } from './pending.js';

const KEY = 'billion.shortcuts';
const OFF = 'off';

let enabled = read() !== OFF;

/** Whether single letters and signs do something while no control has the focus. */
export function shortcutsEnabled() {
  return enabled;
}

/**
 * Remembered on this device.
 * @param {boolean} wanted
 */
export function setShortcutsEnabled(wanted) {
  enabled = wanted;
  try {
    if (wanted) openStorage()?.removeItem(KEY);
    else openStorage()?.setItem(KEY, OFF);
  } catch {
    // Then it holds for as long as this page is open.
  }
}

/**
 * The key that is meant, in lower case. On a keyboard that writes another alphabet, or while an input method has the
 * key, that is what a Latin one would have in its place.
 * @param {Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>} event
 */
export function latinKey({ key, code, shiftKey }) {
  if (/^[\x20-\x7e]$/.test(key)) {
    // A Russian keyboard has its full stop and comma on the key that says "/" and "?" elsewhere.
    if (code === 'Slash' && key === '.') return '/';
    if (code === 'Slash' && key === ',') return '?';
    return key.toLowerCase();
  }
  if ([...key].length > 1 && !['Process', 'Unidentified', 'Dead'].includes(key)) return key;
  const place = /^(?:Key([A-Z])|(?:Digit|Numpad)(0))$/.exec(code);
  if (place) return place[1]?.toLowerCase() ?? place[2];
  if (code === 'Slash') return shiftKey ? '?' : '/';
  return key;
}

/** @returns {string | null} */
function read() {
  try {
    return openStorage()?.getItem(KEY) ?? null;
  } catch {
    return null;
  }
}
