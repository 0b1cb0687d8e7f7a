/*
 * Owns what the page is about at the moment: asking for a token, being refused, or the room; and what stands in its head.
 */

import { Api } from './api.js';
import { Controls } from './controls.js';
import { element, keep, make, write } from './dom.js';
import { Feed } from './feed.js';
import { Panels, stateOf } from './panels.js';
import { clockTime } from './words.js';

/** @typedef {import('./figures.js').Second} Second */

/** When the last second was. */
let asOf = '';

const api = new Api();
const controls = new Controls(api);
const panels = new Panels((address) => controls.askToBlock(address));
const token = /** @type {HTMLInputElement} */ (element('token'));

const feed = new Feed(api, {
  opened({ name, role }) {
    document.body.dataset.role = role;
    show('room');
    controls.let(role === 'operator');
    element('caller').hidden = false;
    write(element('caller-words'), api.token ? `${name}, ${role}` : 'this machine, operator');
    element('leave').hidden = !api.token;
  },
  second(second) {
    state('live', 'live');
    asOf = `as of ${clockTime(second.at_ms)}`;
    write(element('as-of'), asOf);
    element('as-of').hidden = false;
    write(element('whose'), nameOf(second));
    panels.show(second);
    controls.show(second);
    showAlerts(second);
  },
  lost(why) {
    state('lost', 'reconnecting');
    write(element('as-of'), asOf && `${asOf}. ${why}`);
    // There has been nothing to show yet.
    if (!asOf) refuse('Not yet', why);
  },
  refused({ status, message }) {
    state('refused', 'not let in');
    asOf = '';
    element('as-of').hidden = true;
    element('caller').hidden = true;
    if (status !== 401) {
      return refuse('Not from here', message);
    }
    // Without a token nothing was wrong with one.
    write(element('door-problem'), api.token ? message : '');
    token.setAttribute('aria-invalid', String(api.token !== undefined));
    api.keep(undefined);
    show('door');
    token.focus();
    token.select();
  },
});

/**
 * @param {string} title
 * @param {string} why
 */
function refuse(title, why) {
  write(element('refused-title'), title);
  write(element('refused-detail'), why);
  show('refused');
}

/** @param {'room' | 'door' | 'refused'} part */
function show(part) {
  for (const id of ['room', 'door', 'refused']) element(id).hidden = id !== part;
}

/**
 * @param {'connecting' | 'live' | 'lost' | 'refused'} name
 * @param {string} words
 */
function state(name, words) {
  document.body.dataset.state = name;
  write(element('state-words'), words);
}

/** @param {Second} second */
function nameOf({ node: own, nodes }) {
  const node = nodes.find(({ id }) => id === own);
  return node ? `node ${own}, version ${node.version.split(' ')[0]}` : `node ${own}`;
}

/** @param {Second} second */
function showAlerts({ nodes, read_only: readOnly }) {
  /** @type {{ key: string, level: string, words: string }[]} */
  const alerts = [];
  for (const node of nodes) {
    for (const board of node.boards) {
      if (board.store_problem) alerts.push({ key: `store ${node.id} ${board.name}`, level: 'bad', words: `The store of node ${node.id} takes no checks: ${board.store_problem}` });
    }
    if (stateOf(node).words === 'stopping') alerts.push({ key: `stops ${node.id}`, level: 'warn', words: `Node ${node.id} is about to stop.` });
  }
  if (readOnly) alerts.push({ key: 'read-only', level: 'warn', words: `The board is read-only${readOnly.reason ? `: ${readOnly.reason}` : ''}` });
  const list = element('alerts');
  list.hidden = alerts.length === 0;
  keep(list, alerts, ({ key }) => key, ({ level }) => make('li', { class: 'sign', 'data-level': level }), (item, { words }) => write(item, words));
}

element('door').addEventListener('submit', (event) => {
  event.preventDefault();
  const given = token.value.trim();
  if (!given) return write(element('door-problem'), 'Type or paste a token.');
  // A header takes no other characters, and no token has any.
  if (!/^[\x21-\x7e]+$/.test(given)) return write(element('door-problem'), 'A token has letters, digits and _ only.');
  token.value = '';
  api.keep(given);
  begin();
});
element('again').addEventListener('click', begin);
element('leave').addEventListener('click', () => {
  api.keep(undefined);
  begin();
});

function begin() {
  state('connecting', 'connecting');
  void feed.start();
}

begin();
