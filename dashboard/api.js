/*
 * Owns how this page asks the server: with the token in a header, never in an address, and errors as sentences. The
 * token lives as long as the tab: in its sessionStorage, or, where that is forbidden, in memory.
 */

const KEY = 'billion-operator-token';

/** An answer that is an error: its status, and what the server says is wrong. */
export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Api {
  constructor() {
    /** @type {string | undefined} */
    this.token = undefined;
    try {
      this.token = sessionStorage.getItem(KEY) ?? undefined;
    } catch {
      // It is asked for again after each reload.
    }
  }

  /** @param {string | undefined} token none: forget it */
  keep(token) {
    this.token = token;
    try {
      if (token) sessionStorage.setItem(KEY, token);
      else sessionStorage.removeItem(KEY);
    } catch {
      // As above.
    }
  }

  /**
   * @param {string} path below this page
   * @param {RequestInit} options
   * @returns {Promise<Response>} of success only
   */
  async fetch(path, options = {}) {
    const headers = new Headers(options.headers);
    if (this.token) headers.set('Authorization', `Bearer ${this.token}`);
    const url = new URL(path, document.baseURI);
    let response;
    try {
      response = await fetch(url, { ...options, headers, cache: 'no-store', redirect: 'error' });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Problem(0, 'The node does not answer.');
    }
    if (!response.ok) throw await problem(response);
    return response;
  }

  /**
   * @param {'GET' | 'POST' | 'DELETE'} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async ask(method, path, body) {
    const json = body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
    const response = await this.fetch(path, { method, ...json });
    return response.status === 204 ? undefined : response.json();
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problem(response) {
  let detail;
  try {
    ({ detail } = await response.json());
  } catch {
    // A proxy's page, or nothing.
  }
  return new Problem(response.status, sentence(detail || `the server answers ${response.status}`));
}

/**
 * Details begin small and have no full stop, as errors in logs do.
 * @param {string} text
 */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
