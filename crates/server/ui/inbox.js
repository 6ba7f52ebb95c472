// What waits for a person, over all sessions: approvals, sessions that need one, and the agents that all of it is about.
//
// There is one for the whole page. It follows the kinds that change it, in one tab for all of a browser.

import { batch, computed, signal } from '@preact/signals-core';
import * as api from './api.js';
import { ApiError } from './api.js';
import { approvalOf, asked, decided, isPending } from './approval.js';
import { str } from './loose.js';
import { isOpen, moved, ordered, orderOf } from './order.js';
import { mayControl } from './rights.js';
import { Shared } from './shared.js';
import { sleep } from './stream.js';
import { isErased, isOfAgent, Summary } from './summary.js';
import { waiting } from './title.js';

/** What changes it. */
const KINDS = [
  ...['approval_request', 'approval_decision', 'command', 'command_state', 'agent_online', 'agent_offline', 'agent_state'],
  ...['session_start', 'session_end', 'turn_start', 'turn_end', 'turn_state_changed', 'tool_call_start', 'message', 'error', 'run_complete', 'status_changed', 'history_trimmed'],
  ...['session_renamed', 'task_start', 'task_complete', 'grader_result'],
];
/** What of it changes runs, and what is used. */
const RUNS = /^(task_|grader_|run_|turn_end|session_|history_trimmed)/;
const SPENT = /^(turn_end|error|history_trimmed)/;
/** Sessions asked for, and approvals: the newest. */
const LIMIT = 500;
/** Sessions kept: more than are asked for, since quiet ones are forgotten first. */
const SESSIONS_MAX = 2000;
/** Orders that are at their end, kept to be shown. */
const ORDERS_MAX = 50;
/** Decided approvals that are remembered. */
const OVER_MAX = 1000;
/** The shortest time between two looks at the agents: what changes at once is asked for once. */
const AGENTS_MS = 250;
/** How old what went wrong may be: beyond that it is history, and in the list of sessions. */
const TROUBLE_MS = 24 * 3_600_000;

/** States of a session that say that it waits for a person. */
const NEEDS = new Set(['needs_answer', 'needs_approval']);
/** States that somebody should look at. */
const TROUBLE = new Set(['failed', 'stalled', 'rate_limited']);

/** @typedef {import('./approval.js').Approval} Approval */
/** @typedef {import('./order.js').Order} Order */

export class Inbox extends Shared {
  /** @type {import('@preact/signals-core').Signal<Wire.Me | null>} */ me = signal(null);
  /** By name. @type {import('@preact/signals-core').Signal<Map<string, Wire.Agent>>} */ agents = signal(new Map());
  /** Approvals that are pending. @type {import('@preact/signals-core').Signal<Map<string, Approval>>} */ pending = signal(new Map());
  /** Whether there are more of them than are here. */ more = signal(false);
  /** Orders to agents, of no session, oldest first. @type {import('@preact/signals-core').Signal<Map<string, Order>>} */ orders = signal(new Map());
  /** @type {Map<string, Summary>} */ #sessions = new Map();
  /** Counts changes of the sessions that are looked after. */ #changed = signal(0);
  /** @type {(() => void)[]} */ #unwatch = [];
  /** Approvals that were decided while this page looked: one that is asked again is not pending again. @type {Set<string>} */ #over = new Set();
  /** An approval that the reader has answered too late: somebody's answer was first. @type {import('@preact/signals-core').Signal<Approval | null>} */ late = signal(null);
  /** Counts what comes, and of it what changes runs, and what is used: who asks the server for these asks anew. */ beat = signal(0);
  ran = signal(0);
  spent = signal(0);
  #looking = false;
  #lookAgain = false;

  /** Approvals, the longest waiting first: what comes does not move what is there. */
  approvals = computed(() => [...this.pending.value.values()].sort((a, b) => a.seq - b.seq));
  /** Sessions that wait for a person by other means than a known approval. */
  needs = computed(() => {
    const known = new Set([...this.pending.value.values()].map((approval) => approval.session));
    return this.#among(NEEDS, (s) => !known.has(s.id));
  });
  /** Sessions that somebody should look at. */
  trouble = computed(() => this.#among(TROUBLE, (s) => Date.parse(s.last_activity) > Date.now() - TROUBLE_MS));
  /** How many things wait for an answer. */
  count = computed(() => this.pending.value.size + this.needs.value.length);

  /** @param {Set<string>} states @param {(session: Wire.Session) => boolean} chosen */
  #among(states, chosen) {
    this.#changed.value;
    const found = [...this.#sessions.values()].filter(({ session }) => states.has(session.peek().state) && chosen(session.peek()));
    return found.sort((a, b) => b.session.peek().last_seq - a.session.peek().last_seq);
  }

  /** @override */
  open() {
    super.open();
    this.#unwatch = [
      this.count.subscribe((count) => (waiting.value = count)),
      // What could not be asked for while the server was away.
      this.status.subscribe(({ kind }) => kind === 'live' && this.#lookAtAgents()),
    ];
  }

  /** @override */
  close() {
    super.close();
    for (const unwatch of this.#unwatch) unwatch();
    waiting.value = 0;
  }

  /** @override @protected */
  async load() {
    await this.begin();
    const [state, me, { agents }] = await Promise.all([api.state(LIMIT, this.signal), api.me(this.signal), api.agents(this.signal)]);
    const orders = mayControl(me, '') ? (await api.commands({ state: 'queued,delivered,acked', limit: LIMIT }, this.signal)).commands : [];
    batch(() => {
      this.me.value = me;
      this.agents.value = byName(agents);
      this.#sessions = new Map(state.sessions.map((session) => [session.id, new Summary(session)]));
      this.pending.value = new Map((state.approvals ?? []).map(approvalOf).filter(isPending).map((approval) => [approval.id, approval]));
      this.more.value = state.more.approvals === true;
      const own = orders.filter((command) => !command.session_id && command.seq <= state.seq).reverse();
      this.orders.value = new Map(own.map((command) => [command.id, orderOf(command)]));
      this.#changed.value += 1;
      // What came before this was not counted.
      for (const counter of [this.beat, this.ran, this.spent]) counter.value += 1;
    });
    const query = { deltas: false, type: KINDS.join(',') };
    return { path: '/api/events', query, after: state.seq, epoch: state.epoch, onEvents: this.onEvents, onGap: () => void this.restart() };
  }

  /** @override @protected @param {Wire.Event} event */
  apply(event) {
    this.#count(event.type);
    if (event.type === 'approval_request') this.#ask(asked(event));
    else if (event.type === 'approval_decision') this.#decide(event);
    else if (event.type === 'command' || event.type === 'command_state') this.#order(event);
    if (/^(agent|command)/.test(event.type)) this.#lookAtAgents();
    if (event.session_id && isErased(event)) this.#erase(event.session_id);
    else if (event.session_id) this.#look(event.session_id, event);
    else if (isOfAgent(event)) this.#ofAgent(event);
  }

  /** @param {string} type */
  #count(type) {
    this.beat.value += 1;
    if (RUNS.test(type)) this.ran.value += 1;
    if (SPENT.test(type)) this.spent.value += 1;
  }

  /** @param {string} id */
  #erase(id) {
    this.#sessions.delete(id);
    this.pending.value = new Map([...this.pending.value].filter(([, approval]) => approval.session !== id));
    this.#changed.value += 1;
  }

