// A subscription that resumes: its whole state is a cursor. Nothing is shown twice, and what cannot be shown is told.

import { signal } from '@preact/signals-core';
import { ApiError, errorOf, proven, unreachable, url } from './api.js';
import { SseParser } from './sse.js';
import { str } from './loose.js';

/**
 * @typedef {{ kind: 'connecting' }
 *   | { kind: 'catching up', behind: number }
 *   | { kind: 'live' }
 *   | { kind: 'reconnecting', at: number, why: string }
 *   | { kind: 'paused' }
 *   | { kind: 'replay' }
 *   | { kind: 'signed out', why: string }
 *   | { kind: 'failed', why: string }} Status `at` is when it is tried again, in milliseconds since 1970; `behind` how many places of the log are still to come; `replay` has no stream.
 */

/**
 * A range of the log that is not shown, and why. `unreadable` is ours: an event larger than the page takes, or not JSON.
 * @typedef {{ after: number, next: number, reason: Wire.Gap['reason'] | 'unreadable' }} Gap
 */

/**
 * @typedef {object} Options
 * @property {string} path
 * @property {Record<string, string | number | boolean | undefined>} [query]
 * @property {number} after the cursor: everything up to here is known
 * @property {string} [epoch] of the log that the cursor is of; else what the first hello says
 * @property {(events: Wire.Event[]) => void} onEvents those that came together, in order, each once
 * @property {(gap: Gap) => void} onGap
 * @property {() => void} onReset the log is another one: what was read before is void; the subscription has ended
 * @property {Env} [env]
 */

/** What a test replaces. @typedef {{ fetch: typeof fetch, now: () => number, random: () => number }} Env */

/** @type {Env} */
const BROWSER = { fetch: (...args) => fetch(...args), now: () => Date.now(), random: () => Math.random() };

/** The first wait, until the stream's `retry:` says another. */
const RETRY_MS = 1000;
/** The longest wait between two tries. */
const RETRY_MAX_MS = 30_000;
/** A stream that is silent for this long is dead: the server sends a heartbeat every 15 s, and one may be late. */
const SILENCE_MS = 40_000;
/** A replay comes without pauses: a stream that is quiet for this long after its hello has nothing more to catch up with. */
const QUIET_MS = 300;

/** Why the server ended the stream, for people. @type {Record<string, string>} */
const GOODBYES = {
  shutdown: 'the server is stopping',
  slow_reader: 'this page read too slowly',
  store_unavailable: 'the server cannot read its log',
  token_expired: 'the sign-in has expired',
  token_revoked: 'the sign-in was revoked',
};

/** How one connection ended. @typedef {{ status: Status } | { wait: number, why: string }} End */

