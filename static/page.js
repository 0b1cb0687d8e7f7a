/*
 * Owns the words around the board: total, players, connection, notices, and the jump form. Everything
 * is written as text, never as markup. It tells nobody anything but where to jump.
 */

import { parseJump } from './place.js';
import { formatNumber, formatShare } from './words.js';

/** @typedef {import('./connection.js').ConnectionState} ConnectionState */

/** A busy board has thousands of totals a second; nobody reads more than twenty. */
const TOTAL_INTERVAL_MS = 50;
const NOTICE_MS = 5_000;

/** @param {string} id */
function element(id) {
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
  element('boxes').textContent = formatNumber(boxes);
  let latest = 0;
  let timer = 0;
  const write = () => {
    timer = 0;
    root.dataset.total = String(latest);
    root.textContent = formatNumber(latest);
    share.textContent = formatShare(latest, boxes);
  };
  return (total) => {
    latest = total;
    if (timer === 0) timer = setTimeout(write, TOTAL_INTERVAL_MS);
  };
}

/** @param {number} players */
export function showPlayers(players) {
  const root = element('players');
  root.hidden = false;
  root.textContent = players === 1 ? 'just you here' : `${formatNumber(players)} people here`;
}

/** @returns {(state: ConnectionState) => void} */
export function connectionDisplay() {
  const words = element('connection-state');
  // Kept apart from the state, because a screen reader should not count along.
  const countdown = element('connection-countdown');
  const seconds = element('connection-seconds');
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

/**
 * @param {number} boxes
 * @param {(id: number) => void} jump
 */
export function listenToJumpForm(boxes, jump) {
  const form = element('jump-form');
  const input = /** @type {HTMLInputElement} */ (element('jump'));
  const problem = element('jump-problem');
  const complain = (/** @type {string} */ text) => {
    problem.textContent = text;
    input.setAttribute('aria-invalid', String(text !== ''));
  };
  const go = (/** @type {string} */ typed) => {
    const found = parseJump(typed, boxes, Math.random());
    if ('error' in found) {
      complain(found.error);
      return input.focus();
    }
    complain('');
    input.value = '';
    jump(found.id);
  };
  input.addEventListener('input', () => complain(''));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(input.value);
  });
  element('jump-random').addEventListener('click', () => go('random'));
}
