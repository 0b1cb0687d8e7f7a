/*
 * Owns what is said when the page does not start: a module that did not arrive, one that throws, a browser that lacks
 * what they need. It is no module and keeps to the oldest JavaScript, because it has to run where the others fail.
 */

(function () {
  var cause = '';
  addEventListener('error', function (event) {
    var file = event.target instanceof HTMLScriptElement ? event.target.src + ' could not be loaded' : '';
    cause = cause || event.message || file;
  }, true);

  /** @type {(id: string, words: string) => void} */
  function say(id, words) {
    var element = document.getElementById(id);
    if (!element) return;
    if (words) element.textContent = words;
    element.hidden = false;
  }

  // By then every module has run or failed; `letIn` of page.js, the last step of the start, marks the body.
  addEventListener('load', function () {
    if (document.body.hasAttribute('data-started')) return;
    document.body.setAttribute('data-connection', 'failed');
    say('connection-state', 'not started');
    say('trouble-cause', cause);
    say('trouble', '');
    var reload = document.getElementById('reload');
    if (reload) reload.addEventListener('click', function () { location.reload(); });
  });
})();
