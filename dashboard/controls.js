/*
 * Owns what changes something: the forms of operators, the questions before what cannot be taken back unseen, and what the
 * server says to it. What is in force comes from the stream, not from here.
 */

import { Problem } from './api.js';
import { element, keep, make, write } from './dom.js';
import { noticeControl, showNotice } from './notice.js';
import { dayTime } from './words.js';

/** @typedef {import('./figures.js').Second} Second */
/** @typedef {{ network: string, reason: string, until_ms: number | null, since_ms: number, by: string }} Block */

/** Blocks that are listed; the rest is counted. */
const LISTED_MAX = 100;

export class Controls {
  /** @param {import('./api.js').Api} api */
  constructor(api) {
    this.api = api;
    /** Which blocks are listed: of which node, and which version. */
    this.listed = '';
    this.isListing = false;
    /** @type {Block[]} */
    this.blocks = [];
    noticeControl(this);
    this.readOnlyControl();
    this.blockControl();
  }

  /** @param {boolean} isOperator */
  let(isOperator) {
    for (const control of document.querySelectorAll('[data-operator]')) /** @type {HTMLElement} */ (control).hidden = !isOperator;
    element('viewer').hidden = isOperator;
  }

  /** @param {Second} second */
  show(second) {
    showReadOnly(second);
    const hasNotices = second.notice !== undefined;
    element('notice-card').hidden = !hasNotices;
    if (hasNotices) showNotice(second.notice ?? null);
    const version = `${second.node} ${second.blocks_version}`;
    if (version !== this.listed) void this.list(version);
    this.showBlocks(second.at_ms);
  }

  /** @param {string} version */
  async list(version) {
    if (this.isListing) return;
    this.isListing = true;
    try {
      ({ blocks: this.blocks } = await this.api.ask('GET', 'blocks'));
      this.listed = version;
      write(element('blocks-problem'), '');
    } catch (error) {
      write(element('blocks-problem'), `The list is not up to date: ${words(error)}`);
    } finally {
      this.isListing = false;
    }
  }

  /** @param {number} nowMs of the node's clock, by which they end */
  showBlocks(nowMs) {
    const blocks = this.blocks.filter(({ until_ms: until }) => until === null || until > nowMs);
    blocks.sort((a, b) => b.since_ms - a.since_ms);
    const more = blocks.length - LISTED_MAX;
    write(element('blocks-count'), blocks.length ? `${blocks.length}${more > 0 ? `, the newest ${LISTED_MAX} listed` : ''}` : '');
    element('blocks-none').hidden = blocks.length > 0;
    keep(element('blocks'), blocks.slice(0, LISTED_MAX), (block) => `${block.network} ${block.since_ms}`, (block) => {
      const until = block.until_ms ? `until ${dayTime(block.until_ms)}` : 'until removed';
      const about = `${block.reason ? `${block.reason}, ` : ''}${until}, by ${block.by}`;
      const remove = make('button', { type: 'button', class: 'small', 'data-operator': '', 'aria-label': `Remove the block of ${block.network}` }, 'Remove');
      remove.hidden = document.body.dataset.role !== 'operator';
      this.press(remove, element('block-form'), () => this.api.ask('DELETE', `blocks?network=${encodeURIComponent(block.network)}`));
      return make('li', {}, make('p', {}, make('code', {}, block.network), make('span', { class: 'quiet' }, about)), remove);
    }, () => {});
  }

  readOnlyControl() {
    const form = /** @type {HTMLFormElement} */ (element('read-only-form'));
    const reason = /** @type {HTMLInputElement} */ (element('read-only-reason'));
    this.submit(form, async () => {
      const text = 'From then on every check is refused, on all nodes, until somebody ends it. Players go on to see the board.';
      if (!(await confirm('Make the board read-only?', text, 'Make it read-only'))) return;
      await this.api.ask('POST', 'board/read-only', { reason: reason.value.trim() });
      reason.value = '';
    });
    this.press(element('read-only-end'), form, () => this.api.ask('DELETE', 'board/read-only'));
  }

  blockControl() {
    const form = /** @type {HTMLFormElement} */ (element('block-form'));
    const network = /** @type {HTMLInputElement} */ (element('block-network'));
    const reason = /** @type {HTMLInputElement} */ (element('block-reason'));
    const lasts = /** @type {HTMLSelectElement} */ (element('block-for'));
    this.submit(form, async () => {
      const wanted = network.value.trim();
      if (!wanted) throw new Error('Name an address or a network first.');
      const text = `Everybody there is disconnected and refused, on all nodes, ${lasts.selectedOptions[0].text === 'until removed' ? 'until the block is removed' : `for ${lasts.selectedOptions[0].text}`}.`;
      if (!(await confirm(`Block ${wanted}?`, text, 'Block'))) return;
      await this.api.ask('POST', 'blocks', { network: wanted, reason: reason.value.trim(), ...(lasts.value && { for_s: Number(lasts.value) }) });
      network.value = '';
      reason.value = '';
    });
  }

  /**
   * Fills the form; the rest is up to the operator.
   * @param {string} address
   */
  askToBlock(address) {
    const network = /** @type {HTMLInputElement} */ (element('block-network'));
    network.value = address;
    network.scrollIntoView({ block: 'center', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    element('block-reason').focus({ preventScroll: true });
  }

  /**
   * @param {HTMLFormElement} form
   * @param {() => Promise<void>} act
   */
  submit(form, act) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.act(form, act);
    });
  }

  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} form whose line says what is wrong
   * @param {() => Promise<void>} act
   */
  press(button, form, act) {
    button.addEventListener('click', () => void this.act(form, act));
  }

  /**
   * One after the other, and what is wrong beside the button that was pressed.
   * @param {HTMLElement} form
   * @param {() => Promise<void>} act
   */
  async act(form, act) {
    if (form.ariaBusy === 'true') return;
    const problem = /** @type {HTMLElement} */ (form.querySelector('.problem'));
    form.ariaBusy = 'true';
    write(problem, '');
    try {
      await act();
    } catch (error) {
      write(problem, words(error));
    } finally {
      form.ariaBusy = 'false';
    }
  }
}

/** @param {unknown} error */
function words(error) {
  if (error instanceof Problem && error.status === 0) return `${error.message} Nothing may have changed: look before you try again.`;
  return error instanceof Error ? error.message : String(error);
}

/** @param {Second} second */
function showReadOnly({ read_only: decision }) {
  element('read-only-begin').hidden = decision !== null;
  element('read-only-why').hidden = decision !== null;
  element('read-only-end').hidden = decision === null;
  const now = element('read-only-now');
  const shown = JSON.stringify(decision);
  if (now.dataset.shown === shown) return;
  now.dataset.shown = shown;
  const sign = decision
    ? make('p', {}, make('span', { class: 'sign', 'data-level': 'warn' }, 'The board takes no checks'))
    : make('p', {}, make('span', { class: 'sign', 'data-level': 'good' }, 'The board takes checks'));
  const why = decision && make('p', { class: 'quiet' }, `${decision.reason ? `${decision.reason}, ` : ''}since ${dayTime(decision.since_ms)}, by ${decision.by}`);
  now.replaceChildren(sign, ...(why ? [why] : []));
}

/**
 * Asks in the page. Escape and the first button say no.
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
function confirm(title, text, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (element('confirm'));
  write(element('confirm-title'), title);
  write(element('confirm-text'), text);
  write(element('confirm-yes'), yes);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
