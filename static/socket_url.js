/*
 * Which WebSocket the page dials: the one of the server it came from, or the one that the operator configured; and where
 * the page asks why it was turned away there. Pure.
 */

/** Opts in to what our own page speaks; see docs/PROTOCOL.md. */
const PROTOCOL_VERSION = '2';

/**
 * @param {string} configured `page.websocket_url`: a ws: or wss: URL, an absolute path, or empty
 * @param {string} pageUrl
 */
export function socketUrl(configured, pageUrl) {
  const url = new URL(configured || '/ws', pageUrl);
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  url.searchParams.set('v', PROTOCOL_VERSION);
  // A page's URL may carry these, and a WebSocket must not.
  url.hash = '';
  url.username = '';
  url.password = '';
  return url.href;
}

/**
 * Where to ask why the socket at `url` was refused: beside it. Nowhere if that is another origin, which does not let this
 * page read its answers.
 * @param {string} url of the socket
 * @param {string} pageUrl
 */
export function whyUrl(url, pageUrl) {
  const why = new URL(url);
  why.protocol = why.protocol === 'wss:' ? 'https:' : 'http:';
  why.pathname = `${why.pathname.replace(/\/$/, '')}/why`;
  return why.origin === new URL(pageUrl).origin ? why.href : undefined;
}
