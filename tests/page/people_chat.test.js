/*
 * What was said in a group: in order, once, with its gaps; whom one does not hear; and that nothing that others write is
 * believed.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Chat, errorWords, readMessage } from '../../static/people_chat.js';
import { gapWords, tintOf } from '../../static/people_talk.js';

const TEAM = 'team:00000000000000ab';
const HERE = 'tile:7';

/**
 * @param {number} offset
 * @param {string} text
 */
const said = (offset, text, { to = TEAM, epoch = 'e1', user = 'ann', id = `${epoch}-${offset}` } = {}) => ({
  type: 'message', id, from: `user:${user}`, to, timestamp: 7, offset, epoch, data: { text },
});

function open() {
  /** @type {any[]} */
  const texts = [];
  /** @type {string[]} */
  const news = [];
  /** @type {Map<string, string>} */
  const kept = new Map();
  const line = { isOpen: true };
  let ids = 0;
  const storage = {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
  };
  const send = (/** @type {string} */ text) => line.isOpen && texts.push(JSON.parse(text)) > 0;
  const make = () =>
    new Chat({ send, newId: () => `id${++ids}`, storage }, {
      changed() {},
      sent: (id) => news.push(`sent ${id}`),
      refused: (id, words) => news.push(`refused ${id}: ${words}`),
      reported: (id) => news.push(`reported ${id}`),
    });
  const chat = make();
  const shown = (/** @type {string} */ group) =>
    chat.lines(group).map((line) => (line.kind === 'gap' ? `gap ${line.count}` : line.message.text));
  return { chat, texts, news, line, shown, make, last: () => texts[texts.length - 1] };
}

test('messages stand in their order, once, whenever they come', () => {
  const { chat, shown } = open();
  chat.attend(TEAM, undefined);
  for (const [offset, text] of /** @type {[number, string][]} */ ([[2, 'b'], [1, 'a'], [4, 'd'], [2, 'b'], [3, 'c']])) chat.hear(said(offset, text));
  assert.deepEqual(shown(TEAM), ['a', 'b', 'c', 'd']);
  chat.hear(said(1, 'begun again', { epoch: 'e2' }));
  assert.deepEqual(shown(TEAM).slice(-1), ['begun again']);
});

test('a team is joined with all that is kept, and after a reconnect with what came after the last one heard', () => {
  const { chat, texts } = open();
  chat.attend(TEAM, undefined);
  assert.deepEqual(texts, [{ type: 'join', id: 'id1', to: TEAM, data: { recover: {} } }]);
  chat.hear(said(4, 'd'));
  chat.hear({ type: 'recovered', to: TEAM, data: { recovered: true, messages: 1, offset: 4, epoch: 'e1' } });
  chat.opened();
  assert.deepEqual(texts[1], { type: 'join', id: 'id2', to: TEAM, data: { recover: { offset: 4, epoch: 'e1' } } });
  chat.attend(undefined, undefined);
  assert.equal(texts[2].type, 'leave');
});

test('what is not kept any more is a gap, and what is left is fetched', () => {
  const { chat, shown, last } = open();
  chat.attend(TEAM, undefined);
  chat.hear(said(1, 'a'));
  chat.opened();
  chat.hear({ type: 'recovered', to: TEAM, data: { recovered: false, messages: 0, offset: 9, epoch: 'e2' } });
  assert.deepEqual(last().data, { recover: {} });
  chat.hear(said(9, 'i', { epoch: 'e2' }));
  assert.deepEqual(shown(TEAM), ['a', 'gap undefined', 'i']);
});

test('lost messages of a group are said, and those of a slow client fetched', () => {
  const { chat, texts, shown } = open();
  chat.attend(TEAM, undefined);
  chat.hear(said(1, 'a'));
  chat.hear({ type: 'recovered', to: TEAM, data: { recovered: true, offset: 1, epoch: 'e1' } });
  chat.hear({ type: 'lost', to: TEAM, data: { messages: 2, offset: 3, epoch: 'e1' } });
  chat.hear({ type: 'lost', to: TEAM, data: { messages: 1, offset: 4, epoch: 'e1' } });
  assert.deepEqual(shown(TEAM), ['a', 'gap 3']);
  assert.equal(texts.length, 1);
  chat.hear({ type: 'lost', to: 'conn:1-1', data: { messages: 5 } });
  assert.deepEqual(texts[1].data, { recover: { offset: 4, epoch: 'e1' } });
  assert.deepEqual([undefined, 1, 3].map((count) => gapWords(count)), [
    'Some messages are missing here.', 'One message is missing here.', '3 messages are missing here.',
  ]);
});

test('at a tile a gap in the offsets is noticed and fetched, once', () => {
  const { chat, texts, shown } = open();
  chat.attend(undefined, HERE);
  assert.deepEqual(texts, [{ type: 'recover', id: 'id1', to: HERE, data: {} }]);
  chat.hear({ type: 'recovered', to: HERE, data: { recovered: true, offset: 1, epoch: 'e1' } });
  chat.hear(said(2, 'b', { to: HERE }));
  assert.equal(texts.length, 1);
  chat.hear(said(4, 'd', { to: HERE }));
  chat.hear(said(6, 'f', { to: HERE }));
  assert.deepEqual(texts.slice(1).map(({ data }) => data), [{ offset: 2, epoch: 'e1' }]);
  chat.hear(said(3, 'c', { to: HERE }));
  assert.deepEqual(shown(HERE), ['b', 'c', 'd', 'f']);
});

