/*
 * Owns what is shown of a second: figures with their lines, the strip of shards, tables. Reads, changes nothing but the
 * document.
 */

import { element, keep, make, write } from './dom.js';
import { Refusals, heat, totals } from './figures.js';
import { History } from './history.js';
import { count, duration, inOne, memory, rate, refusalWords, time } from './words.js';

/** @typedef {import('./figures.js').Second} Second */
/** @typedef {import('./figures.js').Node} BoardNode */

/** Of the lines, in the units of their own picture. */
const [WIDTH, HEIGHT] = [180, 36];
const SVG = 'http://www.w3.org/2000/svg';

/** A figure with its line. */
class Figure {
  /**
   * @param {string} id
   * @param {string} name
   * @param {string} what it is, for those who point at it and those who have it read out
   */
  constructor(id, name, what) {
    this.history = new History();
    this.number = make('span', { class: 'value' });
    this.unit = make('span', { class: 'unit' });
    this.more = make('p', { class: 'more' });
    this.area = path('area');
    this.line = path('line');
    const picture = document.createElementNS(SVG, 'svg');
    picture.setAttribute('viewBox', `0 -2 ${WIDTH} ${HEIGHT + 4}`);
    picture.setAttribute('preserveAspectRatio', 'none');
    picture.setAttribute('aria-hidden', 'true');
    picture.append(this.area, this.line);
    const figure = element(id);
    figure.title = what;
    figure.append(make('h2', {}, name), make('p', { class: 'reading' }, this.number, ' ', this.unit), picture, this.more);
  }

  /**
   * @param {number} atMs
   * @param {number | null} value
   * @param {import('./words.js').Figure} shown
   * @param {string} more
   */
  show(atMs, value, shown, more) {
    this.history.add(atMs, value);
    write(this.number, shown.number);
    write(this.unit, shown.unit);
    write(this.more, more);
    const { line, area } = this.history.paths(atMs, WIDTH, HEIGHT);
    this.line.setAttribute('d', line);
    this.area.setAttribute('d', area);
  }
}

/** @param {string} name */
function path(name) {
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('class', name);
  return path;
}

export class Panels {
  /** @param {(address: string) => void} block somebody wants to block this address */
  constructor(block) {
    this.block = block;
    this.refusals = new Refusals();
    this.players = new Figure('players', 'Players', 'Connections of players, on all nodes');
    this.checks = new Figure('checks', 'Checks', 'Checks that the shards have taken in, on all nodes; the line and its peak are of the last three minutes');
    this.updates = new Figure('updates', 'Updates', 'Updates put into the outboxes of players, on all nodes; the line and its peak are of the last three minutes');
    this.toScreens = new Figure('to-screens', 'Check to screen', 'From taking in a check until it is handed to every session, the median of the slowest node; the network comes on top');
    this.lagging = new Figure('lagging', 'Lagging', 'Connections that do not take their updates and are resynced later');
    this.memory = new Figure('memory', 'Memory', 'Resident memory of the largest node');
  }

  /** @param {Second} second */
  show(second) {
    this.showFigures(second);
    showHeat(second.nodes);
    showNodes(second);
    showBoard(second);
    this.showRefusals(second);
    this.showAddresses(second);
  }

  /** @param {Second} second */
  showFigures({ at_ms: atMs, nodes }) {
    const now = totals(nodes);
    /** @param {Figure} figure */
    const most = (figure) => `peak ${rate(figure.history.most)}`;
    this.players.show(atMs, now.players, { number: count(now.players), unit: '' }, now.playersMax ? `of ${count(now.playersMax)} places` : '');
    this.checks.show(atMs, now.checks, { number: rate(now.checks), unit: '/s' }, '');
    write(this.checks.more, most(this.checks));
    this.updates.show(atMs, now.updates, { number: rate(now.updates), unit: '/s' }, '');
    write(this.updates.more, most(this.updates));
    const slowest = now.toScreensMax === null ? 'nobody checks' : `slowest ${inOne(time(now.toScreensMax))}`;
    this.toScreens.show(atMs, now.toScreens, time(now.toScreens), slowest);
    const share = now.lagging ? `${rate((now.lagging / Math.max(now.players, now.lagging)) * 100)}% of players` : 'all keep up';
    this.lagging.show(atMs, now.lagging, { number: count(now.lagging), unit: '' }, share);
    element('lagging').toggleAttribute('data-warn', now.lagging > 0);
    this.memory.show(atMs, now.memory, memory(now.memory), nodes.length > 1 ? `largest of ${nodes.length} nodes` : 'resident');
  }

  /** @param {Second} second */
  showRefusals(second) {
    const rates = this.refusals.rates(second);
    element('refusals-none').hidden = rates.length > 0;
    element('refusals-table').hidden = rates.length === 0;
    keep(element('refusals'), rates, ({ reason }) => reason, ({ reason }) => {
      const name = make('th', { scope: 'row' }, make('code', {}, reason), make('span', { class: 'quiet' }, refusalWords(reason)));
      return make('tr', {}, name, make('td', { class: 'number' }), make('td', { class: 'number' }));
    }, (row, { count: all, rate: perSecond }) => {
      write(row.cells[1], rate(perSecond));
      write(row.cells[2], count(all));
      row.toggleAttribute('data-now', perSecond > 0);
    });
  }

