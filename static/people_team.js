/*
 * Owns the pane about the own team: to make one, invite others by a link, be invited, and leave. Nobody joins by opening
 * a link alone.
 */

import { readColour } from './people_identity.js';
import { element } from './page.js';
import { listenToButton, listenToForm, refusedWords } from './people_form.js';
import { formatInvitation } from './place.js';
import { formatNumber } from './words.js';

/** @typedef {import('./people_ask.js').Ask} Ask */
/** @typedef {import('./people_identity.js').Identity} Identity */
/** @typedef {import('./people_identity.js').Me} Me */
/** @typedef {{ user: string, name: string }} Member */
/** @typedef {{ id: string, name: string, colour: string, total: number, invite: string | undefined, members: Member[] }} Team */

/**
 * @param {any} value the `TEAM` of an answer
 * @returns {Team | undefined}
 */
export function readTeam(value) {
  if (typeof value?.id !== 'string' || typeof value.name !== 'string') return undefined;
  const { id, name, colour, total, invite, members } = value;
  /** @type {any[]} */
  const listed = Array.isArray(members) ? members : [];
  const named = listed.filter((member) => typeof member?.user === 'string');
  return {
    id,
    name,
    colour: readColour(colour),
    total: Number(total) || 0,
    invite: typeof invite === 'string' ? invite : undefined,
    members: named.map(({ user, name }) => ({ user, name: nameOf(user, name) })),
  };
}

/**
 * What somebody is called, who may have no name.
 * @param {string} user
 * @param {unknown} [name]
 */
export function nameOf(user, name) {
  return typeof name === 'string' && name.trim() !== '' ? name : `Player ${user.slice(-4)}`;
}

/**
 * @param {string} page the address of the page
 * @param {string} invite
 */
export function inviteLink(page, invite) {
  const url = new URL(page);
  url.search = '';
  url.hash = formatInvitation(invite);
  return url.href;
}

/**
 * What is shown of the pane.
 * @param {Me | undefined} me
 * @param {string | undefined} invitation
 * @returns {'out' | 'invited' | 'none' | 'in'}
 */
export function teamState(me, invitation) {
  if (!me?.isAccount) return 'out';
  if (invitation !== undefined) return 'invited';
  return me.team ? 'in' : 'none';
}

export class TeamPane {
  /**
   * @param {Identity} identity
   * @param {Ask} ask
   * @param {(words: string) => void} say
   * @param {() => void} signIn leads to where that is done
   */
  constructor(identity, ask, say, signIn) {
    this.identity = identity;
    this.ask = ask;
    this.say = say;
    /** @type {string | undefined} */
    this.invitation = undefined;
    /** @type {Team | undefined} */
    this.team = undefined;
    element('team-sign-in').addEventListener('click', signIn);
    const form = /** @type {HTMLFormElement} */ (element('team-form'));
    listenToForm(form, (values) => ask('POST', 'teams', values), (team) => this.joined(team, 'Your team is made.'));
    listenToButton(element('join-team'), () => this.join());
    element('decline-team').addEventListener('click', () => {
      this.closed();
      this.changed(identity.me);
      element('tab-team').focus();
    });
    listenToButton(element('copy-invite'), () => this.copy());
    const really = element('leave-really');
    element('leave-team').addEventListener('click', () => {
      really.hidden = false;
      element('leave-yes').focus();
    });
    element('leave-no').addEventListener('click', () => {
      really.hidden = true;
      element('leave-team').focus();
    });
    listenToButton(element('leave-yes'), () => this.leave());
    this.changed(identity.me);
  }

  /** @param {string} invitation */
  invited(invitation) {
    this.invitation = invitation;
    this.changed(this.identity.me);
  }

  /** Whoever closes the dialog has declined. */
  closed() {
    this.invitation = undefined;
    element('leave-really').hidden = true;
    this.changed(this.identity.me);
  }

  /** @param {Me | undefined} me */
  changed(me) {
    const state = teamState(me, this.invitation);
    for (const known of ['out', 'invited', 'none', 'in']) element(`team-${known}`).hidden = known !== state;
    element('team-out-invited').hidden = this.invitation === undefined;
    element('team-already').hidden = !me?.team;
    element('team-already-name').textContent = me?.team?.name ?? '';
    if (this.team && this.team.id !== me?.team?.id) this.team = undefined;
    this.write(me);
  }

  /** @param {Me | undefined} me */
  write(me) {
    const { team } = this;
    element('team-name').textContent = team?.name ?? me?.team?.name ?? '';
    element('team-dot').style.setProperty('--team', team?.colour ?? me?.team?.colour ?? '');
    element('team-total').textContent = team ? `${formatNumber(team.total)} boxes` : '';
    const link = /** @type {HTMLInputElement} */ (element('team-invite'));
    link.value = team?.invite ? inviteLink(location.href, team.invite) : '';
    element('team-inviting').hidden = link.value === '';
    const rows = (team?.members ?? []).map(({ user, name }) => {
      const row = document.createElement('li');
      row.textContent = user === me?.user ? `${name} (you)` : name;
      return row;
    });
    element('team-members').replaceChildren(...rows);
  }

  /** Asks for the team as it is now. */
  async load() {
    const { me } = this.identity;
    if (!me?.isAccount || !me.team) return;
    const { id } = me.team;
    const answer = await this.ask('GET', `teams/${encodeURIComponent(id)}`);
    if (this.identity.me?.team?.id !== id) return;
    if (!answer.ok) return this.say(refusedWords(answer));
    this.team = readTeam(answer.value);
    this.write(this.identity.me);
  }

  /**
   * @param {any} value
   * @param {string} words
   */
  joined(value, words) {
    this.invitation = undefined;
    this.team = readTeam(value);
    this.say(words);
    element('tab-team').focus();
    void this.identity.refresh();
  }

  async join() {
    if (this.invitation === undefined) return;
    const answer = await this.ask('POST', 'teams/join', { invite: this.invitation });
    if (!answer.ok) return this.say(answer.status === 404 ? 'This invitation does not hold any more.' : refusedWords(answer));
    this.joined(answer.value, `Welcome to ${readTeam(answer.value)?.name ?? 'the team'}.`);
  }

  async leave() {
    const answer = await this.ask('POST', 'teams/leave', {});
    if (!answer.ok) return this.say(refusedWords(answer));
    element('leave-really').hidden = true;
    element('tab-team').focus();
    this.say('You have left the team. Your boxes stay with it.');
    void this.identity.refresh();
  }

  async copy() {
    const link = /** @type {HTMLInputElement} */ (element('team-invite'));
    try {
      await navigator.clipboard.writeText(link.value);
      this.say('The link is copied.');
    } catch {
      // Not allowed, or not over http: then it is copied by hand.
      link.focus();
      link.select();
      this.say('The link is selected: copy it from there.');
    }
  }
}
