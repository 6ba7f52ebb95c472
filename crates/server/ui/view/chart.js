// The timeline's drawing: spans as bars on a canvas, just those in view. What a bar came to is told by its form, not by its colour alone:
// one that failed is striped and crossed, one that never ended has a broken outline, one that runs has no right end.

import { oneLine } from '../format.js';

/** @typedef {import('../lanes.js').Placed} Placed */
/** @typedef {Record<'text' | 'soft' | 'line' | 'ground' | 'turn' | 'ok' | 'failed' | 'running' | 'unfinished' | 'focus', string>} Paint */
/**
 * @typedef {object} Scene
 * @property {Placed[]} placed in the order in which they began
 * @property {import('../axis.js').Axis} axis
 * @property {number} now what runs is drawn up to here
 * @property {number} width
 * @property {number} height
 * @property {number} top pixels that are scrolled away
 * @property {number | null} chosen the bar that is chosen, by its place
 * @property {Paint} paint
 */

/** Pixels of the axis, of a lane, and of a bar in it. */
export const HEAD = 26;
export const LANE = 24;
export const BAR = 18;
/** Pixels that a bar has at least, and those with which it has room for words. */
const [LEAST, WORDS] = [3, 34];
/** Pixels between two marks of the axis. */
const APART = 110;

/** How high all lanes are. @param {number} lanes */
export const heightOf = (lanes) => HEAD + lanes * LANE + 8;

/** @param {Scene} scene @param {Placed} span */
function box({ axis, width, now, top }, span) {
  const left = axis.x(span.from, width);
  const right = axis.x(Number.isFinite(span.to) ? span.to : Math.max(now, span.from), width);
  return { x: left, y: HEAD + span.lane * LANE + (LANE - BAR) / 2 - top, w: Math.max(LEAST, right - left) };
}

/** The bar at a point: of several the narrowest, which is the hardest to hit. @param {Scene} scene @param {number} x @param {number} y @returns {Placed | null} */
export function hit(scene, x, y) {
  if (y < HEAD) return null;
  let [best, width] = [/** @type {Placed | null} */ (null), Infinity];
  for (const span of scene.placed) {
    const own = box(scene, span);
    if (y < own.y - 2 || y > own.y + BAR + 2 || x < own.x - 2 || x > own.x + own.w + 2 || own.w >= width) continue;
    [best, width] = [span, own.w];
  }
  return best;
}

/** @param {CanvasRenderingContext2D} canvas @param {Scene} scene */
export function draw(canvas, scene) {
  const { width, height, paint } = scene;
  canvas.clearRect(0, 0, width, height);
  canvas.font = '12px system-ui, sans-serif';
  canvas.textBaseline = 'middle';
  grid(canvas, scene);
  canvas.save();
  canvas.beginPath();
  canvas.rect(0, HEAD, width, height - HEAD);
  canvas.clip();
  /** Where the newest bar of each lane and form ends: what is under the same pixel is not drawn again. @type {Map<string, number>} */
  const drawn = new Map();
  for (const span of scene.placed) {
    const { x, y, w } = box(scene, span);
    if (x > width || x + w < 0 || y > height || y + BAR < HEAD) continue;
    const key = `${span.lane} ${span.outcome}`;
    if (w <= LEAST && x + w <= (drawn.get(key) ?? -Infinity) + 0.5) continue;
    drawn.set(key, x + w);
    bar(canvas, scene, span, x, y, w);
  }
  const chosen = scene.placed.find(({ seq }) => seq === scene.chosen);
  if (chosen) {
    const { x, y, w } = box(scene, chosen);
    canvas.strokeStyle = paint.focus;
    canvas.lineWidth = 2;
    canvas.strokeRect(x - 2, y - 2, w + 4, BAR + 4);
  }
  canvas.restore();
}

