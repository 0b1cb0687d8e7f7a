/*
 * Owns what operators have said: the notice on all pages, and the last message to this one. Each stands until it is taken
 * back or the reader puts it away. Everything is text, never markup.
 */

/** @typedef {'info' | 'warning' | 'critical'} Severity */
/** @typedef {{ id: string, text: string, severity: Severity }} Said */
/** @typedef {'all' | 'own'} Place where something stands: what all pages show, what was said to this one */

/** @typedef {(place: Place, said: Said | undefined) => void} SaidListener */

/** More than an operator says in a day: what was put away is not shown again after a reconnect. */
const REMEMBERED_MAX = 100;

/**
 * @param {string} text an envelope of the server
 * @returns {{ place: Place, id: string, said: Said | undefined } | undefined} `said` is undefined where nothing stands
 *   any more; nothing at all of kinds that came later than this page
 */
export function readEnvelope(text) {
  /** @type {any} */
  let envelope;
  try {
    envelope = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (envelope?.type !== 'notice' || typeof envelope.id !== 'string') return undefined;
  const { id, to, data } = envelope;
  const place = to === '*' ? 'all' : 'own';
  if (data === null) return { place, id, said: undefined };
  if (typeof data?.text !== 'string') return undefined;
  const severity = data.severity === 'warning' || data.severity === 'critical' ? data.severity : 'info';
  return { place, id, said: { id, text: data.text, severity } };
}

export class Operator {
  /** @param {SaidListener} listener */
  constructor(listener) {
    this.listener = listener;
    /** @type {Map<Place, Said>} */
    this.standing = new Map();
    /** @type {Set<string>} */
    this.putAway = new Set();
    this.isHeard = false;
  }

  /** @param {string} text */
  hear(text) {
    const envelope = readEnvelope(text);
    if (!envelope) return;
    const { place, said } = envelope;
    if (place === 'all') this.isHeard = true;
    this.show(place, said && this.putAway.has(said.id) ? undefined : said);
  }

  /** A new connection: the server says which notice there is before it pulses, or there is none. */
  reopened() {
    this.isHeard = false;
  }

  /** The connection's greeting is over. */
  settled() {
    if (!this.isHeard) this.show('all', undefined);
    this.isHeard = true;
  }

  /** @param {Place} place */
  dismiss(place) {
    const said = this.standing.get(place);
    if (!said) return;
    this.putAway.add(said.id);
    for (const oldest of this.putAway) {
      if (this.putAway.size <= REMEMBERED_MAX) break;
      this.putAway.delete(oldest);
    }
    this.show(place, undefined);
  }

  /**
   * @param {Place} place
   * @param {Said | undefined} said
   */
  show(place, said) {
    // The same again would be read out again.
    if (this.standing.get(place)?.id === said?.id) return;
    if (said) this.standing.set(place, said);
    else this.standing.delete(place);
    this.listener(place, said);
  }
}

/** Colour alone says nothing to many. @type {Record<Severity, string>} */
const WORDS = { info: 'Notice', warning: 'Warning', critical: 'Important' };

/**
 * @param {(place: Place) => void} dismiss the reader puts it away
 * @returns {SaidListener}
 */
export function operatorDisplay(dismiss) {
  for (const root of document.querySelectorAll('.said')) {
    root.querySelector('button')?.addEventListener('click', () => {
      dismiss(root.id === 'said-all' ? 'all' : 'own');
      // The button is gone, and keys are for the board.
      document.getElementById('board')?.focus({ preventScroll: true });
    });
  }
  return (place, said) => {
    const root = document.getElementById(`said-${place}`);
    if (!root) return;
    const [severity, text] = ['strong', 'span'].map((part) => root.querySelector(part));
    if (severity) severity.textContent = said ? `${place === 'own' ? 'To you: ' : ''}${WORDS[said.severity]}` : '';
    if (text) text.textContent = said?.text ?? '';
    root.dataset.severity = said?.severity ?? '';
    root.hidden = !said;
  };
}
