/*
 * Owns how hands move the map: wheel, drag, flick and pinch. It tells the view and keeps nothing but the gesture in
 * progress. A drag must never check the box it began on; a tap or a click must.
 */

/** @typedef {import('./view.js').View} View */

/** A hand is not still while it clicks, and a finger is less so. */
const DRAG_MOUSE_PX = 5;
const DRAG_TOUCH_PX = 9;

/** Firefox reports wheels in lines. */
const WHEEL_LINE_PX = 28;
/** Events closer together than this are one turn of the wheel, and mean one thing from first to last. */
const WHEEL_TURN_MS = 220;
/** One notch of 100 px zooms by a third; a pinch on a touchpad reports a few pixels at a time and wants more of them. */
const WHEEL_ZOOM_PER_PX = 0.003;
const PINCH_ZOOM_PER_PX = 0.012;
/** However hard the wheel is turned, one event does not lose the player. */
const WHEEL_ZOOM_MAX = 0.6;

/** A flick keeps this share of its speed each millisecond: it halves about every 230 ms. */
const GLIDE_PER_MS = 0.997;
const GLIDE_MIN_PX_PER_MS = 0.02;
/** A finger that rested this long before it was lifted did not flick. */
const FLICK_MS = 60;

/**
 * Far out there is nothing to scroll through but much to approach, so there the wheel zooms; close by it scrolls, as
 * it does on every page. With Ctrl, and by a pinch on a touchpad, it zooms everywhere.
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToWheel(root, view) {
  let lastMs = -Infinity;
  let zooms = false;
  root.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      // Whoever zooms in with the wheel arrives at the boxes still turning it; that must not scroll away at once.
      if (event.timeStamp - lastMs > WHEEL_TURN_MS) zooms = view.camera.level !== 'close';
      lastMs = event.timeStamp;
      const unit = [1, WHEEL_LINE_PX, view.camera.heightPx][event.deltaMode] ?? 1;
      if (zooms || event.ctrlKey || event.metaKey) {
        const pinch = event.ctrlKey && Math.abs(event.deltaY) < 50;
        const amount = -event.deltaY * unit * (pinch ? PINCH_ZOOM_PER_PX : WHEEL_ZOOM_PER_PX);
        const area = root.getBoundingClientRect();
        const factor = Math.exp(Math.min(Math.max(amount, -WHEEL_ZOOM_MAX), WHEEL_ZOOM_MAX));
        view.zoomBy(factor, event.clientX - area.left, event.clientY - area.top, { smooth: !pinch });
        return;
      }
      // Some browsers turn the wheel sideways for Shift, some leave it to us.
      const turn = event.shiftKey && event.deltaX === 0;
      view.pan((turn ? event.deltaY : event.deltaX) * unit, (turn ? 0 : event.deltaY) * unit);
    },
    { passive: false },
  );
}

/**
 * Safari tells of a pinch on a touchpad by events of its own, and would zoom the page. On phones it sends them as well,
 * beside the pointers of the fingers that are on the board; there the pointers do.
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToSafariPinch(root, view) {
  let before = 1;
  for (const name of ['gesturestart', 'gesturechange', 'gestureend']) {
    root.addEventListener(name, (event) => {
      event.preventDefault();
      const { scale, clientX, clientY } = /** @type {Event & { scale: number, clientX: number, clientY: number }} */ (event);
      const factor = scale / before;
      before = name === 'gesturechange' ? scale : 1;
      if (name !== 'gesturechange' || view.motion.held || !(factor > 0)) return;
      const area = root.getBoundingClientRect();
      view.zoomBy(factor, clientX - area.left, clientY - area.top, { smooth: false });
    });
  }
}

/**
 * @typedef {{ limitPx: number, x: number, y: number, atMs: number, moved: boolean, speedX: number, speedY: number }} Drag
 */

/** @typedef {{ x: number, y: number }} Point */

