/*
 * Owns the stream of seconds: opens it, notices when it falls silent, and opens it again. What comes is passed on; what it
 * means is up to the page.
 */

import { Problem } from './api.js';
import { Events } from './events.js';

/** @typedef {{ name: string, role: 'viewer' | 'operator' }} Caller */

/**
 * @typedef {object} Listener
 * @property {(caller: Caller) => void} opened
 * @property {(second: import('./figures.js').Second) => void} second
 * @property {(why: string) => void} lost it is tried again by itself
 * @property {(problem: Problem) => void} refused it is not, until somebody asks for it
 */

/** A stream that is silent for so long is dead: it has an event each second. */
const SILENCE_MAX_MS = 5_000;

/** Between two attempts, the first of them and the longest. */
const PAUSE_MS = [1_000, 8_000];

export class Feed {
  /**
   * @param {import('./api.js').Api} api
   * @param {Listener} listener
   */
  constructor(api, listener) {
    this.api = api;
    this.listener = listener;
    this.attempts = 0;
    /** Set while it is to run. @type {AbortController | undefined} */
    this.running = undefined;
    /** @type {(() => void) | undefined} */
    this.hurry = undefined;
    addEventListener('online', () => this.hurry?.());
    document.addEventListener('visibilitychange', () => document.hidden || this.hurry?.());
  }

  stop() {
    this.running?.abort();
    this.running = undefined;
  }

  async start() {
    this.stop();
    const running = new AbortController();
    this.running = running;
    this.attempts = 0;
    while (!running.signal.aborted) {
      let why = 'The stream has ended.';
      try {
        await this.read(running.signal);
      } catch (error) {
        if (running.signal.aborted) return;
        if (error instanceof Problem && isFinal(error.status)) {
          this.running = undefined;
          this.listener.refused(error);
          return;
        }
        why = error instanceof Problem ? error.message : 'The connection was lost.';
      }
      if (running.signal.aborted) return;
      this.listener.lost(why);
      await this.pause();
    }
  }

  /** @param {AbortSignal} stopped */
  async read(stopped) {
    const silent = new AbortController();
    const give = () => silent.abort();
    stopped.addEventListener('abort', give, { once: true });
    let timer = setTimeout(give, SILENCE_MAX_MS);
    try {
      const response = await this.api.fetch('ws/stats/stream', { signal: silent.signal });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      const [events, decoder] = [new Events(), new TextDecoder()];
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(give, SILENCE_MAX_MS);
        for (const { event, data } of events.feed(decoder.decode(value, { stream: true }))) {
          this.attempts = 0;
          if (event === 'caller') this.listener.opened(JSON.parse(data));
          if (event === 'stats') this.listener.second(JSON.parse(data));
        }
      }
    } finally {
      clearTimeout(timer);
      stopped.removeEventListener('abort', give);
      silent.abort();
    }
  }

  /** Longer each time, and less when the network is back or somebody looks. */
  pause() {
    const longest = Math.min(PAUSE_MS[0] * 2 ** this.attempts, PAUSE_MS[1]);
    this.attempts++;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, longest * (0.75 + Math.random() / 2));
      this.hurry = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
      this.running?.signal.addEventListener('abort', this.hurry, { once: true });
    });
  }
}

/**
 * Whether asking again would get the same answer: a token is missing or wrong, a name is unknown.
 * @param {number} status
 */
function isFinal(status) {
  return [401, 403, 404, 421].includes(status);
}