  /** @param {Wire.Event} event */
  #ofAgent(event) {
    for (const summary of this.#sessions.values()) if (summary.session.peek().agent === event.agent) summary.agent(event);
    this.#changed.value += 1;
  }

  /** @param {string} id @param {Wire.Event} event */
  #look(id, event) {
    let summary = this.#sessions.get(id);
    if (!summary) {
      if (this.#sessions.size >= SESSIONS_MAX) this.#trim();
      this.#sessions.set(id, (summary = Summary.from(id, event)));
    }
    const before = summary.session.peek().state;
    summary.apply(event);
    const after = summary.session.peek().state;
    if (before !== after && [before, after].some((state) => NEEDS.has(state) || TROUBLE.has(state))) this.#changed.value += 1;
  }

  /** @param {Approval} approval */
  #ask(approval) {
    if (approval.id && !this.#over.has(approval.id) && !this.pending.value.has(approval.id)) this.#put(approval);
  }

  /** @param {Approval} approval */
  #put(approval) {
    const pending = new Map(this.pending.value);
    if (isPending(approval)) pending.set(approval.id, approval);
    else {
      pending.delete(approval.id);
      this.#over.add(approval.id);
      if (this.#over.size > OVER_MAX) this.#over.delete([...this.#over][0]);
    }
    this.pending.value = pending;
  }

  /** @param {Wire.Event} event */
  #decide(event) {
    const found = this.pending.value.get(str(event.data?.approval_id));
    if (found) this.#put(decided(found, event));
  }

  /** Takes in what the server has answered of an approval: it may be ahead of the stream. @param {Wire.Approval} said */
  settle(said) {
    if (said.state !== 'pending' && this.pending.value.has(said.id)) this.#put(approvalOf(said));
  }

  /** The same, where the reader's own answer came second. @param {Wire.Approval} said */
  lost(said) {
    this.settle(said);
    this.late.value = approvalOf(said);
  }

  /** @param {Wire.Event} event */
  #order(event) {
    if (event.session_id) return;
    const orders = new Map(this.orders.value);
    const found = orders.get(str(event.data?.command_id));
    if (event.type === 'command') orders.set(str(event.data?.command_id), ordered(event));
    else if (found) orders.set(found.id, moved(found, event));
    const over = [...orders.values()].filter((order) => !isOpen(order));
    for (const order of over.slice(0, Math.max(0, over.length - ORDERS_MAX))) orders.delete(order.id);
    this.orders.value = orders;
  }

  #trim() {
    const quiet = [...this.#sessions].filter(([, { session }]) => !NEEDS.has(session.peek().state) && !TROUBLE.has(session.peek().state));
    for (const [id] of quiet.slice(0, quiet.length / 2)) this.#sessions.delete(id);
  }

  /** What a session is called, where that is known. @param {string} id */
  titleOf(id) {
    return this.#sessions.get(id)?.session.value.title ?? '';
  }

  /** Asks for the agents anew: their queues and their sessions are in no event. */
  async #lookAtAgents() {
    if (this.#looking) return void (this.#lookAgain = true);
    this.#looking = true;
    do {
      this.#lookAgain = false;
      try {
        this.agents.value = byName((await api.agents(this.signal)).agents);
      } catch (error) {
        // That the server is away is told by the stream; when it is back, all is asked for anew by what comes.
        if (!(error instanceof ApiError) && !this.signal.aborted) throw error;
      }
      await sleep(AGENTS_MS, this.signal);
    } while (this.#lookAgain && !this.signal.aborted);
    this.#looking = false;
  }
}

/** @param {Wire.Agent[]} agents */
const byName = (agents) => new Map(agents.map((agent) => [agent.name, agent]));
