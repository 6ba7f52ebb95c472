// A session as it was at a moment, and from there on: the same fold as of the live one, fed with what is read of the log.

import { batch, signal } from '@preact/signals-core';
import * as api from './api.js';
import { ApiError } from './api.js';
import { holdClock } from './format.js';
import { LiveSession, ROWS_MAX } from './live.js';
import { FRAMES, Player } from './player.js';
import { sleep } from './stream.js';
import { Summary } from './summary.js';

/** Events read at once: those before a moment, and those that come next. */
const [PAGE, NEXT] = [200, 1000];
/** Pieces of messages that may be open at a moment. */
const PIECES = 1000;
const DELTAS = 'text_delta,reasoning_delta,tool_progress';
/** Rows left after a cut. */
const ROWS_CUT = 1500;
/** Tries to find a moment by its time: each halves what is left. */
const HALVINGS = 60;
/** The longest wait between two tries to read on. */
const RETRY_MAX_MS = 15_000;

/** What a replay does not follow. */
const NO_STREAM = { path: '', after: 0, epoch: '', onEvents: () => {}, onGap: () => {} };

/** @param {string} play what the address says @returns {number} its place; NaN for a time */
const placeOf = (play) => (/^\d*$/.test(play) ? Number(play) : NaN);

/**
 * Invariant: the timeline holds nothing from behind the player's place, and nothing here writes to the server.
 */
export class ReplaySession extends LiveSession {
  /** Places of the session's first and newest events, as far as is known. */
  first = signal(0);
  last = signal(0);
  /** Whether the window begins where the session does: then all counts of it are true. */ isWhole = signal(false);
  /** What is asked for last. */ #wanted;
  #loads = 0;
  /** Where older events go on. */ #before = 0;

