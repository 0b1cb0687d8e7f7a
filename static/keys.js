/*
 * Owns what keys do to the map, and the zoom buttons, which do the same. Keys work on the board, when nothing at all has
 * the focus, and on a button, where a click has left it. Space on a checkbox or a button is left to that itself.
 */

import { latinKey, shortcutsEnabled } from './shortcuts.js';

/** @typedef {import('./view.js').View} View */

const ZOOM_STEP = 2;

/**
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToKeys(root, view) {
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => view.step(-1, 0),
    ArrowRight: () => view.step(1, 0),
    ArrowUp: () => view.step(0, -1),
    ArrowDown: () => view.step(0, 1),
    PageUp: () => view.page(-1),
    PageDown: () => view.page(1),
    Home: () => goTo(1),
    End: () => goTo(view.geometry.boxes),
    '+': () => view.zoomStep(ZOOM_STEP),
    '=': () => view.zoomStep(ZOOM_STEP),
    '-': () => view.zoomStep(1 / ZOOM_STEP),
    _: () => view.zoomStep(1 / ZOOM_STEP),
    0: () => view.zoomTo(0),
    Escape: () => view.retreat(),
  };
  /** @param {number} id at the zoom one is at */
  function goTo(id) {
    const { level, z } = view.camera;
    view.jump(id, level === 'close' ? { focus: true, series: 'ends' } : { focus: false, z, series: 'ends' });
  }
  document.addEventListener('keydown', (event) => {
    if (!isFree(event, root)) return;
    const { target } = event;
    const key = latinKey(event);
    // Signs, like letters, can be switched off, except where the board itself was chosen.
    const isSign = key.length === 1;
    if (isSign && !shortcutsEnabled() && !(target instanceof Node && root.contains(target))) return;
    const acts = (key === ' ' || key === 'Enter') && (target === root || target === document.body);
    const action = acts ? () => view.act() : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/**
 * @param {HTMLElement} board
 * @param {Record<string, () => void>} actions by key, in lower case
 */
export function listenToShortcuts(board, actions) {
  document.addEventListener('keydown', (event) => {
    if (!shortcutsEnabled() || !isFree(event, board)) return;
    const key = latinKey(event);
    const action = Object.hasOwn(actions, key) ? actions[key] : undefined;
    if (!action) return;
    event.preventDefault();
    // What opens and closes would flicker.
    if (event.repeat && key === '?') return;
    action();
  });
}

/**
 * Whether a key may mean the map: nothing else that has the focus has a use for it, and no dialog lies on top.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} root
 */
export function isFree({ ctrlKey, altKey, metaKey, defaultPrevented, target }, root) {
  if (ctrlKey || altKey || metaKey || defaultPrevented || document.querySelector('dialog[open]')) return false;
  if (target === document.body || target instanceof HTMLButtonElement) return true;
  // A dialog that has closed and had no one to give the focus back to keeps it until the next frame.
  if (target instanceof Element && target.closest('dialog')) return true;
  return target instanceof Node && root.contains(target);
}

/**
 * @param {HTMLElement} controls holds a button for each way to zoom
 * @param {View} view
 */
export function listenToZoomButtons(controls, view) {
  controls.addEventListener('click', ({ target }) => {
    const button = target instanceof Element ? target.closest('button') : null;
    if (button?.dataset.zoom === 'in') view.zoomStep(ZOOM_STEP);
    if (button?.dataset.zoom === 'out') view.zoomStep(1 / ZOOM_STEP);
    if (button?.dataset.zoom === 'all') view.zoomTo(0);
  });
}
