/*
 * Owns the words around the board: total, players, connection, notices. Everything is written as text, never as
 * markup. It tells nobody anything.
 */

import { nextTotalMilestone } from './milestones.js';
import { formatNumber, formatShare } from './words.js';

/** @typedef {import('./connection.js').ConnectionState} ConnectionState */
/** @typedef {import('./geometry.js').Geometry} Geometry */

/** A busy board has thousands of totals a second; nobody reads more than twenty. */
const TOTAL_INTERVAL_MS = 50;
const NOTICE_MS = 5_000;

/** @param {string} id */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * @param {number} boxes
 * @returns {(total: number) => void}
 */
export function totalDisplay(boxes) {
  const root = element('total');
  const share = element('share');
  const togo = element('togo');
  const progress = element('progress');
  element('boxes').textContent = formatNumber(boxes);
  let latest = 0;
  let timer = 0;
  const write = () => {
    timer = 0;
    root.dataset.total = String(latest);
    roll(root, formatNumber(latest));
    share.textContent = formatShare(latest, boxes);
    const next = Math.min(nextTotalMilestone(latest), boxes);
    const left = next - latest;
    togo.textContent = left > 0 ? `${formatNumber(left)} to go until ${formatNumber(next)}` : 'All of them. We did it!';
    progress.style.transform = `scaleX(${latest / next})`;
  };
  return (total) => {
    latest = total;
    if (timer === 0) timer = setTimeout(write, TOTAL_INTERVAL_MS);
  };
}

/**
 * Writes a number of which each digit that changes slides in, as on a counter. The text is right at once.
 * @param {HTMLElement} root
 * @param {string} text
 */
function roll(root, text) {
  const digits = root.children;
  if (digits.length !== text.length) {
    root.replaceChildren(
      ...[...text].map((character) => {
        const digit = document.createElement('span');
        digit.textContent = character;
        return digit;
      }),
    );
    return;
  }
  [...text].forEach((character, at) => {
    const digit = digits[at];
    if (digit.textContent === character) return;
    const next = document.createElement('span');
    next.className = 'rolled';
    next.textContent = character;
    digit.replaceWith(next);
  });
}

/**
 * The server counts connections, so somebody with two windows is there twice: nothing is said of people.
 * @param {number} players
 */
export function showPlayers(players) {
  const root = element('players');
  root.hidden = false;
  element('players-count').textContent = players <= 1 ? 'just you' : formatNumber(players);
  element('players-words').textContent = ' here right now';
}

/**
 * @param {() => void} retry
 * @returns {(state: ConnectionState) => void}
 */
export function connectionDisplay(retry) {
  const words = element('connection-state');
  // Kept apart from the state, because a screen reader should not count along.
  const countdown = element('connection-countdown');
  const seconds = element('connection-seconds');
  element('retry').addEventListener('click', retry);
  let timer = 0;
  return (connection) => {
    clearInterval(timer);
    countdown.hidden = connection.state !== 'offline';
    document.body.dataset.connection = connection.state;
    words.textContent = connection.state;
    if (connection.state !== 'offline') return;
    const retryAtMs = performance.now() + connection.retryInMs;
    const count = () => {
      seconds.textContent = String(Math.max(1, Math.ceil((retryAtMs - performance.now()) / 1000)));
    };
    count();
    timer = setInterval(count, 1000);
  };
}

/** @returns {(text: string) => void} */
export function noticeDisplay() {
  const root = element('notice');
  let timer = 0;
  return (text) => {
    clearTimeout(timer);
    root.textContent = text;
    timer = setTimeout(() => (root.textContent = ''), NOTICE_MS);
  };
}
