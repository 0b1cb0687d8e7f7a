/*
 * Owns the notice to players: what is up, putting one up, taking it back.
 */

import { element, make } from './dom.js';
import { dayTime } from './words.js';

/**
 * @typedef {object} Notice
 * @property {string} id
 * @property {string} text
 * @property {'info' | 'warning' | 'critical'} severity
 * @property {number | null} until_ms
 * @property {number} since_ms
 * @property {string} by
 */

const PATH = 'ws/broadcast';

/** Bytes of a text, as UTF-8. */
const TEXT_BYTES_MAX = 1024;

/**
 * @param {import('./controls.js').Controls} controls
 */
export function noticeControl(controls) {
  const form = /** @type {HTMLFormElement} */ (element('notice-form'));
  const text = /** @type {HTMLTextAreaElement} */ (element('notice-text'));
  const severity = /** @type {HTMLSelectElement} */ (element('notice-severity'));
  const lasts = /** @type {HTMLSelectElement} */ (element('notice-for'));
  controls.submit(form, async () => {
    const bytes = new TextEncoder().encode(text.value.trim()).length;
    if (bytes === 0) throw new Error('Write a text first.');
    if (bytes > TEXT_BYTES_MAX) throw new Error(`The text has ${bytes} bytes, and ${TEXT_BYTES_MAX} is the most.`);
    const wanted = { text: text.value.trim(), severity: severity.value, ...(lasts.value && { for_s: Number(lasts.value) }) };
    await controls.api.ask('POST', PATH, wanted);
    text.value = '';
  });
  controls.press(element('notice-back'), form, () => controls.api.ask('DELETE', PATH));
}

/** @param {Notice | null} notice */
export function showNotice(notice) {
  element('notice-back').hidden = !notice;
  const now = element('notice-now');
  const shown = JSON.stringify(notice);
  if (now.dataset.shown === shown) return;
  now.dataset.shown = shown;
  if (!notice) return now.replaceChildren(make('p', { class: 'quiet' }, 'No notice is up.'));
  const level = { info: 'good', warning: 'warn', critical: 'bad' }[notice.severity] ?? 'warn';
  const until = notice.until_ms ? `until ${dayTime(notice.until_ms)}` : 'until it is taken back';
  now.replaceChildren(
    make('p', { class: 'said' }, notice.text),
    make('p', { class: 'quiet' }, make('span', { class: 'sign', 'data-level': level }, notice.severity), ` ${until}, by ${notice.by}`),
  );
}
