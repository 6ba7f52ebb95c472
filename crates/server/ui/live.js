// What the views show: a snapshot from the server, and a subscription from the snapshot's place on.
//
// Both are resumed, retried and started again here, so that a view just draws. Each page keeps one stream open at a time: browsers
// allow six connections to one HTTP/1.1 server over all tabs.

import { batch, computed, signal } from '@preact/signals-core';
import * as api from './api.js';
import { ApiError } from './api.js';
import { DELTAS, isDelta } from './loose.js';
import { Timeline } from './store.js';
import { sleep, Subscription } from './stream.js';
import { isErased, isOfAgent, RANKS, rankOf, Summary } from './summary.js';

/** @typedef {import('./stream.js').Status} Status */
/** @typedef {import('@preact/signals-core').Signal<Status>} StatusSignal */

/** Sessions asked for at once. */
const SESSIONS_PAGE = 200;
/** Sessions kept: the oldest quiet ones go first. */
const SESSIONS_MAX = 2000;
/** Events asked for at once. */
const PAGE = 200;
/** Deltas asked for on opening a session: at 20 a second, what a message of half a minute has. */
const OPEN_DELTAS = 600;
/** Rows kept in the page. */
export const ROWS_MAX = 2000;
/** Rows left after a cut: a cut costs a full fold, so it is not made for each row. */
const ROWS_CUT = 1500;
/** Characters of events kept in the page, about, and those left after a cut. */
const [WEIGHT_MAX, WEIGHT_CUT] = [16 * 1024 * 1024, 8 * 1024 * 1024];
/** Events folded in one frame: what comes faster, as after a time away, takes several. */
const FRAME_EVENTS = 2000;
/** What comes is folded at the next frame; a page that nobody sees has none. */
const FRAME_MS = 250;
/** Above every place: the end of the log. */
const END = Number.MAX_SAFE_INTEGER;
/** A hidden page lets its connection go after this long, for the other tabs; it resumes when it is looked at. */
const HIDDEN_MS = 60_000;

/** A snapshot followed by a stream; the parts that both lists share. */
export class Live {
  /** @type {StatusSignal} */ status = signal(/** @type {Status} */ ({ kind: 'connecting' }));
  /** Why there is nothing to show. @type {import('@preact/signals-core').Signal<ApiError | null>} */ failure = signal(null);
  ready = signal(false);
  /** @type {Subscription | null} */ #stream = null;
  #unwatch = () => {};
  #closed = new AbortController();
  #retry = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #hiding;

  /** @protected */
  get signal() {
    return this.#closed.signal;
  }

  /** @protected @returns {Promise<Omit<import('./stream.js').Options, 'onReset'>>} */
  load() {
    throw new Error('each live view loads its own snapshot');
  }

