// Which key is meant, whatever alphabet the keyboard writes.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { latinKey, setShortcutsEnabled, shortcutsEnabled } from '../../static/shortcuts.js';

/** @param {string} key @param {string} code */
const press = (key, code, shiftKey = false) => latinKey({ key, code, shiftKey });

test('letters are the same in capitals', () => {
  for (const letter of 'jrmnpb') assert.equal(press(letter.toUpperCase(), `Key${letter.toUpperCase()}`), letter);
});

test('a Latin letter is meant wherever it lies', () => {
  // On a Dvorak keyboard, R is where others have O, and on a French one M is where others have the semicolon.
  assert.equal(press('r', 'KeyO'), 'r');
  assert.equal(press('m', 'Semicolon'), 'm');
});

test('another alphabet means the Latin letter in its place', () => {
  const pressed = { к: 'R', о: 'J', ь: 'M', т: 'N', з: 'P', и: 'B', К: 'R', ρ: 'R', ξ: 'J', ق: 'R', ت: 'J', ר: 'R', ㄱ: 'R', ฤ: 'R' };
  for (const [key, letter] of Object.entries(pressed)) assert.equal(press(key, `Key${letter}`), letter.toLowerCase(), key);
  assert.equal(press('٠', 'Digit0'), '0');
  assert.equal(press('.', 'Slash'), '/');
  assert.equal(press(',', 'Slash', true), '?');
  assert.equal(press('ظ', 'Slash'), '/');
  assert.equal(press('؟', 'Slash', true), '?');
});

test('an input method that has the key means it as well', () => {
  for (const key of ['Process', 'Unidentified', 'Dead']) assert.equal(press(key, 'KeyR'), 'r');
});

test('signs, named keys and keys of no letter are left as they are', () => {
  for (const [key, code] of [['+', 'BracketRight'], ['-', 'Slash'], ['/', 'Digit7'], ['?', 'Minus'], ['0', 'Digit0'], [' ', 'Space']]) {
    assert.equal(press(key, code), key);
  }
  for (const key of ['ArrowLeft', 'Enter', 'Escape', 'Home', 'F5', 'Shift', 'CapsLock']) assert.equal(press(key, key), key);
  assert.equal(press('ё', 'Backquote'), 'ё');
});

test('shortcuts can be switched off', () => {
  assert.equal(shortcutsEnabled(), true);
  setShortcutsEnabled(false);
  assert.equal(shortcutsEnabled(), false);
  setShortcutsEnabled(true);
  assert.equal(shortcutsEnabled(), true);
});