  /** @param {string} id @param {string} play a place or a time @param {import('./player.js').Clock} [clock] */
  constructor(id, play, clock = FRAMES) {
    super(id);
    this.#wanted = play;
    this.player = new Player({ read: this.#read, show: this.#show, clock });
    this.player.moment.subscribe((moment) => moment > 0 && holdClock(moment));
  }

  /** Whether it is still looked at. */
  get isOpen() {
    return !this.signal.aborted;
  }

  /** @override */
  close() {
    this.player.pause();
    super.close();
    holdClock(null);
  }

  /** Goes to a place or a time. @param {string} play @returns {Promise<void>} */
  async seek(play) {
    this.#wanted = play;
    const place = placeOf(play);
    const isNear = this.ready.peek() && this.#loads === 0 && !Number.isNaN(place) && this.player.skipTo(place);
    if (!isNear) await this.restart();
  }

  /** The event before, that is no piece of another. */
  async back() {
    this.player.pause();
    const page = await this.#ask({ before: this.player.place.peek(), limit: 1, deltas: false });
    const seq = page?.events[0]?.seq;
    if (seq) await this.seek(String(seq));
  }

  /** To the turn before or after. @param {1 | -1} way */
  async turn(way) {
    this.player.pause();
    const place = this.player.place.peek();
    const page = await this.#ask({ type: 'turn_start', limit: 1, ...(way > 0 ? { after: place } : { before: place }) });
    const seq = page?.events[0]?.seq ?? (way > 0 ? this.last.peek() : this.first.peek());
    if (seq) await this.seek(String(seq));
  }

  /** A request that is made again when the reader asks again. @param {Parameters<typeof api.history>[0]} query */
  async #ask(query) {
    try {
      return await api.history({ session_id: this.id, ...query }, this.signal);
    } catch (error) {
      if (!(error instanceof ApiError) && !this.signal.aborted) throw error;
      return null;
    }
  }

  /** @override @protected */
  async load() {
    const wanted = this.#wanted;
    this.#loads += 1;
    try {
      const session = await this.#about();
      const seq = Number.isNaN(placeOf(wanted)) ? await this.#placeAt(Date.parse(wanted), session) : placeOf(wanted);
      const [page, pieces] = await this.#upTo(seq);
      // Somebody has asked for another moment meanwhile.
      if (wanted === this.#wanted) this.#begin(session, page, pieces);
    } finally {
      this.#loads -= 1;
    }
    return NO_STREAM;
  }

  /** @override @protected */
  follow() {
    this.status.value = { kind: 'replay' };
  }

  /** @returns {Promise<Wire.Session | null>} */
  async #about() {
    try {
      return await api.session(this.id, this.signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /** The newest event that is not later than a time, by halving: the log is not asked by times. @param {number} time @param {Wire.Session | null} session */
  async #placeAt(time, session) {
    let [low, high] = [session?.first_seq ?? 0, session?.last_seq ?? 0];
    if (Number.isNaN(time)) return low;
    for (let at = 0; at < HALVINGS && low < high; at += 1) {
      const middle = Math.ceil((low + high) / 2);
      const page = await api.history({ session_id: this.id, before: middle + 1, limit: 1 }, this.signal);
      const event = page.events[0];
      if (!event || Date.parse(event.timestamp) <= time) low = middle;
      else high = event.seq - 1;
    }
    return low;
  }

  /** The events that a reader would see who came at a place. @param {number} seq @returns {Promise<[Wire.HistoryPage, Wire.Event[]]>} */
  async #upTo(seq) {
    const about = { session_id: this.id, before: seq + 1 };
    const pieces = api.history({ ...about, type: DELTAS, limit: PIECES }, this.signal);
    const page = await api.history({ ...about, deltas: false, limit: PAGE }, this.signal);
    const first = page.events[0]?.seq;
    if (first) return [page, (await pieces).events.filter((event) => event.seq > first)];
    await pieces;
    const begin = await api.history({ session_id: this.id, after: 0, limit: 1 }, this.signal);
    if (begin.events.length > 0) return [{ ...begin, prev: null }, []];
    throw new ApiError(404, { code: 'not_found', message: 'there is no such session', retry: false, details: {} });
  }

  /** @param {Wire.Session | null} session @param {Wire.HistoryPage} page @param {Wire.Event[]} pieces */
  #begin(session, page, pieces) {
    const events = [...page.events, ...pieces].sort((a, b) => a.seq - b.seq);
    const last = events[events.length - 1];
    const summary = Summary.from(this.id, events[0]);
    if (session) summary.session.value = { ...summary.session.value, title: session.title, agent: session.agent, source: session.source };
    batch(() => {
      this.timeline.clear();
      this.timeline.add(events);
      for (const event of events) summary.apply(event);
      this.summary.value = summary;
      this.older.value = typeof page.prev === 'number';
      this.isWhole.value = !this.older.value;
      this.unseen.value = 0;
      this.first.value = session?.first_seq ?? events[0].seq;
      this.last.value = Math.max(this.last.value, session?.last_seq ?? 0, last.seq);
      this.player.begin(last);
    });
    this.#before = page.prev ?? 0;
  }

  /** @param {number} after */
  #read = async (after) => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const page = await api.history({ session_id: this.id, after, limit: NEXT }, this.signal);
        this.last.value = Math.max(this.last.value, page.events.at(-1)?.seq ?? 0);
        // A page may be empty where the server looked far for nothing.
        if (page.events.length > 0 || (page.next ?? page.head) >= page.head) return { events: page.events, more: (page.next ?? page.head) < page.head };
        after = page.next ?? page.head;
      } catch (error) {
        if (this.signal.aborted) return { events: [], more: false };
        if (!(error instanceof ApiError)) throw error;
        if (!error.retry) {
          this.status.value = { kind: error.signedOut ? 'signed out' : 'failed', why: error.message };
          return { events: [], more: false };
        }
        const wait = Math.max(error.retryAfter ?? 0, Math.min(1000 * 2 ** attempt, RETRY_MAX_MS));
        this.status.value = { kind: 'reconnecting', at: Date.now() + wait, why: error.message };
        await sleep(wait, this.signal);
        if (!this.signal.aborted) this.follow();
      }
    }
  };

  /** @param {Wire.Event[]} events */
  #show = (events) => {
    const rows = this.timeline.items.length;
    for (const event of events) this.summary.value?.apply(event);
    this.timeline.add(events);
    if (!this.following) this.unseen.value += this.timeline.items.length - rows;
    if (this.timeline.items.length <= ROWS_MAX) return;
    this.timeline.keepNewest(ROWS_CUT);
    this.older.value = true;
    this.#before = this.timeline.first;
  };

  /** @override */
  async loadOlder() {
    // Who wants to see what is further up goes to that moment.
    if (this.loading.value || this.timeline.items.length >= ROWS_CUT) return;
    this.loading.value = 'older';
    const before = this.#before;
    const page = await this.#ask({ before, limit: PAGE, deltas: false });
    this.loading.value = '';
    if (!page || before !== this.#before) return;
    batch(() => {
      this.older.value = typeof page.prev === 'number';
      this.#before = page.prev ?? 0;
      this.timeline.prepend(page.events);
    });
  }

  /** @override */
  async loadNewer() {}

  /** @override The end of what is played. */
  async toEnd() {
    this.unseen.value = 0;
    this.following = true;
  }
}
