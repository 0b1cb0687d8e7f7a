/*
 * What is around people on the page: what a refusal says and at which field, invitations, teams, ranks, and the words on
 * the door.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readAnswer } from '../../static/people_ask.js';
import { doorWords } from '../../static/people.js';
import { accountState } from '../../static/people_account.js';
import { tabAfter } from '../../static/people_dialog.js';
import { fieldOf, refusedWords } from '../../static/people_form.js';
import { ranksPath, readRows } from '../../static/people_ranks.js';
import { inviteLink, nameOf, readTeam, teamState } from '../../static/people_team.js';
import { formatInvitation, readInvitation, readLink } from '../../static/place.js';

const ANN = { user: 'a1', name: 'Ann', isAccount: true, team: { id: 't1', name: 'Foxes', colour: '#cc3311' } };

test('an answer is what the server said, or words for people', () => {
  assert.deepEqual(readAnswer(200, null, '{"user":"x"}'), { ok: true, value: { user: 'x' } });
  assert.deepEqual(readAnswer(204, null, ''), { ok: true, value: null });
  const problem = readAnswer(409, null, '{"detail":"the name is taken"}');
  assert.deepEqual(problem, { ok: false, status: 409, detail: 'The name is taken.', retryAfterS: undefined });
  const late = readAnswer(429, '3', '');
  assert.ok(!late.ok && refusedWords(late) === 'That was too often. Please wait a little. Try again in 3 s.');
  const said = readAnswer(429, '3', '{"detail":"too many tries: again in 3 s"}');
  assert.ok(!said.ok && refusedWords(said) === 'Too many tries: again in 3 s.');
  // What a proxy shows is a page, and not for here.
  for (const text of ['<html>502</html>', '{"detail":7}', '{"detail":" "}', '[]']) {
    const answer = readAnswer(502, null, text);
    assert.ok(!answer.ok && answer.detail === 'That did not work (502).', text);
  }
  const odd = readAnswer(200, null, '<html>');
  assert.equal(odd.ok, false);
  const none = readAnswer(0, null, '');
  assert.ok(!none.ok && none.detail === 'The server does not answer right now.');
});

test('a problem is shown at the field that it is about', () => {
  const field = (/** @type {number} */ status, /** @type {string} */ detail, /** @type {string[]} */ fields) =>
    fieldOf({ ok: false, status, detail, retryAfterS: undefined }, fields);
  assert.equal(field(409, 'The name is taken.', ['name', 'password']), 'name');
  assert.equal(field(401, 'Wrong name or password.', ['name', 'password']), 'password');
  assert.equal(field(401, 'x', ['name', 'code', 'password']), 'code');
  assert.equal(field(401, 'x', ['old', 'new']), 'old');
  assert.equal(field(422, 'A name has at least 2 characters.', ['name', 'password']), 'name');
  assert.equal(field(422, 'A password has at least 8 characters.', ['old', 'new']), 'new');
  assert.equal(field(422, 'A colour is #rrggbb.', ['name', 'colour']), 'colour');
  assert.equal(field(422, 'A password has at least 8 characters.', ['name']), undefined);
  assert.equal(field(503, 'The name service is away.', ['name']), undefined);
});

test('an invitation is read out of an address, and names no place', () => {
  for (const hash of ['#team=Ab-_9', '#team%3DAb-_9', '#team=Ab-_9.', '#team=Ab-_9)', 'team=Ab-_9 ']) {
    assert.equal(readInvitation(hash), 'Ab-_9', hash);
    assert.equal(readLink({ hash, search: '' }, 1000), undefined, hash);
  }
  for (const hash of ['', '#', '#b=7', '#team=', '#team=a b', '#steam=a', '#b=7&team=a', `#team=${'x'.repeat(65)}`, '#team=<b>']) {
    assert.equal(readInvitation(hash), undefined, hash);
  }
  assert.equal(readInvitation(formatInvitation('Ab-_9')), 'Ab-_9');
  const place = readLink({ hash: '#team=a', search: '?b=7' }, 1000);
  assert.ok(place && 'spot' in place && place.spot.id === 7);
});

test('the link that invites leads to the page and to nothing else', () => {
  assert.equal(inviteLink('https://boxes.example/play/?utm=x&b=7#b=9&z=2', 'in1'), 'https://boxes.example/play/#team=in1');
});

test('who is invited is asked once there is an account, and before anything else', () => {
  assert.equal(teamState(undefined, 'in1'), 'out');
  assert.equal(teamState({ ...ANN, isAccount: false }, 'in1'), 'out');
  assert.equal(teamState(ANN, 'in1'), 'invited');
  assert.equal(teamState(ANN, undefined), 'in');
  assert.equal(teamState({ ...ANN, team: null }, undefined), 'none');
});

test('a team is read with care', () => {
  const team = readTeam({ id: 't', name: 'T', colour: '#ABCDEF', total: 7, invite: 'i', members: [{ user: 'a1b2c3', name: null }, { user: 7 }, null] });
  assert.deepEqual(team, { id: 't', name: 'T', colour: '#abcdef', total: 7, invite: 'i', members: [{ user: 'a1b2c3', name: 'Player b2c3' }] });
  assert.deepEqual(readTeam({ id: 't', name: 'T' }), { id: 't', name: 'T', colour: '#8d87ab', total: 0, invite: undefined, members: [] });
  for (const value of [null, 7, {}, { id: 't' }]) assert.equal(readTeam(value), undefined);
  assert.equal(nameOf('0123456789abcdef', ' '), 'Player cdef');
});

test('ranks mark the own row, of players and of teams, and leave out what is none', () => {
  const entries = [
    { rank: 1, id: 'a1', name: 'Ann', colour: null, total: 5 },
    { rank: 2, id: 't1', name: '<i>', colour: '#CC3311', total: 3 },
    { rank: 0, id: 'x', name: 'x', total: 1 }, { rank: 3, name: 'y', total: 1 }, null,
  ];
  assert.deepEqual(readRows({ entries }, 'players', ANN).map(({ isOwn }) => isOwn), [true, false]);
  const teams = readRows({ entries }, 'teams', ANN);
  assert.deepEqual(teams[1], { rank: 2, name: '<i>', colour: '#cc3311', total: 3, isOwn: true });
  assert.deepEqual(readRows({ entries }, 'teams', undefined).map(({ isOwn }) => isOwn), [false, false]);
  assert.deepEqual([readRows(null, 'teams', ANN), readRows({ entries: 7 }, 'players', ANN)], [[], []]);
  assert.equal(ranksPath('teams', true, Date.UTC(2026, 10, 30, 23, 59)), 'leaderboard?of=teams&day=2026-11-30');
  assert.equal(ranksPath('players', false, 0), 'leaderboard?of=players');
});

test('the door says who one is, and stays as it is while nobody can say', () => {
  assert.equal(doorWords(undefined, 'Ann'), 'Sign in');
  assert.equal(doorWords({ ...ANN, isAccount: false }, 'Ann'), 'Sign in');
  assert.equal(doorWords(ANN, 'Sign in'), 'Ann');
  assert.equal(doorWords({ ...ANN, isAccount: null, name: null }, 'Ann'), 'Ann');
  assert.deepEqual([undefined, ANN, { ...ANN, isAccount: null }].map(accountState), ['out', 'in', 'away']);
});

test('keys go round the tabs', () => {
  assert.deepEqual(['ArrowRight', 'ArrowLeft', 'Home', 'End', 'x'].map((key) => tabAfter(key, 2, 3)), [0, 1, 0, 2, undefined]);
});
