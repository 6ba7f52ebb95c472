// A session as it was at a moment, and from there on: the same fold as of the live one, fed with what is read of the log.

import { batch, signal } from '@preact/signals-core';
import * as api from './api.js';
import { ApiError } from './api.js';
import { holdClock } from './format.js';
import { LiveSession, sessionOf } from './live.js';
import { FRAMES, Player } from './player.js';
import { sleep } from './stream.js';
import { added, Summary } from './summary.js';

/** Events read at once: those before a moment, and those that come next. */
const [PAGE, NEXT] = [200, 1000];
/** Pieces of messages that may be open at a moment. */
const PIECES = 1000;
const DELTAS = 'text_delta,reasoning_delta,tool_progress';
/** Rows asked for at once to be counted, and requests for each that are made for that at most. */
const [COUNTED, COUNTS_MAX] = [1000, 50];
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
  /** Whether all counts are true: the window begins where the session does, or what is before it was counted. */ isWhole = signal(false);
  /** What is asked for last. */ #wanted;
  #loads = 0;

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
    if (isNear) return;
    // Another moment is looked at as its watchers saw it: at its end.
    this.following = true;
    await this.restart();
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
      const session = await sessionOf(this.id, this.signal);
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
      this.wentBack(page);
      this.detached.value = false;
      this.isWhole.value = !this.older.value;
      this.unseen.value = 0;
      this.first.value = session?.first_seq ?? events[0].seq;
      this.last.value = Math.max(this.last.value, session?.last_seq ?? 0, last.seq);
      this.player.begin(last);
    });
    if (!this.isWhole.peek()) this.#count(summary, last.seq);
  }

  /** What the session had come to at a place that its window does not show the way to. @param {Summary} summary @param {number} place */
  async #count(summary, place) {
    const blank = { turns: 0, tool_calls: 0, errors: 0, cost_usd: 0, usage: /** @type {Wire.Usage} */ ({}) };
    const sums = { ...blank };
    summary.session.value = { ...summary.session.peek(), ...blank };
    const isOver = (/** @type {{ end_seq?: number }} */ { end_seq = Infinity }) => end_seq <= place;
    /** @type {((before: number) => Promise<number | null | undefined>)[]} */
    const counts = [
      async (before) => {
        const page = await api.turns(this.id, { before, limit: COUNTED }, this.signal);
        sums.turns += page.turns.filter(({ start_seq }) => start_seq).length;
        for (const turn of page.turns.filter(isOver)) {
          sums.usage = added(sums.usage, turn.usage);
          sums.cost_usd += turn.cost_usd ?? 0;
        }
        return page.next;
      },
      async (before) => {
        const page = await api.toolCalls(this.id, { before, limit: COUNTED }, this.signal);
        sums.tool_calls += page.tool_calls.filter(isOver).length;
        return page.next;
      },
      async (before) => {
        const page = await api.history({ session_id: this.id, type: 'error', before, limit: COUNTED }, this.signal);
        sums.errors += page.events.length;
        return page.prev;
      },
    ];
    /** @type {(number | null | undefined)[]} */
    let next = counts.map(() => place + 1);
    for (let asked = 0; next.some(Boolean); asked += 1) {
      const given = next;
      const found = await Promise.all(counts.map((count, at) => given[at] && count(given[at]))).catch((error) => {
        if (!(error instanceof ApiError) && !this.signal.aborted) throw error;
      });
      // Without all of them none is told.
      if (!found || asked >= COUNTS_MAX || this.summary.peek() !== summary) return;
      next = found.map((place) => place || null);
    }
    const now = summary.session.peek();
    summary.session.value = {
      ...now,
      turns: now.turns + sums.turns,
      tool_calls: now.tool_calls + sums.tool_calls,
      errors: now.errors + sums.errors,
      cost_usd: (now.cost_usd ?? 0) + sums.cost_usd,
      usage: added(now.usage, sums.usage),
    };
    this.isWhole.value = true;
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
  #show = (events) => this.take(events);

  /** @override Up to the moment: from there on what is played comes to it. */
  loadNewer() {
    return this.once('newer', async () => {
      const rows = this.timeline.items.length;
      while (this.detached.value && this.timeline.items.length === rows && !this.signal.aborted) {
        const page = await api.history({ session_id: this.id, after: this.timeline.last, limit: PAGE }, this.signal);
        const place = this.player.place.peek();
        batch(() => {
          this.timeline.add(page.events.filter(({ seq }) => seq <= place));
          if (this.isFull) this.keepNewest();
          this.detached.value = page.events.length > 0 && this.timeline.last < place;
        });
      }
    });
  }

  /** @override The end of what is played. */
  toEnd() {
    this.#wanted = String(this.player.place.peek());
    return super.toEnd();
  }
}
