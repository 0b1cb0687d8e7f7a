/*
 * Owns the pane about the own account: to make one, sign in and out, and everything that its owner may do with it.
 */

import { element } from './page.js';
import { clear, listenToButton, listenToForm, refusedWords } from './people_form.js';

/** @typedef {import('./people_ask.js').Answer} Answer */
/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {import('./people_identity.js').Identity} Identity */
/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {'login' | 'register' | 'reset'} Way */

/** @type {Way[]} */
const WAYS = ['login', 'register', 'reset'];

const FILE = 'billion-checkboxes.json';

/**
 * What is shown of the pane.
 * @param {Me | undefined} me
 * @returns {'out' | 'in' | 'away'} `away`: the server cannot say
 */
export function accountState(me) {
  if (!me || me.isAccount === false) return 'out';
  return me.isAccount ? 'in' : 'away';
}

export class AccountPane {
  /**
   * @param {Identity} identity
   * @param {Ask} ask
   * @param {(words: string) => void} say
   */
  constructor(identity, ask, say) {
    this.identity = identity;
    this.ask = ask;
    this.say = say;
    this.out = element('signed-out');
    this.in = element('signed-in');
    this.away = element('accounts-away');
    for (const way of WAYS) {
      this.form(`${way}-form`, `me/${way}`, (me) => `You are signed in as ${me.name}.`);
    }
    for (const button of this.out.querySelectorAll('button')) {
      const way = WAYS.find((known) => known === button.dataset.way);
      if (way) button.addEventListener('click', () => this.goWay(way, true));
    }
    this.form('name-form', 'me/name', (me) => `Your name is ${me.name} now.`);
    this.form('password-form', 'me/password', () => 'Your password is changed. Other devices are signed out.');
    const deletion = /** @type {HTMLFormElement} */ (element('delete-form'));
    listenToForm(deletion, (values) => ask('DELETE', 'me', values), () => this.left('Your account is deleted.'));
    listenToButton(element('sign-out'), () => this.signOut(false));
    listenToButton(element('sign-out-everywhere'), () => this.signOut(true));
    listenToButton(element('export'), () => this.export());
  }

  /**
   * @param {string} id
   * @param {string} path
   * @param {(me: any) => string} words when it is done
   */
  form(id, path, words) {
    const form = /** @type {HTMLFormElement} */ (element(id));
    /** @param {Record<string, string>} values */
    const submit = (values) => {
      const { connection } = this.identity;
      const named = path !== 'me/name' && connection !== '' ? { connection } : {};
      return this.ask('POST', path, { ...values, ...named });
    };
    listenToForm(form, submit, (me) => {
      form.closest('details')?.removeAttribute('open');
      void this.identity.adopt(me);
      this.say(words(me));
    });
  }

  /**
   * @param {Way} wanted
   * @param {boolean} focus
   */
  goWay(wanted, focus) {
    for (const way of WAYS) {
      const form = /** @type {HTMLFormElement} */ (element(`${way}-form`));
      form.hidden = way !== wanted;
      clear(form);
      for (const button of this.out.querySelectorAll(`[data-way="${way}"]`)) {
        if (button instanceof HTMLElement) button.hidden = way === wanted;
      }
    }
    this.say('');
    if (focus) element(`${wanted}-form`).querySelector('input')?.focus();
  }

  /** @param {Me | undefined} me */
  changed(me) {
    const state = accountState(me);
    const had = document.activeElement;
    const lost = state === 'in' ? this.out : this.in;
    const hadFocus = had !== null && lost.contains(had);
    this.out.hidden = state !== 'out';
    this.in.hidden = state !== 'in';
    this.away.hidden = state !== 'away';
    element('self-name').textContent = me?.name ?? '';
    element('self-team').textContent = me?.team?.name ?? '';
    for (const input of this.in.querySelectorAll('.whose')) input.setAttribute('value', me?.name ?? '');
    const dot = element('self-dot');
    dot.hidden = !me?.team;
    if (me?.team) dot.style.setProperty('--team', me.team.colour);
    if (state === 'out') this.goWay('login', false);
    // What had the focus is gone.
    if (hadFocus) element('tab-account').focus();
  }

  /** @param {boolean} everywhere */
  async signOut(everywhere) {
    const answer = await this.ask('POST', 'me/logout', { everywhere });
    if (!answer.ok) return this.say(refusedWords(answer));
    this.left(everywhere ? 'You are signed out everywhere.' : 'You are signed out.');
  }

  /** @param {string} words */
  left(words) {
    this.identity.leave();
    this.say(words);
  }

  async export() {
    const answer = await this.ask('POST', 'me/export', {});
    if (!answer.ok) return this.say(refusedWords(answer));
    const url = URL.createObjectURL(new Blob([JSON.stringify(answer.value, null, 2)], { type: 'application/json' }));
    const link = document.createElement('a');
    link.href = url;
    link.download = FILE;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1_000);
    this.say(`Saved as ${FILE}.`);
  }
}
