/*
 * Owns the words around the board: total, players, connection, notices. Everything is written as text, never as
 * markup. It tells nobody anything.
 */

import { lastTotalMilestone, nextTotalMilestone } from './milestones.js';
import { formatNumber, formatShare, turnedAwayWords } from './words.js';

/** @typedef {import('./connection.js').ConnectionState} ConnectionState */
/** @typedef {import('./geometry.js').Geometry} Geometry */

/** A busy board has thousands of totals a second; nobody reads more than twenty. */
const TOTAL_INTERVAL_MS = 50;
const NOTICE_MS = 5_000;
/** Twice a second the eye can follow; more often it only sees a number that is never in its place. */
const ROLL_INTERVAL_MS = 500;
const ROLL_MS = 180;

/** @param {string} id */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/** Everything is wired: until now a click would have been lost, so nothing could be clicked. */
export function letIn() {
  for (const part of document.querySelectorAll('main, .dock')) part.removeAttribute('inert');
  document.body.dataset.started = '';
}

/**
 * @param {number} boxes
 * @returns {(total: number) => void}
 */
export function totalDisplay(boxes) {
  const root = element('total');
  const share = element('share');
  const showMilestones = milestonesDisplay(boxes);
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  element('boxes').textContent = formatNumber(boxes);
  let latest = 0;
  let timer = 0;
  let rolledAtMs = -Infinity;
  const write = () => {
    timer = 0;
    if (root.dataset.total === String(latest)) return;
    root.dataset.total = String(latest);
    // One text, so that it is read out, found and copied as the one number that it is.
    root.textContent = formatNumber(latest);
    share.textContent = formatShare(latest, boxes);
    showMilestones(latest);
    const nowMs = performance.now();
    if (nowMs - rolledAtMs < ROLL_INTERVAL_MS) return;
    rolledAtMs = nowMs;
    root.animate?.([{ transform: 'translateY(0.1em)' }, { transform: 'none' }], calm.matches ? 0 : ROLL_MS);
  };
  return (total) => {
    latest = total;
    if (timer === 0) timer = setTimeout(write, TOTAL_INTERVAL_MS);
  };
}

/**
 * How far it is from the last round total to the next one.
 * @param {number} boxes
 * @returns {(total: number) => void}
 */
function milestonesDisplay(boxes) {
  const [last, next, togo, progress] = ['milestone-last', 'milestone-next', 'togo', 'progress'].map(element);
  return (total) => {
    const from = lastTotalMilestone(total);
    const to = Math.min(nextTotalMilestone(total), boxes);
    const share = total >= boxes ? 1 : (total - from) / (to - from);
    last.textContent = formatNumber(from);
    next.textContent = formatNumber(to);
    togo.textContent = total < boxes ? `${formatNumber(to - total)} to the next milestone` : 'All of them. We did it!';
    progress.style.transform = `scaleX(${share})`;
    progress.parentElement?.setAttribute('aria-valuenow', String(Math.floor(share * 100)));
  };
}

/**
 * The server counts connections, so somebody with two windows is there twice: nothing is said of people.
 * @param {number} players
 */
export function showPlayers(players) {
  element('players').hidden = false;
  element('players-count').textContent = players <= 1 ? 'just you' : formatNumber(players);
  element('players-words').textContent = ' here';
}

/**
 * @param {() => void} retry
 * @returns {(state: ConnectionState) => void}
 */
export function connectionDisplay(retry) {
  const words = element('connection-state');
  const why = element('turned-away');
  // Kept apart from the state, because a screen reader should not count along.
  const countdown = element('connection-countdown');
  const seconds = element('connection-seconds');
  element('retry').addEventListener('click', retry);
  let timer = 0;
  return (connection) => {
    clearInterval(timer);
    countdown.hidden = connection.state !== 'offline';
    document.body.dataset.connection = connection.state;
    const turnedAway = connection.state === 'live' ? undefined : connection.turnedAway;
    // The line is there, and so is the server.
    words.textContent = connection.state === 'offline' && turnedAway ? 'waiting' : connection.state;
    // The same words again would be read out again.
    if (why.textContent !== turnedAwayWords(turnedAway)) why.textContent = turnedAwayWords(turnedAway);
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
