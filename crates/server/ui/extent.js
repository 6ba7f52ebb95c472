// How high the rows of a list are, and so where each begins: measured once they are drawn, guessed before.

/** Pixels of a row of a kind that was never drawn. */
const GUESS = 48;
/** Heights of rows that are gone are forgotten when there are this many times more than rows. */
const STALE = 4;

/** @typedef {{ key: string, kind: string }} Measured */

export class Extent {
  /** @type {Map<string, number>} */ #heights = new Map();
  /** By kind, what its rows have together. @type {Map<string, { sum: number, count: number }>} */ #kinds = new Map();
  /** @type {readonly Measured[]} */ #items = [];
  /** Where each row begins; the last is where all end. */ #starts = new Float64Array(1);
  #isStale = false;

  /** Takes what a row was measured to have. @param {string} key @param {string} kind @param {number} height */
  measure(key, kind, height) {
    const before = this.#heights.get(key);
    if (before === height) return;
    this.#heights.set(key, height);
    const all = this.#kinds.get(kind) ?? { sum: 0, count: 0 };
    all.sum += height - (before ?? 0);
    all.count += before === undefined ? 1 : 0;
    this.#kinds.set(kind, all);
    this.#isStale = true;
  }

  /** The rows, from now on. @param {readonly Measured[]} items */
  set(items) {
    this.#items = items;
    this.#isStale = true;
    if (this.#heights.size <= STALE * items.length + 1000) return;
    const kept = new Set(items.map(({ key }) => key));
    for (const key of this.#heights.keys()) if (!kept.has(key)) this.#heights.delete(key);
  }

  get items() {
    return this.#items;
  }

  get #all() {
    if (!this.#isStale) return this.#starts;
    this.#isStale = false;
    const starts = new Float64Array(this.#items.length + 1);
    this.#items.forEach(({ key, kind }, at) => {
      const all = this.#kinds.get(kind);
      starts[at + 1] = starts[at] + (this.#heights.get(key) ?? (all ? all.sum / all.count : GUESS));
    });
    return (this.#starts = starts);
  }

  /** Where a row begins. @param {number} at */
  start(at) {
    const starts = this.#all;
    return starts[Math.max(0, Math.min(at, starts.length - 1))];
  }

  /** The row at a part of the way from one to another. @param {number} from @param {number} to @param {number} part from 0 to 1 */
  within(from, to, part) {
    const at = this.at(this.start(from) + part * (this.start(to) - this.start(from)));
    return Math.max(from, Math.min(at, to - 1));
  }

  /** The row at a place, by halving. @param {number} top */
  at(top) {
    const starts = this.#all;
    let [low, high] = [0, this.#items.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle + 1] <= top) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low);
  }

  /** @param {string} key */
  indexOf(key) {
    return this.#items.findIndex((item) => item.key === key);
  }
}