/** @param {CanvasRenderingContext2D} canvas @param {Scene} scene */
function grid(canvas, { axis, width, height, paint }) {
  const { step, times } = axis.marks(width, APART);
  canvas.lineWidth = 1;
  for (const time of times) {
    const x = Math.round(axis.x(time, width)) + 0.5;
    canvas.strokeStyle = paint.line;
    canvas.beginPath();
    canvas.moveTo(x, 0);
    canvas.lineTo(x, height);
    canvas.stroke();
    canvas.fillStyle = paint.soft;
    canvas.fillText(label(time, step), x + 4, HEAD / 2);
  }
}

const DAYS = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const MINUTES = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** @param {number} time @param {number} step */
function label(time, step) {
  if (step >= 12 * 3_600_000) return DAYS.format(time);
  if (step >= 60_000) return MINUTES.format(time);
  const text = SECONDS.format(time);
  return step >= 1000 ? text : `${text}.${String(time % 1000).padStart(3, '0')}`;
}

/** @param {CanvasRenderingContext2D} canvas @param {Scene} scene @param {Placed} span @param {number} x @param {number} y @param {number} w */
function bar(canvas, { width, paint }, span, x, y, w) {
  // Bars may be far wider than the canvas.
  const left = Math.max(x, -4);
  const right = Math.min(x + w, width + 4);
  const isTurn = span.kind === 'turn';
  const tone = span.outcome === 'ok' && isTurn ? paint.turn : paint[span.outcome];
  canvas.fillStyle = tone;
  canvas.globalAlpha = 0.22;
  canvas.fillRect(left, y, right - left, BAR);
  canvas.globalAlpha = 1;
  canvas.strokeStyle = tone;
  canvas.lineWidth = 1;
  canvas.setLineDash(span.outcome === 'unfinished' ? [3, 3] : []);
  if (span.outcome === 'running') open(canvas, left, y, right);
  else if (w > LEAST) canvas.strokeRect(left + 0.5, y + 0.5, right - left - 1, BAR - 1);
  else canvas.fillRect(left, y, right - left, BAR);
  canvas.setLineDash([]);
  if (span.outcome === 'failed') failed(canvas, left, y, right, w);
  if (right - Math.max(left, 0) < WORDS) return;
  canvas.save();
  canvas.beginPath();
  canvas.rect(Math.max(left, 0), y, right - Math.max(left, 0) - 4, BAR);
  canvas.clip();
  canvas.fillStyle = paint.text;
  const mark = span.outcome === 'failed' ? '✕ ' : '';
  canvas.fillText(mark + words(span), Math.max(left, 0) + 6, y + BAR / 2 + 1);
  canvas.restore();
}

/** One that goes on has no right end. @param {CanvasRenderingContext2D} canvas @param {number} left @param {number} y @param {number} right */
function open(canvas, left, y, right) {
  canvas.beginPath();
  canvas.moveTo(right, y + 0.5);
  canvas.lineTo(left + 0.5, y + 0.5);
  canvas.lineTo(left + 0.5, y + BAR - 0.5);
  canvas.lineTo(right, y + BAR - 0.5);
  canvas.stroke();
}

/** Stripes; one that is too narrow for them stands out of its lane. @param {CanvasRenderingContext2D} canvas @param {number} left @param {number} y @param {number} right @param {number} w */
function failed(canvas, left, y, right, w) {
  if (w <= 8) return canvas.fillRect(left, y - 3, right - left, BAR + 6);
  canvas.save();
  canvas.beginPath();
  canvas.rect(left, y, right - left, BAR);
  canvas.clip();
  canvas.globalAlpha = 0.45;
  canvas.beginPath();
  for (let x = left - BAR; x < right; x += 7) {
    canvas.moveTo(x, y + BAR);
    canvas.lineTo(x + BAR, y);
  }
  canvas.stroke();
  canvas.restore();
}

/** @param {Placed} span */
const words = ({ name, about }) => oneLine(about ? `${name} ${about}` : name).slice(0, 120);
