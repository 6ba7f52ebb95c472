// What a view asks the server for again and again, because no event tells it whole: sums, lists of tokens.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.js';

/** How long to wait after a request that failed and may be tried again. */
const AGAIN_MS = 5000;

/** How many times as long as an answer took is waited before the next request: what is heavy is asked for less often. */
const REST = 5;

/**
 * @template T
 * @typedef {{ value: T | null, error: ApiError | null, again: () => void }} Loaded
 */

/**
 * Loads at once, and again when `key` changes (what was loaded stays until then), when `beat` does, and each `poll` milliseconds: never
 * more often than `least`, less often where answers take long, and not while nobody looks.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {string} key
 * @param {{ least: number, beat?: import('@preact/signals-core').Signal<unknown>, poll?: number }} how
 * @returns {Loaded<T>}
 */
export function useLoaded(load, key, { least, beat, poll }) {
  const [state, setState] = useState(/** @type {{ value: T | null, error: ApiError | null }} */ ({ value: null, error: null }));
  const now = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let [busy, wanted, next] = [false, false, 0];
    const run = async () => {
      const began = Date.now();
      [busy, wanted] = [true, false];
      try {
        const value = await load(stop.signal);
        if (!stop.signal.aborted) setState({ value, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        setState((before) => ({ value: before.value, error }));
        if (error.retry) timer = setTimeout(ask, AGAIN_MS);
      } finally {
        busy = false;
        next = began + Math.max(least, REST * (Date.now() - began));
      }
      if (wanted) ask();
    };
    const ask = () => {
      if (stop.signal.aborted) return;
      wanted = true;
      if (busy || document.hidden) return;
      clearTimeout(timer);
      timer = setTimeout(run, Math.max(0, next - Date.now()));
    };
    const onVisible = () => wanted && ask();
    now.current = () => {
      next = 0;
      ask();
    };
    ask();
    const unwatch = beat?.subscribe(ask);
    const polling = poll ? setInterval(ask, poll) : undefined;
    document.addEventListener('visibilitychange', onVisible);
    return () => {
      stop.abort();
      clearTimeout(timer);
      clearInterval(polling);
      unwatch?.();
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [key]);
  return { ...state, again: () => now.current() };
}
