/*
 * Owns the question why the server turned a connection away. A browser hides the status of a refused handshake from the
 * page, so the page asks again in a way whose answer it may read. Pure, apart from the question itself.
 */

/** @typedef {'full' | 'connections' | 'rate' | 'draining'} Reason as `GET /ws/why` answers it */
/** @typedef {{ reason: Reason, retryInMs: number }} TurnedAway */

/** @type {Reason[]} */
const REASONS = ['full', 'connections', 'rate', 'draining'];

/** Nothing needs to wait longer than a day, and a timer cannot wait longer than 24. */
const RETRY_MAX_S = 86_400;

/**
 * Why a handshake would be refused now; `undefined` if it would not be, or if nobody says.
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<TurnedAway | undefined>}
 */
export async function askWhy(url, signal) {
  try {
    const response = await fetch(url, { cache: 'no-store', credentials: 'same-origin', signal });
    return readAnswer(response.status, response.headers.get('Retry-After'), await response.json());
  } catch {
    return undefined;
  }
}

/**
 * @param {number} status
 * @param {string | null} retryAfter
 * @param {unknown} told
 * @returns {TurnedAway | undefined}
 */
export function readAnswer(status, retryAfter, told) {
  const { reason: word, retry_after_s: toldS, ...others } = /** @type {Record<string, unknown>} */ (told ?? {});
  // Over a limit of requests the question is refused itself, and so is the handshake, which is a request, too.
  const isOverALimit = word === undefined && status >= 400 && 'violated-policies' in others;
  const reason = isOverALimit ? 'rate' : REASONS.find((known) => known === word);
  const seconds = Number(toldS ?? retryAfter);
  // A date, which only a proxy would write, is no number.
  if (!reason || !(seconds > 0)) return undefined;
  return { reason, retryInMs: Math.min(seconds, RETRY_MAX_S) * 1000 };
}
