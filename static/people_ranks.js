/*
 * Owns the pane with the ranks of players and teams, which are asked for again and again as long as somebody looks.
 */

import { readColour } from './people_identity.js';
import { element } from './page.js';
import { nameOf } from './people_team.js';
import { formatNumber } from './words.js';

/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {import('./people_identity.js').Identity} Identity */
/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {'players' | 'teams'} Of */
/** @typedef {{ rank: number, name: string, colour: string | undefined, total: number, isOwn: boolean }} Row */

const REFRESH_MS = 10_000;

/**
 * @param {Of} of
 * @param {boolean} isToday
 * @param {number} nowMs since 1970
 */
export function ranksPath(of, isToday, nowMs) {
  const day = new Date(nowMs).toISOString().slice(0, 10);
  return `leaderboard?of=${of}${isToday ? `&day=${day}` : ''}`;
}

/**
 * @param {any} value the answer
 * @param {Of} of
 * @param {Me | undefined} me
 * @returns {Row[]}
 */
export function readRows(value, of, me) {
  /** @type {any[]} */
  const entries = Array.isArray(value?.entries) ? value.entries : [];
  const own = of === 'players' ? me?.user : me?.team?.id;
  const good = entries.filter((entry) => typeof entry?.id === 'string' && entry.rank > 0 && entry.total >= 0);
  return good.map(({ rank, id, name, colour, total }) => ({
    rank,
    name: nameOf(id, name),
    colour: typeof colour === 'string' ? readColour(colour) : undefined,
    total,
    isOwn: id === own,
  }));
}

export class RanksPane {
  /**
   * @param {Identity} identity
   * @param {Ask} ask
   */
  constructor(identity, ask) {
    this.identity = identity;
    this.ask = ask;
    this.form = /** @type {HTMLFormElement} */ (element('ranks-form'));
    this.table = element('ranks');
    this.rows = element('ranks-rows');
    this.words = element('ranks-words');
    this.timer = 0;
    this.turn = 0;
    /** What the table shows, so that nothing is written anew that stays the same. */
    this.shown = '';
    this.form.addEventListener('change', () => this.load());
    this.form.addEventListener('submit', (event) => event.preventDefault());
  }

  /** @param {boolean} isShown */
  show(isShown) {
    clearInterval(this.timer);
    this.turn += 1;
    if (!isShown) return;
    void this.load();
    this.timer = setInterval(() => {
      if (document.visibilityState === 'visible') void this.load();
    }, REFRESH_MS);
  }

  /** Who I am is marked in it. */
  changed() {
    if (!element('pane-ranks').hidden && this.timer !== 0) void this.load();
  }

  async load() {
    const turn = ++this.turn;
    const chosen = new FormData(this.form);
    const of = chosen.get('of') === 'teams' ? 'teams' : 'players';
    const isToday = chosen.get('when') === 'today';
    this.table.setAttribute('aria-busy', 'true');
    const answer = await this.ask('GET', ranksPath(of, isToday, Date.now()));
    if (turn !== this.turn) return;
    this.table.setAttribute('aria-busy', 'false');
    // What was there last is better than nothing.
    if (!answer.ok) return this.say('The ranks cannot be read right now.');
    const rows = readRows(answer.value, of, this.identity.me);
    this.say(rows.length > 0 ? '' : isToday ? 'Nobody has checked a box today. Yet.' : 'Nobody is here yet.');
    element('ranks-caption').textContent = `${of === 'teams' ? 'Teams' : 'Players'}, ${isToday ? 'today' : 'of all time'}`;
    this.write(rows);
  }

  /** @param {string} words */
  say(words) {
    if (this.words.textContent !== words) this.words.textContent = words;
  }

  /** @param {Row[]} rows */
  write(rows) {
    const shown = JSON.stringify(rows);
    if (shown === this.shown) return;
    this.shown = shown;
    this.table.hidden = rows.length === 0;
    this.rows.replaceChildren(...rows.map((row) => rowElement(row)));
  }
}

/** @param {Row} row */
function rowElement({ rank, name, colour, total, isOwn }) {
  const line = document.createElement('tr');
  const who = document.createElement('th');
  who.scope = 'row';
  if (colour) {
    const dot = document.createElement('i');
    dot.className = 'team-dot';
    dot.style.setProperty('--team', colour);
    who.append(dot);
  }
  const words = document.createElement('span');
  words.textContent = isOwn ? `${name} (you)` : name;
  who.append(words);
  const cells = [formatNumber(rank), formatNumber(total)].map((text) => {
    const cell = document.createElement('td');
    cell.textContent = text;
    return cell;
  });
  line.append(cells[0], who, cells[1]);
  if (isOwn) line.setAttribute('aria-current', 'true');
  return line;
}
