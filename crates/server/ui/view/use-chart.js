// The timeline's canvas: drawn when something has changed, at most once a frame; wheel, drag and click.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { draw, hit } from './chart.js';

/** @typedef {import('./chart.js').Scene} Scene */
/** @typedef {import('./chart.js').Paint} Paint */

/** What is painted, each in a colour that the style sheet gives to an element of that name. @type {(keyof Paint)[]} */
const NAMES = ['text', 'soft', 'line', 'ground', 'turn', 'ok', 'failed', 'running', 'unfinished', 'focus'];
/** Pixels that a press may move and still be a click. */
const STILL = 4;
/** How much a wheel's pixel zooms. */
const WHEEL = 0.0016;

/** @param {HTMLElement | null} root @returns {Paint} */
function paintsOf(root) {
  const found = NAMES.map((name) => {
    const element = root?.querySelector(`.paint-${name}`);
    return [name, element ? getComputedStyle(element).color : 'gray'];
  });
  return Object.fromEntries(found);
}

/**
 * @param {{ axis: import('../axis.js').Axis, placed: import('../lanes.js').Placed[], present: number, chosen: { value: number | null },
 *   turned: { value: number }, open: (seq: number) => void }} of
 */
export function useChart(of) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const paints = useRef(/** @type {HTMLElement | null} */ (null));
  const own = useRef({ of, paint: /** @type {Paint | null} */ (null), frame: 0 });
  own.current.of = of;
  const chart = useMemo(() => {
    /** @returns {Scene} */
    const scene = () => {
      const { axis, placed, present, chosen } = own.current.of;
      own.current.paint ??= paintsOf(paints.current);
      const [width, height] = [box.current?.clientWidth ?? 0, box.current?.clientHeight ?? 0];
      return { placed, axis, now: present, width, height, top: box.current?.scrollTop ?? 0, chosen: chosen.value, paint: own.current.paint };
    };
    const paint = () => {
      own.current.frame = 0;
      const element = canvas.current;
      const context = element?.getContext('2d');
      if (!element || !context) return;
      const seen = scene();
      const ratio = devicePixelRatio || 1;
      const [width, height] = [Math.round(seen.width * ratio), Math.round(seen.height * ratio)];
      if (element.width !== width || element.height !== height) {
        Object.assign(element, { width, height });
        Object.assign(element.style, { width: `${seen.width}px`, height: `${seen.height}px` });
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      draw(context, seen);
    };
    const soon = () => (own.current.frame ||= requestAnimationFrame(paint));
    return { scene, soon };
  }, []);
  const { handlers, onWheel } = usePointer(chart, own, box);
  useLayoutEffect(() => void chart.soon());
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(chart.soon);
    observer.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const repaint = () => {
      own.current.paint = null;
      chart.soon();
    };
    dark.addEventListener('change', repaint);
    // A wheel that zooms does not scroll: that can be said by a listener that is not passive alone.
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => {
      observer.disconnect();
      dark.removeEventListener('change', repaint);
      element.removeEventListener('wheel', onWheel);
      cancelAnimationFrame(own.current.frame);
      own.current.frame = 0;
    };
  }, []);
  return { box, canvas, paints, handlers, onScroll: chart.soon, NAMES };
}

/**
 * @param {{ scene: () => Scene, soon: () => void }} chart
 * @param {{ current: { of: Parameters<typeof useChart>[0] } }} own
 * @param {{ current: HTMLElement | null }} box
 */
function usePointer(chart, own, box) {
  const press = useRef(/** @type {{ x: number, y: number, moved: boolean } | null} */ (null));
  return useMemo(() => {
    const again = () => (own.current.of.turned.value += 1);
    const pan = (/** @type {number} */ pixels) => {
      const { axis } = own.current.of;
      const { width } = chart.scene();
      axis.pan((pixels / Math.max(1, width)) * (axis.range.to - axis.range.from));
      again();
    };
    /** @param {WheelEvent} event */
    const onWheel = (event) => {
      event.preventDefault();
      const { axis } = own.current.of;
      const unit = event.deltaMode === 1 ? 16 : 1;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return pan((event.deltaX || event.deltaY) * unit);
      axis.zoom(Math.exp(-event.deltaY * unit * WHEEL), axis.time(event.offsetX, chart.scene().width));
      again();
    };
    /** @param {PointerEvent} event */
    const onPointerDown = (event) => {
      if (event.button !== 0) return;
      /** @type {Element} */ (event.currentTarget).setPointerCapture(event.pointerId);
      press.current = { x: event.clientX, y: event.clientY, moved: false };
    };
    /** @param {PointerEvent} event */
    const onPointerMove = (event) => {
      const target = /** @type {HTMLElement} */ (event.currentTarget);
      const held = press.current;
      const found = hit(chart.scene(), event.offsetX, event.offsetY);
      target.style.cursor = held?.moved ? 'grabbing' : found ? 'pointer' : 'grab';
      if (!held) return void (target.title = found ? [found.name, found.about].filter(Boolean).join(' ').slice(0, 200) : '');
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      if (!held.moved && Math.hypot(dx, dy) < STILL) return;
      press.current = { x: event.clientX, y: event.clientY, moved: true };
      if (box.current && event.pointerType === 'mouse') box.current.scrollTop -= dy;
      pan(-dx);
    };
    /** @param {PointerEvent} event */
    const onPointerUp = (event) => {
      const wasClick = press.current && !press.current.moved;
      press.current = null;
      const found = wasClick ? hit(chart.scene(), event.offsetX, event.offsetY) : null;
      if (found) own.current.of.open(found.seq);
    };
    const onPointerCancel = () => (press.current = null);
    return { handlers: { onPointerDown, onPointerMove, onPointerUp, onPointerCancel }, onWheel };
  }, []);
}
