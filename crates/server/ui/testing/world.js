// A server with recorded runs in it, read by the adapters that read them in earnest: four that are over, and one that waits for a
// person and goes on when it is told to. Beside them an agent that listens, and an evaluation.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Agent } from './agent.js';
import { PATIENCE_MS } from './browser.js';
import { producer } from './events.js';
import { BIN, Server } from './server.js';

/** What vendors wrote, as the adapters' own tests have it. */
const FIXTURES = fileURLToPath(new URL('../../../adapters/fixtures/', import.meta.url));

/** What is over: adapter, recording, session, agent. */
const OVER = [
  ['claude', 'basic-tools', 'tools', 'builder'],
  ['gemini', 'edit-and-todos', 'edits', 'writer'],
  ['opencode-server', 'approvals', 'asked', 'opener'],
  ['codex-app', 'failed', 'broken', 'breaker'],
];
/** Lines of the recording that waits, up to what it waits for. */
const UNTIL_ASKED = 4;
/** What it has written in the log when it has come to its end. */
const LAST = 'session_end';

/** A vendor's output that is written line by line, to a publisher that runs as long. */
class Recording {
  #lines;
  #child;

  /** @param {Server} server @param {string} adapter @param {string} name @param {string} session @param {string} agent */
  constructor(server, adapter, name, session, agent) {
    this.#lines = readFileSync(`${FIXTURES}${adapter}/${name}.jsonl`, 'utf8').split('\n').filter(Boolean);
    const args = ['publish', '--wait', '--data-dir', server.dir, '--adapter', adapter, '--session', session, '--agent', agent];
    this.#child = spawn(BIN, args, { stdio: ['pipe', 'ignore', 'inherit'] });
    this.over = once(this.#child, 'exit');
  }

  /** Writes so many lines, or all that are left. @param {number} [count] */
  play(count = this.#lines.length) {
    if (this.#lines.length === 0) return;
    this.#child.stdin?.write(this.#lines.splice(0, count).map((line) => `${line}\n`).join(''));
    if (this.#lines.length === 0) this.#child.stdin?.end();
  }

  stop() {
    this.#child.kill('SIGKILL');
  }
}

export class World {
  /** The session that waits, one that is over, an evaluation, and words that were said. */
  session = 'waiting';
  played = 'tools';
  run = 'eval';
  words = 'folder';
  agent;
  #waiting;

  /** @param {Server} server */
  constructor(server) {
    this.server = server;
    this.agent = new Agent(server, 'helper');
    this.#waiting = new Recording(server, 'claude', 'control-permission', 'waiting', 'builder');
  }

  static async begin() {
    const world = new World(await Server.start());
    try {
      await world.#fill();
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  async #fill() {
    const over = OVER.map(([adapter, name, session, agent]) => new Recording(this.server, adapter, name, session, agent));
    for (const recording of over) recording.play();
    this.#waiting.play(UNTIL_ASKED);
    await this.agent.report({ state: 'idle', sessions: [{ id: 'tools', state: 'done' }] });
    await this.server.publish(...evaluation.begin());
    await this.server.post('/api/tokens', { name: 'ci robot', scopes: ['publish'] });
    await Promise.all(over.map((recording) => recording.over));
    await this.#logged('approval_request');
  }

  /** What waits is answered, and is played to its end: a call that was made, one that was refused, and a last word. */
  play() {
    this.#waiting.play();
  }

  /** The same, until all of it is in the log. */
  async goOn() {
    this.play();
    await this.#logged(LAST);
  }

  /** Until the waiting run's log has a kind. @param {string} type */
  async #logged(type) {
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; ) {
      const { events } = await this.server.ask(`/api/events/history?session_id=waiting&after=0&limit=1&type=${type}`);
      if (events.length > 0) return;
    }
    throw new Error(`there is no ${type} in the log of what waits`);
  }

  async end() {
    this.#waiting.stop();
    await this.server.stop();
  }
}

const p = producer('eval', 'evaluator');

/** A run of an evaluation, as a harness tells of it. */
export const evaluation = {
  begin: () => [
    p.start('model-x'),
    p.turn('Nightly evaluation'),
    p.event('task_start', { task: 'parse-01', number: 1, total: 3 }),
    // What recordings say of their calls is as old as they are: these are of today, wherever the clock stands.
    p.toolStart('e-1', 'Bash', { command: 'make check' }),
    p.toolEnd('e-1', 'Bash', 'all 12 pass'),
    p.event('grader_result', { grader: 'unit', grader_type: 'code', passed: true, score: 1, message: 'all 12 pass' }),
    p.event('task_complete', { task: 'parse-01', outcome: 'passed', score: 1, duration_ms: 64_000 }),
    p.event('task_start', { task: 'parse-02', number: 2, total: 3 }),
  ],
  goOn: () => [
    p.event('grader_result', { grader: 'unit', grader_type: 'code', passed: false, score: 0.25, message: '9 of 12 fail' }),
    p.event('task_complete', { task: 'parse-02', outcome: 'failed', score: 0.25, duration_ms: 3000 }),
    p.event('task_start', { task: 'parse-03', number: 3, total: 3 }),
  ],
};
