/*
 * Owns the cheers: a few sparks over a box that was confirmed, confetti and a word for a milestone. Decoration only:
 * nothing depends on it, it takes no clicks, and whoever prefers reduced motion gets the words alone.
 */

import { element } from './page.js';

const PIECES_MAX = 120;
const CHEER_MS = 4_500;
const COLOURS = ['--tint-0', '--tint-1', '--tint-2', '--tint-3', '--tint-4', '--tint-5', '--map-glow'];

const calm = matchMedia('(prefers-reduced-motion: reduce)');

/**
 * @param {number} x in pixels of the window
 * @param {number} y
 * @param {number} pieces
 * @param {number} reachPx
 */
export function burst(x, y, pieces, reachPx) {
  const sky = element('sky');
  if (calm.matches || document.hidden) return;
  // It lies over everything, so it is there only while something flies: nothing could be said of colours below it.
  sky.hidden = false;
  for (let piece = 0; piece < pieces && sky.childElementCount < PIECES_MAX; piece++) {
    const spark = document.createElement('i');
    spark.style.background = `var(${COLOURS[(piece + Math.floor(x)) % COLOURS.length]})`;
    spark.style.left = `${x}px`;
    spark.style.top = `${y}px`;
    sky.append(spark);
    const angle = ((piece + Math.random()) / pieces) * 2 * Math.PI;
    const reach = reachPx * (0.5 + Math.random() / 2);
    const [dx, dy] = [Math.cos(angle) * reach, Math.sin(angle) * reach];
    const turn = `${Math.round(Math.random() * 720 - 360)}deg`;
    const flight = spark.animate(
      [
        { transform: 'translate(-50%, -50%) scale(0.4)', opacity: 1 },
        { transform: `translate(${dx}px, ${dy}px) rotate(${turn})`, opacity: 1, offset: 0.6, easing: 'ease-in' },
        { transform: `translate(${dx * 1.1}px, ${dy + reachPx / 2}px) rotate(${turn})`, opacity: 0 },
      ],
      { duration: 550 + reachPx * 3 * Math.random() + reachPx * 2, easing: 'cubic-bezier(0.1, 0.7, 0.4, 1)' },
    );
    flight.onfinish = flight.oncancel = () => {
      spark.remove();
      sky.hidden = sky.childElementCount === 0;
    };
  }
}

/**
 * A few sparks over a box, when it stands on the screen.
 * @param {number} id
 */
export function sparkle(id) {
  const box = document.querySelector(`#board [data-id="${id}"]`)?.getBoundingClientRect();
  if (box) burst(box.left + box.width / 2, box.top + box.height / 2, 7, box.width * 1.1);
}

/** Confetti over the board. */
export function confetti() {
  const rain = () => {
    const board = element('board').getBoundingClientRect();
    burst(board.left + board.width / 2, board.top + board.height / 3, 60, Math.min(260, board.width / 2));
  };
  // Right after a frame everything is laid out. Asking where the board is amid a thousand updates would lay out all
  // checkboxes once more: 20 ms.
  requestAnimationFrame(() => setTimeout(rain));
}

/** @returns {(text: string) => void} */
export function cheerDisplay() {
  const root = element('cheer');
  let timer = 0;
  return (text) => {
    clearTimeout(timer);
    root.textContent = text;
    timer = setTimeout(() => (root.textContent = ''), CHEER_MS);
  };
}
