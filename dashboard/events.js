/*
 * Owns how a stream of server-sent events is read, as HTML's standard has it, as far as this server writes it: lines that
 * end in \n, in whatever pieces they arrive. Pure.
 */

/** @typedef {{ event: string, data: string }} Event */

/** Characters of an event that is not over: far more than any has. */
const REST_MAX = 4_000_000;

export class Events {
  constructor() {
    this.rest = '';
  }

  /**
   * @param {string} text what has arrived
   * @returns {Event[]} those that it completes
   */
  feed(text) {
    this.rest += text;
    const blocks = this.rest.split('\n\n');
    this.rest = blocks.pop() ?? '';
    if (this.rest.length > REST_MAX) throw new RangeError('an event without an end');
    return blocks.map(parsed).filter(({ data }) => data !== '');
  }
}

/**
 * @param {string} block
 * @returns {Event}
 */
function parsed(block) {
  let event = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === 'event') event = value;
    if (name === 'data') data.push(value);
  }
  return { event, data: data.join('\n') };
}
