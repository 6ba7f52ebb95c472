// What all tabs of a browser look at, followed by one of them: it tells the others what comes. Each reads its own snapshot.
//
// Invariant: a tab that does not follow the log itself misses nothing of it. It listens before it asks for its snapshot, so what
// was told before is in the snapshot, and what is told later comes to it; when it has to follow, it goes on from its own place.

import { batch } from '@preact/signals-core';
import { Live } from './live.js';
import { Lookout } from './lookout.js';

/** Events that are kept while a snapshot is read; with more it is read again. */
const EARLY_MAX = 5000;

/** @typedef {Parameters<Live['follow']>[0]} Options */

export class Shared extends Live {
  #lookout = new Lookout();
  #joined = Promise.resolve();
  #unwatchStatus = () => {};
  /** How the log is followed; none before the first snapshot. @type {Options | null} */ #options = null;
  /** The newest place that is folded. */ #last = 0;
  /** What is told while a snapshot is read. @type {Wire.Event[] | null} */ #early = [];

  /** Takes in the next event. @protected @param {Wire.Event} _event */
  apply(_event) {
    throw new Error('each shared view folds its own events');
  }

  /** @override */
  open() {
    this.#joined = this.#lookout.join(this.#onMine, this.#onTold);
    super.open();
    this.#unwatchStatus = this.status.subscribe((status) => {
      if (this.#lookout.isMine) this.#lookout.tell({ status });
    });
  }

  /** @override */
  close() {
    super.close();
    this.#unwatchStatus();
    this.#lookout.stop();
  }

  /** @override */
  now() {
    super.now();
    if (!this.#lookout.isMine) this.#lookout.tell({ now: true });
  }

  /** Whether it is this tab that follows the log for all of them. */
  get leads() {
    return this.#lookout.isMine;
  }

  /** @override @protected */
  get staysOn() {
    return this.#lookout.isMine;
  }

  /** @override @protected */
  restart() {
    if (this.#lookout.isMine && this.ready.peek()) this.#lookout.tell({ again: true });
    return super.restart();
  }

  /** What each `load` begins with. @protected */
  async begin() {
    await this.#joined;
    this.#early = [];
  }

  /** What each `load` gives its events to. @protected @param {Wire.Event[]} events */
  onEvents = (events) => {
    this.#take(events);
    this.#lookout.tell({ events });
  };

  /** @override @protected @param {Options} options */
  follow(options) {
    this.#options = options;
    this.#last = options.after;
    const early = this.#early ?? [];
    this.#early = null;
    if (this.#lookout.isMine) return super.follow(options);
    if (early.length > EARLY_MAX) return void this.restart();
    this.#take(early);
    this.#lookout.tell({ hello: true });
  }

  /** The tab that looked out is gone. */
  #onMine = () => {
    if (this.#options && !this.#early) super.follow({ ...this.#options, after: this.#last });
  };

  /** @param {import('./lookout.js').Told} told */
  #onTold = (told) => {
    if ('hello' in told || 'now' in told) {
      if (!this.#lookout.isMine) return;
      if ('now' in told) this.now();
      this.#lookout.tell({ status: this.status.peek() });
    } else if (this.#lookout.isMine) return;
    else if ('status' in told) this.status.value = told.status;
    else if ('again' in told) this.restart();
    else if (!this.#early) this.#take(told.events);
    else if (this.#early.length <= EARLY_MAX) this.#early.push(...told.events);
  };

  /** What is folded already is passed over. @param {Wire.Event[]} events */
  #take(events) {
    batch(() => {
      for (const event of events) {
        if (event.seq <= this.#last) continue;
        this.#last = event.seq;
        this.apply(event);
      }
    });
  }
}
