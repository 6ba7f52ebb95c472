// Among the tabs of one browser, one follows the log for all of them: a stream for each would take up the few connections that a
// browser makes to one server. Who that is, a lock decides that the browser keeps; when its tab is closed the next one has it.

const NAME = 'turnwire-inbox';

/**
 * What tabs say to each other: events as they came; how the connection is; to read everything anew; who is there; to try again now.
 * @typedef {{ events: Wire.Event[] } | { status: import('./stream.js').Status } | { again: true } | { hello: true } | { now: true }} Told
 */

export class Lookout {
  /** Whether it is this tab. */ isMine = false;
  #stop = new AbortController();
  /** @type {BroadcastChannel | null} */ #channel = null;

  /**
   * Ends when it is known who it is. Later it may become this one: `onMine`.
   * @param {() => void} onMine
   * @param {(told: Told) => void} onTold
   * @returns {Promise<void>}
   */
  join(onMine, onTold) {
    // Not there on a page that came by plain http from afar: then each tab is on its own.
    if (!navigator.locks) {
      this.isMine = true;
      return Promise.resolve();
    }
    this.#channel = new BroadcastChannel(NAME);
    this.#channel.onmessage = ({ data }) => onTold(data);
    return new Promise((known) => {
      navigator.locks.request(NAME, { ifAvailable: true }, (lock) => {
        known();
        if (lock) return this.#hold();
        const later = () => {
          const held = this.#hold();
          onMine();
          return held;
        };
        navigator.locks.request(NAME, { signal: this.#stop.signal }, later).catch(() => {});
      });
    });
  }

  /** Until this tab ends, or is signed out. @returns {Promise<void>} */
  #hold() {
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    this.isMine = true;
    return new Promise((done) => signal.addEventListener('abort', () => done()));
  }

  /** @param {Told} told */
  tell(told) {
    this.#channel?.postMessage(told);
  }

  stop() {
    this.isMine = false;
    this.#stop.abort();
    this.#channel?.close();
    this.#channel = null;
  }
}