  open() {
    document.addEventListener('visibilitychange', this.#onVisibility);
    addEventListener('online', this.#onOnline);
    this.restart();
  }

  close() {
    this.#closed.abort();
    this.#stream?.stop();
    this.#unwatch();
    clearTimeout(this.#hiding);
    document.removeEventListener('visibilitychange', this.#onVisibility);
    removeEventListener('online', this.#onOnline);
  }

  /** Reads the snapshot, trying again as long as that may help, then follows. @protected */
  async restart() {
    this.#stream?.stop();
    for (let attempt = 0; !this.signal.aborted; attempt += 1) {
      try {
        const options = await this.load();
        if (this.signal.aborted) return;
        batch(() => {
          this.failure.value = null;
          this.ready.value = true;
        });
        return this.follow(options);
      } catch (error) {
        if (this.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (!error.retry) return this.#give(error);
        const wait = Math.max(error.retryAfter ?? 0, Math.min(1000 * 2 ** attempt, 15_000) * (0.5 + 0.5 * Math.random()));
        this.status.value = { kind: 'reconnecting', at: Date.now() + wait, why: error.message };
        this.#retry = new AbortController();
        await sleep(wait, AbortSignal.any([this.signal, this.#retry.signal]));
      }
    }
  }

  /** @param {ApiError} error */
  #give(error) {
    batch(() => {
      this.failure.value = error;
      this.status.value = { kind: error.signedOut ? 'signed out' : 'failed', why: error.message };
    });
  }

  /** Follows from a place, instead of the stream before. @protected @param {Omit<import('./stream.js').Options, 'onReset'>} options */
  follow(options) {
    this.#stream?.stop();
    this.#unwatch();
    const stream = (this.#stream = new Subscription({ ...options, onReset: () => this.restart() }));
    this.#unwatch = stream.status.subscribe((status) => (this.status.value = status));
    stream.start();
  }

  /** Whether it goes on while nobody looks. @protected */
  get staysOn() {
    return false;
  }

  /** Tries again now, where it waits. */
  now() {
    this.#retry.abort();
    this.#stream?.start();
  }

  #onOnline = () => this.now();

  #onVisibility = () => {
    clearTimeout(this.#hiding);
    if (document.hidden) this.#hiding = setTimeout(() => this.staysOn || this.#stream?.pause(), HIDDEN_MS);
    else this.now();
  };
}

/** The newest first. @param {Summary[]} summaries @param {(session: Wire.Session) => string} by */
function sortBy(summaries, by) {
  const key = (/** @type {Summary} */ summary) => by(summary.session.peek());
  return summaries.sort((a, b) => (key(a) < key(b) ? 1 : key(a) > key(b) ? -1 : a.id < b.id ? -1 : 1));
}

/** What a change of makes the list be drawn anew. @param {Wire.Session | undefined} session */
const shape = (session) => session && [rankOf(session), session.title, session.agent, session.model].join('\n');

/** The list of sessions. */
export class LiveSessions extends Live {
  /** @type {Map<string, Summary>} */ #all = new Map();
  /** Counts changes of which sessions there are, or of their order. */ #changed = signal(0);
  /** Where the server's list goes on, if it does. @type {import('@preact/signals-core').Signal<string | number | null>} */ more = signal(null);
  loadingMore = signal(false);

  /** By how much they need a person. Where they are at work the order is one that does not change with every event. */
  ranked = computed(() => {
    this.#changed.value;
    /** @type {Record<string, Summary[]>} */
    const all = Object.fromEntries(RANKS.map((rank) => [rank, []]));
    for (const summary of this.#all.values()) all[rankOf(summary.session.peek())].push(summary);
    // Who waits for a person for the longest comes first; of the others the newest does.
    sortBy(all.needs, (s) => s.since ?? s.last_activity).reverse();
    sortBy(all.wrong, (s) => s.since ?? s.last_activity);
    sortBy(all.working, (s) => s.started);
    sortBy(all.quiet, (s) => s.last_activity);
    return all;
  });

  /** @override @protected */
  async load() {
    const page = await api.sessions({ limit: SESSIONS_PAGE }, this.signal);
    this.#all.clear();
    this.#take(page);
    const query = { deltas: false };
    return { path: '/api/events', query, after: page.head, onEvents: this.#onEvents, onGap: () => void this.restart() };
  }

  /** @param {Wire.SessionPage} page */
  #take(page) {
    for (const session of page.sessions) if (!this.#all.has(session.id)) this.#all.set(session.id, new Summary(session));
    this.more.value = page.next ?? null;
    this.#changed.value += 1;
  }

  /** Older sessions. */
  async loadMore() {
    const before = this.more.value;
    if (before === null || this.loadingMore.value) return;
    this.loadingMore.value = true;
    try {
      this.#take(await api.sessions({ limit: SESSIONS_PAGE, before }, this.signal));
    } catch (error) {
      if (!(error instanceof ApiError) && !this.signal.aborted) throw error;
    } finally {
      this.loadingMore.value = false;
    }
  }

  /** @param {Wire.Event[]} events */
  #onEvents = (events) =>
    batch(() => {
      for (const event of events) this.#apply(event);
      if (this.#all.size > SESSIONS_MAX) this.#trim();
    });

  /** @param {Wire.Event} event */
  #apply(event) {
    const id = event.session_id;
    if (!id) return this.#ofAgent(event);
    if (isErased(event)) {
      this.#all.delete(id);
      this.#changed.value += 1;
      return;
    }
    let summary = this.#all.get(id);
    const before = summary?.session.peek();
    if (!summary) this.#all.set(id, (summary = Summary.from(id, event)));
    summary.apply(event);
    const after = summary.session.peek();
    // Only of the quiet ones the order changes with every event.
    if (shape(before) !== shape(after) || rankOf(after) === 'quiet') this.#changed.value += 1;
  }

  /** An agent comes or goes, and all of its sessions with it. @param {Wire.Event} event */
  #ofAgent(event) {
    if (!isOfAgent(event)) return;
    for (const summary of this.#all.values()) if (summary.session.peek().agent === event.agent) summary.agent(event);
    this.#changed.value += 1;
  }

  #trim() {
    for (const summary of this.ranked.value.quiet.slice(SESSIONS_MAX / 2)) this.#all.delete(summary.id);
    this.more.value ??= this.ranked.value.quiet.at(-1)?.session.peek().last_seq ?? null;
    this.#changed.value += 1;
  }
}

/** Whether nothing of it can be half said: it is over, or its last turn is. @param {Wire.Session | null} session */
function isAtRest(session) {
  if (!session) return false;
  return session.state === 'done' || session.state === 'failed' || (session.state === 'idle' && session.turns > 0);
}

/**
 * What of a session is looked at.
 * @typedef {object} Look
 * @property {number} [at] the place that is opened; else the end
 * @property {ReadonlySet<string> | null} [types] the kinds of events; else all
 * @property {boolean} [raw] a row for each event, as it is
 */

/**
 * One session: a window of its events, at its end or around a place. What is far from the window is not kept here.
 *
 * Invariant: a window that is not `detached` reaches the stream, and has all that came since.
 */
export class LiveSession extends Live {
  /** @type {Timeline} */ timeline;
  /** @type {import('@preact/signals-core').Signal<Summary | null>} */ summary = signal(null);
  /** Whether there are events before the window. */ older = signal(false);
  /** Whether there are events between the window and the stream. */ detached = signal(false);
  loading = signal(/** @type {'' | 'older' | 'newer' | 'end'} */ (''));
  /** Whether the reader is at the end; the view says. */ following = true;
  /** Events that came since the reader left the end. */ unseen = signal(0);
  /** The place that is pointed at; 0 for none. */ target = signal(0);
  #epoch = '';
  /** Where the server's search for older events goes on. */ #before = END;
  #types;
  /** What came and is not folded. @type {Wire.Event[]} */ #waiting = [];
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {string} id @param {Look} [look] */
  constructor(id, { at = 0, types = null, raw = false } = {}) {
    super();
    this.id = id;
    this.#types = types;
    this.timeline = new Timeline({ raw });
    this.target.value = at;
    this.following = at === 0;
  }

  /** @override */
  close() {
    super.close();
    this.#unschedule();
  }

  /** @override @protected */
  async load() {
    const at = this.following ? 0 : this.target.peek();
    const pages = at ? [this.#page({ before: at + 1 }), this.#page({ after: at })] : [this.#page({ before: END })];
    const [found, older, newer] = await Promise.all([this.#session(), ...pages]);
    const session = found instanceof ApiError ? null : found;
    const events = newer ? [...older.events, ...newer.events] : older.events;
    const last = events.at(-1)?.seq;
    if (found instanceof ApiError && !last) throw found;
    const detached = newer !== undefined && (newer.next ?? newer.head) < newer.head;
    const deltas = last && !detached && !isAtRest(session) ? await this.#openDeltas(events[0].seq, last) : [];
    const summary = session ? new Summary(session) : Summary.from(this.id, events[0]);
    this.#unschedule();
    batch(() => {
      this.timeline.clear();
      this.timeline.add([...events, ...deltas].sort((a, b) => a.seq - b.seq));
      for (const event of events) summary.apply(event);
      this.summary.value = summary;
      this.#wentBack(older);
      this.detached.value = detached;
      this.unseen.value = 0;
    });
    this.#epoch = older.epoch;
    // What was passed over by its kind is not asked for again, nor what is beyond a window that does not reach the end.
    return this.#from(detached || this.#types ? Math.min(older.head, newer?.head ?? END) : (last ?? 0));
  }

  /** What the server says of it, or why not: one that is so new that its list does not have it yet is known by its events. */
  async #session() {
    try {
      return await api.session(this.id, this.signal);
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.details.part === 'views')) return error;
      throw error;
    }
  }

  /**
   * Deltas of messages that were still open at `last`. Later ones come with the stream: were they taken here, a whole event between
   * them that is not in the page would be passed over as a repeat. Those of messages that are whole are dropped by the fold.
   * @param {number} first
   * @param {number} last
   */
  async #openDeltas(first, last) {
    const types = DELTAS.filter((type) => this.#types?.has(type) ?? true);
    if (types.length === 0) return [];
    const page = await api.history({ session_id: this.id, type: types.join(), before: last, limit: OPEN_DELTAS }, this.signal);
    return page.events.filter((event) => event.seq > first && event.seq < last);
  }

  /** @param {{ before?: number, after?: number }} place */
  async #page(place) {
    const type = this.#types ? [...this.#types].filter((name) => !DELTAS.includes(name)).join() : undefined;
    const page = await api.history({ session_id: this.id, limit: PAGE, deltas: false, type, ...place }, this.signal);
    page.events.sort((a, b) => a.seq - b.seq);
    return page;
  }

  /** @param {number} after */
  #from(after) {
    const path = `${api.sessionPath(this.id)}/events`;
    return { path, after, epoch: this.#epoch, onEvents: this.#onEvents, onGap: this.#onGap };
  }

  /** Folds what came at the next frame: a frame draws once, however much came. @param {Wire.Event[]} events */
  #onEvents = (events) => {
    for (const event of events) this.#waiting.push(event);
    if (this.#timer !== undefined) return;
    this.#frame = requestAnimationFrame(this.#fold);
    this.#timer = setTimeout(this.#fold, FRAME_MS);
  };

  #fold = () => {
    this.#unschedule(false);
    const events = this.#waiting.splice(0, FRAME_EVENTS);
    if (this.#waiting.length > 0) this.#onEvents([]);
    this.#take(events);
  };

  #unschedule(forget = true) {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (forget) this.#waiting = [];
  }

  /** @param {Wire.Event[]} events */
  #take(events) {
    batch(() => {
      for (const event of events) this.summary.value?.apply(event);
      const shown = this.#types ? events.filter(({ type }) => this.#types?.has(type)) : events;
      const rows = this.timeline.items.length;
      if (this.detached.value) this.timeline.addLate(shown);
      else this.timeline.add(shown);
      const more = this.detached.value ? shown.filter((event) => !isDelta(event)).length : this.timeline.items.length - rows;
      if (!this.following) this.unseen.value += more;
      this.#bound();
    });
  }

  get #isFull() {
    return this.timeline.items.length > ROWS_MAX || this.timeline.weight > WEIGHT_MAX;
  }

  /** Keeps the page's size bounded: at the end the oldest go, and away from it the newest. */
  #bound() {
    if (!this.#isFull) return;
    if (this.following) this.#keepNewest();
    else if (this.timeline.items.length > ROWS_MAX + ROWS_CUT || this.timeline.weight > 2 * WEIGHT_MAX) this.#keepOldest(ROWS_MAX, WEIGHT_MAX);
  }

  /** @param {import('./stream.js').Gap} gap */
  #onGap = (gap) => {
    // Its place is behind what came before it.
    this.#take(this.#waiting.splice(0));
    if (gap.reason !== 'deltas_trimmed' && !this.detached.value) this.timeline.addGap(gap);
  };

  /** @param {Wire.HistoryPage} page */
  #wentBack(page) {
    this.older.value = typeof page.prev === 'number';
    this.#before = page.prev ?? 0;
  }

  /** The events before the window. */
  loadOlder() {
    return this.#loading('older', async () => {
      // A page may be empty where the server looked far for nothing: it says where to go on.
      for (let found = 0; found === 0 && this.older.value && !this.signal.aborted; ) {
        const page = await this.#page({ before: this.#before });
        found = page.events.length;
        batch(() => {
          this.#wentBack(page);
          this.timeline.prepend(page.events);
          if (this.#isFull) this.#keepOldest(ROWS_CUT, WEIGHT_CUT);
        });
      }
    });
  }

  /** The events after a window that does not reach the end; joins the stream when it does. */
  loadNewer() {
    return this.#loading('newer', async () => {
      let [after, found] = [this.timeline.last, 0];
      while (found === 0 && this.detached.value && !this.signal.aborted) {
        const page = await this.#page({ after });
        found = page.events.length;
        after = page.next ?? page.head;
        batch(() => {
          this.timeline.add(page.events);
          if (this.#isFull) this.#keepNewest();
          if (after < page.head) return;
          this.detached.value = false;
          this.#unschedule();
          this.follow(this.#from(this.#types ? after : this.timeline.last));
        });
      }
    });
  }

  #keepNewest() {
    this.timeline.keepNewest(ROWS_CUT, WEIGHT_CUT);
    this.older.value = true;
    this.#before = this.timeline.first;
  }

  /** @param {number} rows @param {number} weight */
  #keepOldest(rows, weight) {
    this.timeline.keepOldest(rows, weight);
    this.detached.value = true;
  }

  /** Back to the end. */
  async toEnd() {
    this.unseen.value = 0;
    this.following = true;
    if (this.detached.value) await this.#loading('end', () => this.restart());
  }

  /** To a place: what is in the window is just pointed at. @param {number} at */
  async goTo(at) {
    if (!at) return void (this.target.value = 0);
    this.following = false;
    this.target.value = at;
    if (this.ready.peek() && (at < this.timeline.first || at > this.timeline.last)) await this.#loading('end', () => this.restart());
  }

  /** One such request at a time. @param {'older' | 'newer' | 'end'} what @param {() => Promise<void>} task */
  async #loading(what, task) {
    if (this.loading.value) return;
    this.loading.value = what;
    try {
      await task();
    } catch (error) {
      // The connection's state is told by the stream; what was asked for is asked for again by the next scroll.
      if (!(error instanceof ApiError) && !this.signal.aborted) throw error;
    } finally {
      this.loading.value = '';
    }
  }
}