/**
 * One finger or the mouse drags, two fingers pinch, and a finger that goes down while the map glides stops it.
 * @param {HTMLElement} root
 * @param {View} view
 */
export function listenToPointers(root, view) {
  /** Every pointer that is down on the board. @type {Map<number, Point>} */
  const down = new Map();
  /** @type {Drag | undefined} */
  let drag;
  let swallowClick = false;
  let glide = 0;

  root.addEventListener('pointerdown', (event) => {
    cancelAnimationFrame(glide);
    if (event.pointerType === 'mouse' && event.button !== 0) return;
    // A primary pointer is the first of its kind, so whatever else we remember was lifted without our being told.
    if (event.isPrimary) down.clear();
    view.grasp(true);
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (down.size === 1) {
      swallowClick = false;
      const limitPx = event.pointerType === 'mouse' ? DRAG_MOUSE_PX : DRAG_TOUCH_PX;
      const { clientX: x, clientY: y, timeStamp: atMs } = event;
      drag = { limitPx, x, y, atMs, moved: false, speedX: 0, speedY: 0 };
    } else {
      drag = undefined;
      swallowClick = true;
      for (const pointer of down.keys()) root.setPointerCapture(pointer);
    }
  });

  root.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    // Released outside, before the pointer was captured: nobody told us.
    if (event.buttons === 0) return lift(event);
    if (down.size >= 2) pinch(event, before);
    else if (drag) pull(event, drag);
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });

  /**
   * @param {PointerEvent} event
   * @param {Drag} drag
   */
  function pull(event, drag) {
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
  }

  /**
   * Two fingers hold two places of the map: it follows their middle and stretches with their distance.
   * @param {PointerEvent} event
   * @param {Point} before
   */
  function pinch(event, before) {
    const [first, second] = down.keys();
    const other = down.get(event.pointerId === first ? second : first);
    // A third finger has no part in it.
    if (!other || (event.pointerId !== first && event.pointerId !== second)) return;
    const spreadBefore = Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    const spread = Math.max(1, Math.hypot(event.clientX - other.x, event.clientY - other.y));
    const [dxPx, dyPx] = [(before.x - event.clientX) / 2, (before.y - event.clientY) / 2];
    const area = root.getBoundingClientRect();
    const x = (event.clientX + other.x) / 2 - area.left;
    const y = (event.clientY + other.y) / 2 - area.top;
    view.zoomBy(spread / spreadBefore, x, y, { smooth: false, held: true, dxPx, dyPx });
  }

  /** @param {PointerEvent} event */
  function lift(event) {
    if (!down.delete(event.pointerId)) return;
    if (down.size === 1) {
      // The finger that is left goes on as a drag, without a jump of the map.
      const [rest] = down.values();
      drag = { limitPx: 0, ...rest, atMs: event.timeStamp, moved: true, speedX: 0, speedY: 0 };
    }
    if (down.size > 0) return;
    view.grasp(false);
    delete root.dataset.dragging;
    const last = drag;
    drag = undefined;
    const flicked = last?.moved && event.type === 'pointerup' && event.timeStamp - last.atMs < FLICK_MS;
    if (last && flicked && event.pointerType !== 'mouse' && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
      keepGliding(last.speedX, last.speedY, performance.now());
    }
  }
  // Wherever it ends: a hand believed to be on the map would keep everything from coming to rest.
  addEventListener('pointerup', lift);
  addEventListener('pointercancel', lift);

  /**
   * @param {number} speedX in pixels per millisecond
   * @param {number} speedY
   * @param {number} beforeMs
   */
  function keepGliding(speedX, speedY, beforeMs) {
    glide = requestAnimationFrame((nowMs) => {
      const elapsedMs = Math.max(0, nowMs - beforeMs);
      // A flight that was started meanwhile, by a button or a key, is not to be disturbed.
      if (view.flying && view.camera.level !== 'close') return;
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
