/*
 * Owns how forms about people behave: busy while the server thinks, and each problem at the field that it is about, read
 * out and with the focus there.
 */

/** @typedef {import('./people_ask.js').Answer} Answer */
/** @typedef {import('./people_ask.js').Refused} Refused */

/** Fields that a password is typed into to prove who one is, the likeliest first. */
const PROOFS = ['code', 'old', 'password'];

/**
 * What details call fields.
 * @type {[RegExp, string[]][]}
 */
const TOPICS = [
  [/\bpassword\b/i, ['new', 'password']],
  [/\bcode\b/i, ['code']],
  [/\bcolou?r\b/i, ['colour']],
  [/\bname\b/i, ['name']],
];

/**
 * Which field a refusal is about.
 * @param {Refused} refused
 * @param {string[]} fields that the form has
 * @returns {string | undefined} none in particular
 */
export function fieldOf({ status, detail }, fields) {
  const first = (/** @type {string[]} */ names) => names.find((name) => fields.includes(name));
  if (status === 409) return first(['name']);
  if (status === 401) return first(PROOFS);
  if (status !== 422) return undefined;
  const topics = TOPICS.filter(([topic]) => topic.test(detail)).map(([, names]) => first(names));
  return topics.find((name) => name !== undefined);
}

/**
 * @param {Refused} refused
 * @returns {string}
 */
export function refusedWords({ detail, retryAfterS }) {
  // Most details of this kind say it themselves.
  if (retryAfterS === undefined || /\d/.test(detail)) return detail;
  return `${detail} Try again in ${retryAfterS} s.`;
}

/**
 * Has a form ask the server when it is sent.
 * @param {HTMLFormElement} form
 * @param {(values: Record<string, string>) => Promise<Answer>} submit
 * @param {(value: any) => void} done what the server answered
 */
export function listenToForm(form, submit, done) {
  // Those without a name are for the browser's list of passwords.
  const inputs = [...form.querySelectorAll('input')].filter(({ name }) => name !== '');
  for (const input of inputs) input.addEventListener('input', () => complain(form, input.name, ''));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (form.getAttribute('aria-busy') === 'true') return;
    clear(form);
    const empty = inputs.find((input) => input.required && input.value.trim() === '');
    if (empty) return complain(form, empty.name, 'Please fill this in.', true);
    const values = Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
    form.setAttribute('aria-busy', 'true');
    const answer = await submit(values);
    form.setAttribute('aria-busy', 'false');
    if (answer.ok) {
      form.reset();
      return done(answer.value);
    }
    complain(form, fieldOf(answer, inputs.map(({ name }) => name)), refusedWords(answer), true);
  });
}

/** @param {HTMLFormElement} form */
export function clear(form) {
  for (const { name } of form.querySelectorAll('input')) if (name !== '') complain(form, name, '');
  complain(form, undefined, '');
}

/**
 * @param {HTMLFormElement} form
 * @param {string | undefined} field none: the problem is the form's
 * @param {string} words none: there is no problem any more
 * @param {boolean} [focus] on the field
 */
function complain(form, field, words, focus = false) {
  const input = field === undefined ? undefined : form.querySelector(`input[name="${field}"]`);
  const id = input?.getAttribute('aria-describedby')?.split(' ').pop();
  const problem = id ? document.getElementById(id) : form.querySelector(':scope > .problem');
  if (problem && problem.textContent !== words) problem.textContent = words;
  if (!(input instanceof HTMLInputElement)) return;
  input.setAttribute('aria-invalid', String(words !== ''));
  if (!focus) return;
  input.focus();
  input.select();
}

/**
 * Has a button ask the server once at a time.
 * @param {HTMLElement} button
 * @param {() => Promise<void>} act
 */
export function listenToButton(button, act) {
  button.addEventListener('click', async () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    await act();
    button.removeAttribute('aria-disabled');
  });
}
