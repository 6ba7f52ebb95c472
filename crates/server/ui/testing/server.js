// A real `turnwire serve` as a child process: TURNWIRE_BIN, else the debug build.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const DEBUG_BUILD = fileURLToPath(new URL('../../../../target/debug/turnwire', import.meta.url));
export const BIN = process.env.TURNWIRE_BIN ?? DEBUG_BUILD;

export class Server {
  dir = mkdtempSync(join(tmpdir(), 'turnwire-page-'));
  url = '';
  /** @type {import('node:child_process').ChildProcess | undefined} */ child;

  /** @type {string[]} */ #more = [];

  /** @param {string[]} more what it is started with beside what all are */
  static async start(...more) {
    if (!existsSync(BIN)) throw new Error(`there is no ${BIN}: build it (cargo build -p turnwire), or set TURNWIRE_BIN`);
    const server = new Server();
    server.#more = more;
    await server.up();
    return server;
  }

  /** Starts it, on the port that it had before. */
  async up() {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const child = spawn(BIN, ['serve', '--data-dir', this.dir, '--listen', listen, '--json', ...this.#more], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      if (!line.startsWith('{')) continue;
      this.url = JSON.parse(line).url.replace(/\/$/, '');
      child.stdout.resume();
      return;
    }
    throw new Error('the server ended before it was ready');
  }

  /** Ends it without a goodbye. */
  async kill() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  async stop() {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }

  get #token() {
    return readFileSync(join(this.dir, 'local.token'), 'utf8').trim();
  }

  /** A request by the server's own token, which may do everything. @param {string} path @param {RequestInit} [init] @returns {Promise<any>} */
  async ask(path, init = {}) {
    const headers = { authorization: `Bearer ${this.#token}`, ...init.headers };
    const response = await fetch(this.url + path, { ...init, headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Makes a one-time link as `turnwire pair` does. @returns {Promise<string>} */
  async pairingLink() {
    const child = spawn(BIN, ['pair', '--data-dir', this.dir, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    return JSON.parse(text).url;
  }

  /** @param {string} path @param {unknown} body */
  post(path, body) {
    return this.ask(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  }

  /** A one-time link for somebody who may do just this. @param {string} name @param {string[]} scopes @returns {Promise<string>} */
  async linkFor(name, ...scopes) {
    return (await this.post('/api/pairing-codes', { name, scopes })).url;
  }

  /** @param {object[]} events @returns {Promise<{ first_seq: number, last_seq: number }>} */
  async publish(...events) {
    const body = events.map((event) => JSON.stringify(event)).join('\n');
    return this.ask('/api/events', { method: 'POST', body, headers: { 'content-type': 'application/x-ndjson' } });
  }

  /** Until lists and sums have all that was written. Each request waits for them, up to 5 s. */
  async folded() {
    const { head } = await this.ask('/api/events/history?limit=1');
    while ((await this.ask('/api/sessions?limit=1')).head < head);
  }

  /** The whole log of a session, without deltas. @param {string} session @returns {Promise<Wire.Event[]>} */
  async log(session) {
    /** @type {Wire.Event[]} */
    const all = [];
    for (;;) {
      const after = all.at(-1)?.seq ?? 0;
      const page = await this.ask(`/api/events/history?session_id=${encodeURIComponent(session)}&after=${after}&limit=1000&deltas=false`);
      if (page.events.length === 0) return all;
      all.push(...page.events);
    }
  }
}

/** How long one file of tests may take: ten times what it takes on a busy machine. */
const WATCHDOG_MS = 300_000;

// A file that hangs fails, and says what it hangs on, instead of holding up all the others.
setTimeout(() => {
  console.error(`still at work after ${WATCHDOG_MS / 1000} s:`, process.getActiveResourcesInfo());
  process.exit(1);
}, WATCHDOG_MS).unref();
