/*
 * Owns the single keys that work while nothing is being typed: on the board, and when nothing has the focus.
 */

/**
 * @param {HTMLElement} board
 * @param {Record<string, () => void>} actions by key
 */
export function listenToShortcuts(board, actions) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const { target } = event;
    const onBoard = target instanceof Node && board.contains(target);
    if (!onBoard && target !== document.body) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
