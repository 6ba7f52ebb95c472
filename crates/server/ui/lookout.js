// Among the tabs of one browser, one goes on looking while all are hidden, and tells the others how many things wait: a stream for
// each would take up the few connections that a browser makes to one server.

const NAME = 'turnwire-inbox';

export class Lookout {
  /** Whether it is this tab. */ isMine = false;
  #stop = new AbortController();
  /** @type {BroadcastChannel | null} */ #channel = null;

  /** @param {(count: number) => void} onCount */
  start(onCount) {
    this.#channel = new BroadcastChannel(NAME);
    this.#channel.onmessage = ({ data }) => {
      if (typeof data === 'number') onCount(data);
    };
    // Not there on a page that came by plain http from afar: then nobody is, and a hidden tab says what it last knew.
    navigator.locks?.request(NAME, { signal: this.#stop.signal }, () => this.#hold()).catch(() => {});
  }

  /** Until this tab ends, or is signed out. @returns {Promise<void>} */
  #hold() {
    this.isMine = true;
    return new Promise((done) => this.#stop.signal.addEventListener('abort', () => done()));
  }

  /** @param {number} count */
  tell(count) {
    if (this.isMine) this.#channel?.postMessage(count);
  }

  stop() {
    this.isMine = false;
    this.#stop.abort();
    this.#channel?.close();
  }
}
