// A part of time, and the pixels that it is drawn on.

/** The least that can be looked at, in milliseconds. */
const SPAN_MIN = 20;
/** How much wider than everything one may look. */
const WIDEST = 1.5;

/** Steps between two marks, in milliseconds. */
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 3, 6, 12, 24, 48, 168, 720].map((hours) => hours * 3_600_000),
];

/** @typedef {{ from: number, to: number }} Range */

export class Axis {
  /** Everything. @type {Range} */ #all = { from: 0, to: 1 };
  /** What is looked at; null for everything, however it grows. @type {Range | null} */ #part = null;

  /** @param {number} from @param {number} to */
  setAll(from, to) {
    const before = this.#all.to;
    this.#all = { from, to: Math.max(to, from + SPAN_MIN) };
    // Who looks at the end goes on with it.
    if (this.#part && this.#part.to >= before && this.#part.to < this.#all.to) this.pan(this.#all.to - before);
  }

  get isWhole() {
    return this.#part === null;
  }

  /** What is looked at, with a little room around everything. @returns {Range} */
  get range() {
    if (this.#part) return this.#part;
    const room = (this.#all.to - this.#all.from) * 0.01;
    return { from: this.#all.from - room, to: this.#all.to + room };
  }

  /** @param {number} time @param {number} width */
  x(time, width) {
    const { from, to } = this.range;
    return ((time - from) / (to - from)) * width;
  }

  /** @param {number} x @param {number} width */
  time(x, width) {
    const { from, to } = this.range;
    return from + (x / Math.max(1, width)) * (to - from);
  }

  fit() {
    this.#part = null;
  }

  /** Looks at a part, where it is one. @param {number} from @param {number} to */
  look(from, to) {
    if (to > from) this.#bound(from, Math.max(SPAN_MIN, to - from));
  }

  /** Looks at so much less around a time, which stays where it is. @param {number} factor @param {number} [around] */
  zoom(factor, around = (this.range.from + this.range.to) / 2) {
    const { from, to } = this.range;
    const whole = this.#all.to - this.#all.from;
    const span = Math.max(SPAN_MIN, (to - from) / factor);
    if (span >= whole * WIDEST) return this.fit();
    const share = (around - from) / (to - from);
    this.#bound(around - share * span, span);
  }

  /** @param {number} by milliseconds */
  pan(by) {
    const { from, to } = this.range;
    this.#bound(from + by, to - from);
  }

  /** Brings a time into view. @param {number} from @param {number} to */
  show(from, to) {
    const range = this.range;
    if (to < range.from || from > range.to) this.#bound(from - (range.to - range.from) / 3, range.to - range.from);
  }

  /** Something of what there is stays in view. @param {number} from @param {number} span */
  #bound(from, span) {
    const least = this.#all.from - span / 2;
    const most = this.#all.to - span / 2;
    const start = Math.min(Math.max(from, least), most);
    this.#part = { from: start, to: start + span };
  }

  /** Times for marks, at least so many pixels apart. @param {number} width @param {number} apart @returns {{ step: number, times: number[] }} */
  marks(width, apart) {
    const { from, to } = this.range;
    const least = ((to - from) / Math.max(1, width)) * apart;
    const step = STEPS.find((each) => each >= least) ?? Math.ceil(least / 86_400_000) * 86_400_000;
    // Marks of a day are those of the reader's day.
    const zone = new Date(from).getTimezoneOffset() * 60_000;
    const times = [];
    for (let time = Math.ceil((from - zone) / step) * step + zone; time <= to; time += step) times.push(time);
    return { step, times };
  }
}
