/*
 * Owns the news that the screen has another pixel density: the window was moved to another one, or the reader zoomed.
 * No element changes its size in CSS pixels then, so no observer of sizes says that a canvas has become blurred. Media
 * queries do not say so everywhere either, and looking is as cheap as comparing two numbers.
 */

const LOOK_MS = 500;

/** @param {() => void} changed */
export function listenToDensity(changed) {
  let known = devicePixelRatio;
  setInterval(() => {
    if (devicePixelRatio === known) return;
    known = devicePixelRatio;
    changed();
  }, LOOK_MS);
}
