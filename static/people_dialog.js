/*
 * Owns the dialog about people: a modal one, as the help is, with tabs for who one is, the team, and the ranks.
 */

import { element } from './page.js';
import { AccountPane } from './people_account.js';
import { RanksPane } from './people_ranks.js';
import { TeamPane } from './people_team.js';

/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {import('./people_identity.js').Identity} Identity */
/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {'account' | 'team' | 'ranks'} Tab */

/** @type {Tab[]} */
const TABS = ['account', 'team', 'ranks'];

/**
 * Where a key leads from a tab, as in every list of tabs.
 * @param {string} key
 * @param {number} at
 * @param {number} count
 * @returns {number | undefined}
 */
export function tabAfter(key, at, count) {
  if (key === 'ArrowRight') return (at + 1) % count;
  if (key === 'ArrowLeft') return (at + count - 1) % count;
  if (key === 'Home') return 0;
  return key === 'End' ? count - 1 : undefined;
}

export class PeopleDialog {
  /**
   * @param {Identity} identity
   * @param {Ask} ask
   * @param {(() => void) | undefined} talk opens the chat, where there is one
   */
  constructor(identity, ask, talk) {
    this.root = /** @type {HTMLDialogElement} */ (element('people'));
    this.said = element('people-said');
    const say = (/** @type {string} */ words) => this.say(words);
    this.account = new AccountPane(identity, ask, say);
    this.team = new TeamPane(identity, ask, say, () => this.show('account', true));
    this.ranks = new RanksPane(identity, ask);
    /** @type {Tab} */
    this.tab = 'account';
    for (const [at, tab] of TABS.entries()) {
      const button = element(`tab-${tab}`);
      button.addEventListener('click', () => this.show(tab));
      button.addEventListener('keydown', (event) => {
        const next = tabAfter(event.key, at, TABS.length);
        if (next === undefined) return;
        event.preventDefault();
        this.show(TABS[next], true);
      });
    }
    this.root.addEventListener('close', () => {
      this.say('');
      this.team.closed();
      this.ranks.show(false);
    });
    // For browsers that do not know `closedby`: a press beside the dialog is a press on its backdrop.
    this.root.addEventListener('pointerdown', ({ target, clientX, clientY }) => {
      if (target !== this.root) return;
      const { left, right, top, bottom } = this.root.getBoundingClientRect();
      if (clientX < left || clientX > right || clientY < top || clientY > bottom) this.root.close();
    });
    const chat = element('open-chat');
    chat.hidden = !talk;
    chat.addEventListener('click', () => {
      this.root.close();
      talk?.();
    });
    this.changed(identity.me);
  }

  /** @param {string} [invitation] to a team */
  open(invitation) {
    if (invitation !== undefined) this.team.invited(invitation);
    if (!this.root.open) this.root.showModal();
    this.show(invitation === undefined ? this.tab : 'team');
    this.root.scrollTop = 0;
  }

  /**
   * @param {Tab} tab
   * @param {boolean} [focus] its button
   */
  show(tab, focus = false) {
    // What was said is about what was there.
    if (tab !== this.tab) this.say('');
    this.tab = tab;
    for (const other of TABS) {
      const button = element(`tab-${other}`);
      button.setAttribute('aria-selected', String(other === tab));
      button.tabIndex = other === tab ? 0 : -1;
      element(`pane-${other}`).hidden = other !== tab;
    }
    if (focus) element(`tab-${tab}`).focus();
    this.ranks.show(tab === 'ranks');
    if (tab === 'team') void this.team.load();
  }

  /** @param {Me | undefined} me */
  changed(me) {
    this.account.changed(me);
    this.team.changed(me);
    // Who has signed in to join is led there.
    const isWanted = this.root.open && this.tab === 'account' && this.team.invitation !== undefined;
    if (isWanted && me?.isAccount) return this.show('team', true);
    this.ranks.changed();
    if (this.root.open && this.tab === 'team') void this.team.load();
  }

  /** @param {string} words */
  say(words) {
    this.said.textContent = words;
  }
}
