/*
 * Owns the single keys that work while nothing is being typed.
 */

import { isCovered, isFree } from './keys.js';

/**
 * @param {HTMLElement} board
 * @param {Record<string, () => void>} actions by key
 */
export function listenToShortcuts(board, actions) {
  document.addEventListener('keydown', (event) => {
    if (!isFree(event, board)) return;
    const action = actions[event.key];
    // Nobody sees what happens under the help; the key that opened it also closes it.
    if (!action || (isCovered() && event.key !== '?')) return;
    event.preventDefault();
    action();
  });
}
