/*
 * Owns what browsers have and the DOM types of TypeScript 4.8, the version that Debian 12 packages, do not know yet.
 */

interface CanvasRenderingContext2D {
  roundRect(x: number, y: number, width: number, height: number, radii?: number | number[]): void;
}

interface HTMLElement {
  togglePopover(force?: boolean): boolean;
}

interface RequestInit {
  priority?: 'auto' | 'high' | 'low';
}
