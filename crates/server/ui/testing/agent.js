// An agent, played by a test: what it reports, waits for and says, over the downlink's API.

/** What a whole agent can be told. */
const ALL = ['message', 'cancel', 'interrupt', 'hold', 'release', 'compact', 'set_model', 'new_session'];

export class Agent {
  #server;
  #cursor = 0;

  /** @param {import('./server.js').Server} server @param {string} name */
  constructor(server, name) {
    this.#server = server;
    this.name = name;
  }

  get #who() {
    return `agent=${encodeURIComponent(this.name)}`;
  }

  /** @param {object} [report] */
  report(report = {}) {
    const whole = { capabilities: ALL, state: 'idle', model: 'model-x', version: '1.0', login: 'ok', ...report };
    return this.#server.post(`/api/agent/sync?${this.#who}`, whole);
  }

  /** The next order, which is with it then. @returns {Promise<Wire.Command>} */
  async next() {
    for (;;) {
      const { cursor, commands } = await this.#server.ask(`/api/agent/wake?${this.#who}&after=${this.#cursor}&wait_ms=10000`);
      if (commands.length > 0) {
        this.#cursor = commands[0].seq;
        return commands[0];
      }
      this.#cursor = cursor;
    }
  }

  /** @param {string} id @param {'acked' | 'done' | 'failed'} state @param {object} [more] @returns {Promise<Wire.Command>} */
  say(id, state, more = {}) {
    return this.#server.post(`/api/agent/commands/${id}?${this.#who}`, { state, ...more });
  }
}
