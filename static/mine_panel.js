/*
 * Owns how own boxes are shown: how many, how many still wait for an answer, and the way from one to the next.
 */

import { element } from './page.js';
import { MINE_MAX } from './mine.js';
import { formatNumber } from './words.js';

/** @typedef {import('./mine.js').Mine} Mine */

export class MinePanel {
  /**
   * @param {Mine} mine
   * @param {(id: number) => void} visit
   */
  constructor(mine, visit) {
    this.mine = mine;
    this.visit = visit;
    this.count = element('mine-count');
    this.position = element('mine-position');
    this.waiting = element('waiting');
    this.older = element('mine-older');
    this.newer = element('mine-newer');
    /** The box that was visited last; none before the first visit and after a new check. */
    this.at = 0;
    this.older.addEventListener('click', () => this.go(-1));
    this.newer.addEventListener('click', () => this.go(1));
    mine.listen((id) => {
      if (id !== undefined) this.at = 0;
      this.write();
    });
    this.write();
  }

  /**
   * Visits the next older or newer box of mine; past the end it goes round. The first step goes to the newest.
   * @param {-1 | 1} step
   */
  go(step) {
    const { order, count } = this.mine;
    if (count === 0) return;
    const index = this.at === 0 ? (step < 0 ? count : -1) : order.lastIndexOf(this.at);
    this.at = order[(index + step + count) % count];
    this.write();
    this.visit(this.at);
  }

  /** @param {number} waiting checks without an answer */
  showWaiting(waiting) {
    this.waiting.textContent = waiting > 0 ? `${formatNumber(waiting)} on the way` : '';
  }

  write() {
    const { count, order } = this.mine;
    const more = count >= MINE_MAX ? '+' : '';
    this.count.textContent = `${formatNumber(count)}${more}`;
    for (const button of [this.older, this.newer]) button.setAttribute('aria-disabled', String(count === 0));
    const position = formatNumber(order.lastIndexOf(this.at) + 1);
    this.position.textContent = this.at === 0 ? '' : `${position} of ${formatNumber(count)}`;
  }
}