test('a tile that is not open yet is asked for again, for a while', () => {
  const { chat, texts } = open();
  chat.attend(undefined, HERE);
  for (let second = 0; second < 20; second++) {
    const { id } = texts[texts.length - 1];
    chat.hear({ type: 'error', to: 'conn:1-1', data: { code: 'forbidden', of: id } });
    chat.again();
    chat.again();
  }
  assert.equal(texts.length, 5);
});

test('a message is on its way until it has its place, also over a reconnect, and a refusal gives it back', () => {
  const { chat, texts, news, line } = open();
  chat.attend(TEAM, undefined);
  assert.equal(chat.say(TEAM, 'hi'), 'id2');
  assert.deepEqual(texts[1], { type: 'message', id: 'id2', to: TEAM, data: { text: 'hi' } });
  chat.opened();
  assert.deepEqual(texts.filter(({ type }) => type === 'message').map(({ id }) => id), ['id2', 'id2']);
  chat.hear({ type: 'sent', data: { of: 'id2', offset: 1, epoch: 'e1', duplicate: true } });
  chat.hear({ type: 'sent', data: { of: 'id2', offset: 1, epoch: 'e1' } });
  const id = chat.say(TEAM, 'again');
  chat.hear({ type: 'error', data: { code: 'rate', of: id, retry_after_ms: 1_200 } });
  assert.deepEqual(news, ['sent id2', `refused ${id}: That was too fast. Write again in 2 s.`]);
  assert.equal(chat.say(TEAM, '\u{1F98A}'.repeat(300)), undefined);
  line.isOpen = false;
  assert.equal(chat.say(TEAM, 'x'), undefined);
  assert.deepEqual(news.slice(2), ['refused undefined: This is too long.', 'refused undefined: There is no connection right now.']);
  assert.equal(errorWords({ code: 'new' }), 'That could not be sent.');
});

test('a muted player is not heard, on this device, until all are heard again', () => {
  const { chat, shown, make } = open();
  chat.attend(TEAM, undefined);
  chat.hear(said(1, 'a'));
  chat.hear(said(2, 'b', { user: 'bob' }));
  chat.mute('bob');
  chat.hear(said(3, 'c', { user: 'bob' }));
  assert.deepEqual(shown(TEAM), ['a']);
  assert.ok(make().muted.has('bob'));
  chat.unmuteAll();
  assert.deepEqual(shown(TEAM), ['a', 'b', 'c']);
  assert.equal(make().muted.size, 0);
});

test('a report names the message and why, and the message says that it was reported', () => {
  const { chat, texts, news } = open();
  chat.attend(TEAM, undefined);
  chat.hear(said(1, 'a', { user: 'bob' }));
  const [written] = chat.lines(TEAM);
  assert.ok(written.kind === 'message');
  chat.report(TEAM, written.message, 'abuse');
  assert.deepEqual(texts[1], { type: 'report', id: 'id2', to: TEAM, data: { message: 1, epoch: 'e1', reason: 'abuse' } });
  chat.hear({ type: 'reported', data: { of: 'id2' } });
  assert.deepEqual(news, ['reported e1-1']);
  const [line] = chat.lines(TEAM);
  assert.ok(line.kind === 'message' && line.message.isReported);
});

test('operators are heard under a name that no player has, and nobody else can take the place of their message', () => {
  const { chat } = open();
  chat.attend(TEAM, undefined);
  chat.hear(said(1, 'mine', { user: 'bob', id: 'news' }));
  chat.hear({ ...said(2, 'ours', { id: 'news' }), from: 'operator', name: 'Bob' });
  const names = chat.lines(TEAM).map((line) => line.kind === 'message' && [line.message.text, line.message.name]);
  assert.deepEqual(names, [['mine', undefined], ['ours', 'Operator']]);
});

test('what is no message, or is for others, is left alone, and names come from the server alone', () => {
  const { chat, shown } = open();
  chat.attend(TEAM, HERE);
  for (const odd of [
    said(1, 'x', { to: 'team:ff' }), { ...said(1, 'x'), data: { text: 7 } }, { ...said(1, 'x'), data: null }, { ...said(1, 'x'), from: 'server' },
    { ...said(1, 'x'), offset: 'x' }, { ...said(1, 'x'), epoch: 7 }, { ...said(1, 'x'), id: 7 }, said(1, '  '), { type: 'message', to: TEAM },
  ]) chat.hear(odd);
  assert.deepEqual([shown(TEAM), shown(HERE)], [[], []]);
  const named = { ...said(1, '<b>x</b>'), data: { text: '<b>x</b>', name: 'Ann' } };
  assert.equal(readMessage(named)?.name, undefined);
  assert.equal(readMessage({ ...named, from: 'operator', name: 'Eve' })?.name, 'Operator');
  const bob = readMessage({ ...named, name: 'Bob', colour: '#cc3311' });
  assert.deepEqual([bob?.name, bob?.colour], ['Bob', '#cc3311']);
});

test('what was said is kept up to a bound', () => {
  const { chat, shown } = open();
  chat.attend(TEAM, undefined);
  for (let offset = 1; offset <= 500; offset++) chat.hear(said(offset, String(offset)));
  assert.equal(shown(TEAM).length, 200);
  assert.equal(shown(TEAM)[199], '500');
  for (let tile = 0; tile < 50; tile++) chat.attend(TEAM, `tile:${tile}`);
  assert.ok(chat.groups.size <= 8 && chat.groups.has(TEAM), String(chat.groups.size));
});

test('everybody has a tint of their own', () => {
  const tints = Array.from({ length: 100 }, (_, at) => tintOf(at.toString(16).padStart(16, '0')));
  assert.deepEqual([...new Set(tints)].sort(), [0, 1, 2, 3, 4, 5]);
});
