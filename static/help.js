/*
 * Owns the help: a modal dialog, so that the browser keeps focus and keys inside and gives the focus back afterwards.
 */

import { element } from './page.js';
import { setShortcutsEnabled, shortcutsEnabled } from './shortcuts.js';

/** @returns {() => void} opens the help */
export function helpDialog() {
  const help = /** @type {HTMLDialogElement} */ (element('help'));
  const keys = /** @type {HTMLDetailsElement} */ (element('keys'));
  // Who plays with a finger may still have a keyboard, and finds it there.
  keys.open = !matchMedia('(pointer: coarse)').matches;
  const single = /** @type {HTMLInputElement} */ (element('single-keys'));
  single.checked = shortcutsEnabled();
  single.addEventListener('change', () => setShortcutsEnabled(single.checked));
  const open = () => {
    if (help.open) return;
    help.showModal();
    help.scrollTop = 0;
  };
  element('help-button').addEventListener('click', open);
  help.addEventListener('keydown', (event) => {
    if (event.key !== '?' || !help.open) return;
    event.preventDefault();
    help.close();
  });
  // For browsers that do not know `closedby`: a press beside the dialog is a press on its backdrop.
  help.addEventListener('pointerdown', ({ target, clientX, clientY }) => {
    if (target !== help) return;
    const { left, right, top, bottom } = help.getBoundingClientRect();
    if (clientX < left || clientX > right || clientY < top || clientY > bottom) help.close();
  });
  return open;
}