export class Subscription {
  #options;
  #env;
  #after;
  #epoch;
  #attempts = 0;
  #retryMs = RETRY_MS;
  #running = false;
  #ended = false;
  /** Ends the connection or the wait that is under way. @type {AbortController} */ #current = new AbortController();
  /** Head at the last hello. */ #goal = 0;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#env = options.env ?? BROWSER;
    this.#after = options.after;
    this.#epoch = options.epoch ?? '';
    /** @type {import('@preact/signals-core').Signal<Status>} */
    this.status = signal({ kind: 'connecting' });
  }

  /** The newest place up to which everything was given out or told. */
  get cursor() {
    return this.#after;
  }

  /** Connects, or goes on after `pause`, or tries again now. */
  start() {
    if (this.#ended) return;
    if (this.#running) {
      if (this.status.value.kind === 'reconnecting') this.#current.abort('retry');
      return;
    }
    this.#running = true;
    this.#attempts = 0;
    this.#run();
  }

  /** Lets the connection go; `start` resumes from the cursor. */
  pause() {
    if (!this.#running || this.#ended) return;
    this.#running = false;
    this.#current.abort('pause');
    this.status.value = { kind: 'paused' };
  }

  /** Ends it for good. */
  stop() {
    this.#ended = true;
    this.#running = false;
    this.#current.abort('stop');
  }

  async #run() {
    const mine = () => this.#running && this.#current === current;
    let current = this.#current;
    while (this.#running) {
      current = this.#current = new AbortController();
      if (this.status.value.kind !== 'reconnecting') this.status.value = { kind: 'connecting' };
      const end = await this.#connect(current).catch((cause) => this.#broken(cause));
      // Between two awaits another run may have taken over (pause, then start).
      if (!mine()) return;
      if ('status' in end) {
        this.#running = false;
        this.#ended = true;
        this.status.value = end.status;
        return;
      }
      this.#attempts += 1;
      this.status.value = { kind: 'reconnecting', at: this.#env.now() + end.wait, why: end.why };
      current = this.#current = new AbortController();
      await sleep(end.wait, current.signal);
      if (!mine()) return;
    }
  }

  /** @param {AbortController} current @returns {Promise<End>} */
  async #connect(current) {
    const { path, query } = this.#options;
    let timer = this.#watch(current);
    try {
      const address = url(path, { ...query, after: this.#after, epoch: this.#epoch || undefined });
      const init = { signal: current.signal, headers: { accept: 'text/event-stream' } };
      const response = await this.#env.fetch(address, proven({ cache: 'no-store', ...init }));
      if (!response.ok) return this.#refused(await errorOf(response));
      const media = response.headers.get('content-type') ?? '';
      if (!media.startsWith('text/event-stream') || !response.body) return this.#later('the answer is not a stream of events');
      const alive = () => {
        clearTimeout(timer);
        timer = this.#watch(current);
      };
      return await this.#read(response.body, current, alive);
    } finally {
      clearTimeout(timer);
      current.abort('done');
    }
  }

  /** @param {AbortController} current */
  #watch(current) {
    return setTimeout(() => current.abort('silent'), SILENCE_MS);
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortController} current
   * @param {() => void} alive
   * @returns {Promise<End>}
   */
  async #read(body, current, alive) {
    /** @type {End | null} */
    let end = null;
    /** @type {Wire.Event[]} */
    let events = [];
    const flush = () => {
      const batch = events;
      events = [];
      if (batch.length === 0) return;
      try {
        this.#options.onEvents(batch);
      } catch (error) {
        // A fault of the page is not one of the connection: it is reported as itself.
        queueMicrotask(() => {
          throw error;
        });
      }
    };
    const parser = new SseParser(
      (frame) => {
        if (end) return;
        if (frame.type === 'message') this.#event(frame, events, flush);
        else {
          flush();
          end = this.#control(frame);
        }
      },
      (ms) => (this.#retryMs = Math.min(ms, RETRY_MAX_MS)),
      undefined,
      (id) => end || this.#place(id),
    );
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    const reader = body.getReader();
    let quiet;
    for (;;) {
      const { done, value } = await reader.read();
      clearTimeout(quiet);
      if (current.signal.aborted) throw current.signal.reason;
      if (done) return end ?? this.#later('the connection was closed');
      alive();
      parser.push(decoder.decode(value, { stream: true }));
      flush();
      if (end) return end;
      if (this.status.value.kind === 'catching up') {
        if (this.#after >= this.#goal) this.#live();
        else this.#behind();
        if (this.status.value.kind === 'catching up') quiet = setTimeout(() => current.signal.aborted || this.#live(), QUIET_MS);
      }
    }
  }

  #behind() {
    this.status.value = { kind: 'catching up', behind: Math.max(0, this.#goal - this.#after) };
  }

  #live() {
    this.status.value = { kind: 'live' };
  }

  /**
   * @param {import('./sse.js').Frame} frame
   * @param {Wire.Event[]} events
   * @param {() => void} flush
   */
  #event(frame, events, flush) {
    const event = frame.oversize ? null : parse(frame.data);
    const seq = event?.seq ?? Number(frame.id);
    if (!Number.isSafeInteger(seq) || seq <= this.#after) return;
    if (event) events.push(event);
    else {
      flush();
      this.#options.onGap({ after: seq - 1, next: seq + 1, reason: 'unreadable' });
    }
    this.#after = seq;
  }

  /** Everything that is selected up to here has been sent. @param {string} id */
  #place(id) {
    const seq = Number(id);
    if (Number.isSafeInteger(seq) && seq > this.#after) this.#after = seq;
  }

  /** @param {import('./sse.js').Frame} frame @returns {End | null} */
  #control(frame) {
    const body = parse(frame.data);
    if (frame.type === 'hello') return this.#hello(body);
    if (frame.type === 'gap') return this.#gap(body);
    if (frame.type === 'bye') return this.#bye(body);
    return null;
  }

  /** @param {Wire.Hello} hello @returns {End | null} */
  #hello(hello) {
    this.#attempts = 0;
    if (this.#epoch && hello?.epoch !== this.#epoch) return this.#reset();
    this.#epoch = str(hello?.epoch);
    this.#goal = Number(hello?.head) || 0;
    this.#behind();
    return null;
  }

  /** @param {Wire.Gap} gap @returns {End | null} */
  #gap(gap) {
    if (gap?.reason === 'other_epoch' || gap?.reason === 'beyond_head') return this.#reset();
    this.#options.onGap(gap);
    // With just the deltas gone, the rest of the range still comes.
    if (gap?.reason !== 'deltas_trimmed' && gap?.next - 1 > this.#after) this.#after = gap.next - 1;
    return null;
  }

  /** @param {Wire.Bye} bye @returns {End} */
  #bye(bye) {
    const why = GOODBYES[bye?.reason] ?? `the server ended the stream: ${bye?.reason}`;
    if (bye?.reason === 'token_expired' || bye?.reason === 'token_revoked') return { status: { kind: 'signed out', why } };
    if (typeof bye?.retry_ms !== 'number') return { status: { kind: 'failed', why } };
    // Never sooner than asked; a little later, so that a thousand pages do not come back in the same moment.
    return { wait: bye.retry_ms * (1 + 0.2 * this.#env.random()), why };
  }

  /** @returns {End} */
  #reset() {
    this.#options.onReset();
    return { status: { kind: 'connecting' } };
  }

  /** @param {ApiError} error @returns {End} */
  #refused(error) {
    if (error.signedOut) return { status: { kind: 'signed out', why: error.message } };
    if (!error.retry) return { status: { kind: 'failed', why: error.message } };
    return this.#later(error.message, error.retryAfter);
  }

  /** @param {unknown} cause @returns {End} */
  #broken(cause) {
    return this.#later(cause === 'silent' ? 'the server has gone silent' : unreachable(cause).message);
  }

  /** Exponential, from half to the whole of each step by chance. @param {string} why @param {number} [floor] @returns {End} */
  #later(why, floor = 0) {
    const step = Math.min(this.#retryMs * 2 ** this.#attempts, RETRY_MAX_MS);
    return { wait: Math.max(floor, step * (0.5 + 0.5 * this.#env.random())), why };
  }
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Ends early, and well, when the signal is aborted. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function sleep(ms, signal) {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
  });
}
