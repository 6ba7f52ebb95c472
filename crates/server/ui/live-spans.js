// The turns and tool calls of one session, live: the newest first, then those before them page by page, and the stream after them.

import { batch, signal } from '@preact/signals-core';
import * as api from './api.js';
import { ApiError } from './api.js';
import { Live } from './live.js';
import { Spans } from './spans.js';
import { sleep } from './stream.js';
import { isErased, Summary } from './summary.js';

/** Rows asked for at once. */
const PAGE = 1000;
/** Spans kept in the page: what is before them is told to be missing. */
const SPANS_MAX = 50_000;
/** What tells of spans, and of what the facts count. Pieces of messages are for the conversation. */
const QUERY = { deltas: false };
/** The longest wait between two tries to read on. */
const RETRY_MAX_MS = 15_000;

export class LiveSpans extends Live {
  spans = new Spans();
  /** Counts changes of the spans. */ changed = signal(0);
  /** @type {import('@preact/signals-core').Signal<Summary | null>} */ summary = signal(null);
  /** Whether older ones are being read. */ older = signal(false);
  /** Whether there are older ones than are kept here. */ cut = signal(false);
  #round = 0;

  /** @param {string} id */
  constructor(id) {
    super();
    this.id = id;
  }

  /** @override @protected */
  async load() {
    const round = (this.#round += 1);
    const [session, turns, calls] = await Promise.all([
      api.session(this.id, this.signal),
      api.turns(this.id, { limit: PAGE }, this.signal),
      api.toolCalls(this.id, { limit: PAGE }, this.signal),
    ]).catch(async (error) => {
      throw await this.#late(error);
    });
    batch(() => {
      this.spans.clear();
      this.spans.takeTurns(turns.turns);
      this.spans.takeCalls(calls.tool_calls);
      this.summary.value = new Summary(session);
      this.changed.value += 1;
    });
    this.#readOlder(round, turns.next ?? null, calls.next ?? null);
    const path = `${api.sessionPath(this.id)}/events`;
    // The snapshots are of different places: what the later ones have already changes nothing.
    const after = Math.min(turns.head, calls.head, session.last_seq);
    return { path, query: QUERY, after, onEvents: this.#onEvents, onGap: this.#onGap };
  }

  /** What its log has and its lists have not is waited for: it comes. @param {unknown} error */
  async #late(error) {
    if (!(error instanceof ApiError) || error.status !== 404) return error;
    const { events } = await api.history({ session_id: this.id, limit: 1 }, this.signal);
    if (events.every(isErased)) return error;
    return new ApiError(404, { code: 'not_found', message: 'the server is still reading it', retry: true, details: {} });
  }

  /** @param {Wire.Event[]} events */
  #onEvents = (events) =>
    batch(() => {
      let isChanged = false;
      for (const event of events) {
        this.summary.value?.apply(event);
        isChanged = this.spans.apply(event) || isChanged;
      }
      if (isChanged) this.changed.value += 1;
    });

  /** What ended in what is gone is known to the server's lists. */
  #onGap = () => void this.restart();

  /** @param {number} round @param {number | null} turns @param {number | null} calls */
  async #readOlder(round, turns, calls) {
    const isMine = () => round === this.#round && !this.signal.aborted;
    this.older.value = turns !== null || calls !== null;
    for (let attempt = 0; isMine() && (turns !== null || calls !== null); ) {
      try {
        const [a, b] = await Promise.all([
          turns === null ? null : api.turns(this.id, { limit: PAGE, before: turns }, this.signal),
          calls === null ? null : api.toolCalls(this.id, { limit: PAGE, before: calls }, this.signal),
        ]);
        if (!isMine()) return;
        this.spans.takeTurns(a?.turns ?? []);
        this.spans.takeCalls(b?.tool_calls ?? []);
        this.changed.value += 1;
        [turns, calls, attempt] = [a?.next ?? null, b?.next ?? null, 0];
        if (this.spans.size >= SPANS_MAX) break;
      } catch (error) {
        if (this.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (!error.retry) break;
        attempt += 1;
        await sleep(Math.max(error.retryAfter ?? 0, Math.min(1000 * 2 ** attempt, RETRY_MAX_MS)), this.signal);
      }
    }
    if (!isMine()) return;
    batch(() => {
      this.older.value = false;
      this.cut.value = turns !== null || calls !== null;
    });
  }
}
