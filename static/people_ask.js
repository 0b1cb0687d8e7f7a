/*
 * Owns requests to the server about people: JSON out and in, and what a refusal says. It never throws, because whoever
 * asks has to go on without an answer.
 */

/** @typedef {{ ok: true, value: any }} Done */
/** @typedef {{ ok: false, status: number, detail: string, retryAfterS: number | undefined }} Refused `status` 0: no answer */
/** @typedef {Done | Refused} Answer */

/** @typedef {'GET' | 'POST' | 'PUT' | 'DELETE'} Method */
/** @typedef {(method: Method, path: string, body?: unknown) => Promise<Answer>} Ask */

/** A request that takes longer has lost its line. */
const TIMEOUT_MS = 15_000;

/** A proxy's page is no sentence for people. */
const DETAIL_MAX = 300;

/**
 * @param {string} base what stands before every path of the site
 * @returns {Ask}
 */
export function askBelow(base) {
  return async (method, path, body) => {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), TIMEOUT_MS);
    try {
      const json = method === 'GET' ? {} : { body: JSON.stringify(body ?? {}), headers: { 'Content-Type': 'application/json' } };
      const options = { method, cache: /** @type {const} */ ('no-store'), credentials: /** @type {const} */ ('same-origin') };
      const response = await fetch(`${base}/${path}`, { ...options, ...json, signal: giveUp.signal });
      return readAnswer(response.status, response.headers.get('Retry-After'), await response.text());
    } catch {
      return readAnswer(0, null, '');
    } finally {
      clearTimeout(timer);
    }
  };
}

/**
 * @param {number} status 0 for no answer
 * @param {string | null} retryAfter
 * @param {string} text
 * @returns {Answer}
 */
export function readAnswer(status, retryAfter, text) {
  /** @type {any} */
  let value;
  try {
    value = text === '' ? null : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (status >= 200 && status < 300 && value !== undefined) return { ok: true, value };
  const seconds = Number(retryAfter ?? value?.retry_after_s ?? NaN);
  const retryAfterS = seconds > 0 ? Math.ceil(seconds) : undefined;
  return { ok: false, status, detail: sentence(value?.detail) ?? wordsOf(status), retryAfterS };
}

/**
 * Servers write details in lower case and without a full stop.
 * @param {unknown} detail
 */
function sentence(detail) {
  if (typeof detail !== 'string' || detail.trim() === '') return undefined;
  const text = detail.trim().slice(0, DETAIL_MAX);
  const ended = /[.!?]$/.test(text) ? text : `${text}.`;
  return `${ended[0].toUpperCase()}${ended.slice(1)}`;
}

/** @param {number} status */
function wordsOf(status) {
  if (status === 0) return 'The server does not answer right now.';
  if (status === 429) return 'That was too often. Please wait a little.';
  if (status === 503) return 'This does not work right now. Please try again soon.';
  return `That did not work (${status}).`;
}
