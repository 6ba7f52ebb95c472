// Plays a log: events are shown one after another as their times say, faster if wanted, and long silences are shortened.
//
// Invariant: what was shown is exactly the events up to `place`, each once and in order, however it got there.

import { batch, signal } from '@preact/signals-core';
import { isDelta } from './loose.js';

/** The longest silence that is played, in milliseconds at 1×. */
export const SILENCE_MS = 2000;
/** The speeds that there are. */
export const SPEEDS = [1, 4, 20];
/** Less than this between two looks at the clock counts: a page that nobody sees has no frames, and does not play meanwhile. */
const FRAME_MAX_MS = 250;
/** With fewer events ahead than this, more are read. */
const AHEAD_MIN = 500;

/**
 * What drives it. A test has its own.
 * @typedef {object} Clock
 * @property {() => number} now milliseconds, from anywhere
 * @property {(call: () => void) => () => void} every calls again and again, a frame apart, until what it answers is called
 */

/**
 * @typedef {object} Options
 * @property {(after: number) => Promise<{ events: Wire.Event[], more: boolean }>} read the next events; `more` when others are there yet
 * @property {(events: Wire.Event[]) => void} show
 * @property {Clock} clock
 */

/** @type {Clock} */
export const FRAMES = {
  now: () => performance.now(),
  every(call) {
    let frame = requestAnimationFrame(function next() {
      frame = requestAnimationFrame(next);
      call();
    });
    return () => cancelAnimationFrame(frame);
  },
};

/** @param {Wire.Event} event */
const timeOf = (event) => Date.parse(event.timestamp);

export class Player {
  playing = signal(false);
  speed = signal(1);
  /** The newest event that is shown. */ place = signal(0);
  /** What time it is in what is played, in milliseconds since 1970. */ moment = signal(0);
  /** How long the silence is that is being shortened; 0 for none. */ silence = signal(0);
  /** Whether there is nothing behind the place, as far as is known. */ atEnd = signal(false);
  #options;
  /** @type {Wire.Event[]} */ #ahead = [];
  /** Time of the newest event that is shown. */ #since = 0;
  /** How much of the wait for the next event is over, at 1×. */ #spent = 0;
  #looked = 0;
  #stop = () => {};
  /** @type {Promise<void> | null} */ #reading = null;
  /** Whether the newest page was the last one. */ #isOver = false;
  /** Counts new beginnings: what was asked for before one is void. */ #round = 0;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
  }

  /** Goes on from a place whose events are shown already. @param {Wire.Event} last the newest of them */
  begin(last) {
    this.#round += 1;
    this.#reading = null;
    this.#ahead = [];
    this.#isOver = false;
    this.#spent = 0;
    this.#since = timeOf(last) || 0;
    batch(() => {
      this.place.value = last.seq;
      this.moment.value = this.#since;
      this.silence.value = 0;
      this.atEnd.value = false;
    });
    this.#readOn();
  }

  play() {
    if (this.playing.peek()) return;
    batch(() => {
      this.playing.value = true;
      this.atEnd.value = false;
    });
    this.#looked = this.#options.clock.now();
    this.#stop = this.#options.clock.every(() => this.#tick());
  }

  pause() {
    this.#stop();
    this.#stop = () => {};
    this.playing.value = false;
  }

  toggle() {
    if (this.playing.peek()) this.pause();
    else this.play();
  }

  /** Shows the next event that is no piece of another, and what comes before it. */
  async step() {
    this.pause();
    const round = this.#round;
    for (let at = 0; round === this.#round; ) {
      const found = this.#ahead.findIndex((event, index) => index >= at && !isDelta(event));
      if (found >= 0) return this.#show(this.#ahead.splice(0, found + 1));
      at = this.#ahead.length;
      await this.#read();
      // Pieces of what is not whole yet are the end of a session that is at work.
      if (round === this.#round && this.#ahead.length === at) return this.#showEnd();
    }
  }

  /** Shows all up to a place, where that is read already. @param {number} seq @returns {boolean} */
  skipTo(seq) {
    const newest = this.#ahead.at(-1)?.seq ?? 0;
    if (seq < this.place.peek() || seq > newest) return seq === this.place.peek();
    const behind = this.#ahead.findIndex((event) => event.seq > seq);
    this.#show(this.#ahead.splice(0, behind < 0 ? this.#ahead.length : behind));
    return true;
  }

  #showEnd() {
    this.#show(this.#ahead.splice(0));
    this.atEnd.value = true;
  }

  /** @param {Wire.Event[]} events */
  #show(events) {
    const last = events.at(-1);
    if (!last) return;
    this.#spent = 0;
    for (const event of events) this.#since = Math.max(this.#since, timeOf(event) || 0);
    batch(() => {
      this.#options.show(events);
      this.place.value = last.seq;
      this.moment.value = this.#since;
      this.silence.value = 0;
    });
    this.#readOn();
  }

  #tick() {
    const { clock } = this.#options;
    const now = clock.now();
    this.#spent += Math.min(Math.max(0, now - this.#looked), FRAME_MAX_MS) * this.speed.peek();
    this.#looked = now;
    let [due, since, left] = [0, this.#since, this.#spent];
    for (const event of this.#ahead) {
      const wait = Math.min(Math.max(0, timeOf(event) - since || 0), SILENCE_MS);
      if (left < wait) break;
      left -= wait;
      since = Math.max(since, timeOf(event) || 0);
      due += 1;
    }
    if (due > 0) this.#show(this.#ahead.splice(0, due));
    this.#spent = left;
    this.#wait();
  }

  /** Tells how far the wait for the next event is. */
  #wait() {
    const next = this.#ahead[0];
    if (!next) {
      // It is not read yet, or there is none: time does not go on over what is not known.
      this.#spent = 0;
      this.#readOn();
      return;
    }
    const whole = Math.max(0, timeOf(next) - this.#since || 0);
    const isLong = whole > SILENCE_MS;
    batch(() => {
      this.silence.value = isLong ? whole : 0;
      this.moment.value = this.#since + (isLong ? (whole * this.#spent) / SILENCE_MS : this.#spent);
    });
  }

  /** Reads what comes next, where little is ahead. */
  #readOn() {
    const isRead = this.#isOver && this.#ahead.length > 0;
    if (this.#ahead.length < AHEAD_MIN && !isRead) this.#read();
  }

  #read() {
    return (this.#reading ??= this.#readPage(this.#round));
  }

  /** @param {number} round */
  async #readPage(round) {
    const after = this.#ahead.at(-1)?.seq ?? this.place.peek();
    try {
      const { events, more } = await this.#options.read(after);
      if (round !== this.#round) return;
      this.#ahead.push(...events);
      this.#isOver = !more;
      this.atEnd.value = this.#isOver && this.#ahead.length === 0;
      if (this.atEnd.peek()) this.pause();
    } finally {
      if (round === this.#round) this.#reading = null;
    }
  }
}
