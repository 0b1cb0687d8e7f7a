/*
 * Owns how hands move the window: wheel, drag with finger or mouse, and keys. It tells the view and keeps nothing but
 * the gesture in progress. A drag must never check the box it began on; a tap or a click must.
 */

/** @typedef {import('./view.js').View} View */

/** A hand is not still while it clicks, and a finger is less so. */
const DRAG_MOUSE_PX = 5;
const DRAG_TOUCH_PX = 9;

/** Firefox reports wheels in lines. */
const WHEEL_LINE_PX = 28;

/** A flick keeps this share of its speed each millisecond: it halves about every 230 ms. */
const GLIDE_PER_MS = 0.997;
const GLIDE_MIN_PX_PER_MS = 0.02;
/** A finger that rested this long before it was lifted did not flick. */
const FLICK_MS = 60;

/**
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToWheel(root, view) {
  root.addEventListener(
    'wheel',
    (event) => {
      // With Ctrl the wheel (or a pinch on a touchpad) zooms the page, which is not ours to take away.
      if (event.ctrlKey) return;
      event.preventDefault();
      const unit = [1, WHEEL_LINE_PX, view.pageRows * view.cellPx][event.deltaMode] ?? 1;
      // Some browsers turn the wheel sideways for Shift, some leave it to us.
      const turn = event.shiftKey && event.deltaX === 0;
      view.pan((turn ? event.deltaY : event.deltaX) * unit, (turn ? 0 : event.deltaY) * unit);
    },
    { passive: false },
  );
}

/**
 * @typedef {{ pointer: number, limitPx: number, x: number, y: number, atMs: number, moved: boolean,
 *             speedX: number, speedY: number }} Drag
 */

/**
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToDrag(root, view) {
  /** @type {Drag | undefined} */
  let drag;
  let swallowClick = false;
  let glide = 0;

  const letGo = () => {
    drag = undefined;
    delete root.dataset.dragging;
  };

  root.addEventListener('pointerdown', (event) => {
    cancelAnimationFrame(glide);
    swallowClick = false;
    // A second finger means a pinch, which is the browser's.
    if (!event.isPrimary) return letGo();
    if (event.button !== 0) return;
    const limitPx = event.pointerType === 'mouse' ? DRAG_MOUSE_PX : DRAG_TOUCH_PX;
    const { pointerId: pointer, clientX: x, clientY: y, timeStamp: atMs } = event;
    drag = { pointer, limitPx, x, y, atMs, moved: false, speedX: 0, speedY: 0 };
  });

  root.addEventListener('pointermove', (event) => {
    if (event.pointerId !== drag?.pointer) return;
    // Released outside, before the pointer was captured: nobody told us.
    if (event.buttons === 0) return letGo();
    const dx = drag.x - event.clientX;
    const dy = drag.y - event.clientY;
    if (!drag.moved) {
      if (Math.hypot(dx, dy) < drag.limitPx) return;
      drag.moved = true;
      swallowClick = true;
      // Not earlier: a captured pointer would send the click of a plain tap to the board instead of the box.
      root.setPointerCapture(event.pointerId);
      root.dataset.dragging = '';
    }
    const elapsedMs = Math.max(1, event.timeStamp - drag.atMs);
    // Half of the old speed evens out the jitter of single events.
    drag.speedX = drag.speedX / 2 + dx / elapsedMs / 2;
    drag.speedY = drag.speedY / 2 + dy / elapsedMs / 2;
    Object.assign(drag, { x: event.clientX, y: event.clientY, atMs: event.timeStamp });
    view.pan(dx, dy);
  });

  const end = (/** @type {PointerEvent} */ event) => {
    if (event.pointerId !== drag?.pointer) return;
    const { moved, atMs, speedX, speedY } = drag;
    letGo();
    const flicked = moved && event.type === 'pointerup' && event.timeStamp - atMs < FLICK_MS;
    if (flicked && event.pointerType !== 'mouse' && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
      keepGliding(speedX, speedY, performance.now());
    }
  };
  root.addEventListener('pointerup', end);
  root.addEventListener('pointercancel', end);

  /**
   * @param {number} speedX in pixels per millisecond
   * @param {number} speedY
   * @param {number} beforeMs
   */
  function keepGliding(speedX, speedY, beforeMs) {
    glide = requestAnimationFrame((nowMs) => {
      const elapsedMs = Math.max(0, nowMs - beforeMs);
      view.pan(speedX * elapsedMs, speedY * elapsedMs);
      const kept = GLIDE_PER_MS ** elapsedMs;
      if (Math.hypot(speedX, speedY) > GLIDE_MIN_PX_PER_MS) keepGliding(speedX * kept, speedY * kept, nowMs);
    });
  }

  // Keys and scripts also click, with a detail of 0; those are never the end of a drag.
  root.addEventListener(
    'click',
    (event) => {
      if (!swallowClick || event.detail === 0) return;
      swallowClick = false;
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );
}

/**
 * Arrow keys and their like work on the board, and also when nothing at all has the focus. Space is left to the
 * checkbox itself.
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToKeys(root, view) {
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => view.step(-1, 0),
    ArrowRight: () => view.step(1, 0),
    ArrowUp: () => view.step(0, -1),
    ArrowDown: () => view.step(0, 1),
    PageUp: () => view.step(0, -view.pageRows),
    PageDown: () => view.step(0, view.pageRows),
    Home: () => view.jump(1, { focus: true }),
    End: () => view.jump(view.geometry.boxes, { focus: true }),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const onBoard = event.target instanceof Node && root.contains(event.target);
    if (!onBoard && event.target !== document.body) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