  /** @param {Second} second */
  showAddresses({ addresses }) {
    element('addresses-none').hidden = addresses.length > 0;
    keep(element('addresses'), addresses, ({ address }) => address, ({ address }) => {
      const block = make('button', { type: 'button', class: 'small', 'data-operator': '', 'aria-label': `Block ${address}…` }, 'Block…');
      block.hidden = document.body.dataset.role !== 'operator';
      block.addEventListener('click', () => this.block(address));
      return make('tr', {}, make('th', { scope: 'row' }, make('code', {}, address)), make('td', { class: 'number' }), make('td', { class: 'button' }, block));
    }, (row, { connections }) => write(row.cells[1], count(connections)));
  }
}

/** @param {BoardNode[]} nodes */
function showHeat(nodes) {
  const cells = heat(nodes);
  const most = Math.max(1, ...cells.map((cell) => cell.rate));
  keep(element('heat'), cells, ({ first }) => String(first), () => make('i', {}), (bar, { first, last, rate: perSecond }) => {
    // By the square root: a shard with a hundredth of the heat is still seen.
    bar.style.setProperty('--heat', String(Math.sqrt(perSecond / most)));
    bar.title = `Boxes ${count(first)} to ${count(last)}: ${rate(perSecond)} checks/s`;
  });
  const last = cells[cells.length - 1];
  write(element('heat-first'), 'box 1');
  write(element('heat-last'), last ? count(last.last) : '');
  const busiest = cells.reduce((busiest, cell) => (cell.rate > busiest.rate ? cell : busiest), { first: 0, last: 0, rate: 0 });
  write(element('heat-busiest'), busiest.rate > 0 ? `Busiest: boxes ${count(busiest.first)} to ${count(busiest.last)}, ${rate(busiest.rate)} checks/s` : 'No shard takes checks.');
}

/**
 * What is to be known of a node, worst first.
 * @param {BoardNode} node
 * @returns {{ level: 'good' | 'warn' | 'bad', words: string }}
 */
export function stateOf(node) {
  if (node.boards.some((board) => board.store_problem)) return { level: 'bad', words: 'store down' };
  if (node.draining) return { level: 'warn', words: 'stopping' };
  if (node.boards.some((board) => board.read_only)) return { level: 'warn', words: 'read-only' };
  return { level: 'good', words: 'well' };
}

/** The columns of a node, as its cards have them. */
const NUMBERS = ['Up', 'Players', 'Checks/s', 'Updates/s', 'To screens', 'Lagging', 'Memory'];

/** @param {Second} second */
function showNodes({ node: own, nodes }) {
  write(element('nodes-count'), String(nodes.length));
  keep(element('nodes'), nodes, ({ id }) => id, (node) => {
    const name = make('th', { role: 'rowheader' }, make('code', {}, node.id), make('span', { class: 'quiet' }, node.version.split(' ')[0]));
    name.title = node.version;
    if (node.id === own) name.append(make('span', { class: 'chip' }, 'this one'));
    const numbers = NUMBERS.map((label) => make('td', { role: 'cell', class: 'number', 'data-label': label }));
    return make('tr', { role: 'row' }, name, make('td', { role: 'cell', 'data-label': 'State' }, make('span', { class: 'sign' })), ...numbers);
  }, (row, node) => {
    const { level, words } = stateOf(node);
    const sign = /** @type {HTMLElement} */ (row.cells[1].firstElementChild);
    sign.dataset.level = level;
    write(sign, words);
    [
      duration(node.uptime_s),
      count(node.connections),
      rate(node.checks_per_s),
      rate(node.updates_per_s),
      inOne(time(node.to_screens_ms ?? null)),
      count(node.lagging),
      inOne(memory(node.memory_bytes ?? null)),
    ].forEach((text, index) => write(row.cells[index + 2], text));
  });
}

/** @param {Second} second */
function showBoard({ node: own, nodes }) {
  const boards = nodes.find(({ id }) => id === own)?.boards ?? [];
  /** @type {[string, string, string?][]} */
  const facts = boards.flatMap((board) => {
    const percent = ((100 * board.checked) / board.boxes).toFixed(board.checked * 100 < board.boxes ? 4 : 2);
    return /** @type {[string, string, string?][]} */ ([
      [boards.length > 1 ? `Board ${board.name}` : 'Board', boards.length > 1 ? '' : board.name],
      ['Checked', `${count(board.checked)} of ${count(board.boxes)} (${percent}%)`],
      ['Shards', count(board.shards.length)],
      ['Store', board.store_problem ? `takes no checks: ${board.store_problem}` : 'takes checks', board.store_problem ? 'bad' : 'good'],
    ]);
  });
  keep(element('board-facts'), facts, ([name]) => name, ([name]) => make('div', {}, make('dt', {}, name), make('dd')), (pair, [, text, level]) => {
    const value = /** @type {HTMLElement} */ (pair.lastElementChild);
    write(value, text);
    value.classList.toggle('sign', level !== undefined);
    if (level) value.dataset.level = level;
  });
}
