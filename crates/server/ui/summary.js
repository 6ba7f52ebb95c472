// One session in the list: what the server's snapshot says, kept current by the events after it.

import { signal } from '@preact/signals-core';
import { Calls, Turns } from './joined.js';
import { isDelta, isObject, num, str, usageOf } from './loose.js';

/** States in which an agent is at work or waits on someone: the upper part of the list. */
const WORKING = new Set(['thinking', 'running_tool', 'compacting', 'rate_limited', 'needs_approval', 'needs_answer']);

/** Characters of a title or a last text, as in the server's list. */
const TEXT = 160;

/** @param {string} state */
export const isWorking = (state) => WORKING.has(state);

/** @param {string} id @param {Wire.Event} event @returns {Wire.Session} */
function blank(id, event) {
  const counts = { events: 0, turns: 0, tool_calls: 0, errors: 0, first_seq: event.seq, last_seq: event.seq - 1 };
  const times = { started: event.timestamp, last_activity: event.timestamp };
  return { id, agent: event.agent, source: event.source, state: 'idle', usage: {}, ...times, ...counts };
}

/** Minutes of which activity is shown. */
const MINUTES = 30;

/** @param {number} ms */
const minuteOf = (ms) => Math.floor(ms / 60_000);

/** How much a session needs a person, the most first; each is a part of the fleet. */
export const RANKS = /** @type {const} */ (['needs', 'wrong', 'working', 'quiet']);
const NEEDS = new Set(['needs_approval', 'needs_answer']);
const WRONG = new Set(['failed', 'stalled', 'rate_limited']);
/** How old what went wrong may be: beyond that it is history. */
const WRONG_MS = 24 * 3_600_000;

/** @param {Wire.Session} session @returns {typeof RANKS[number]} */
export function rankOf({ state, last_activity }) {
  if (NEEDS.has(state)) return 'needs';
  if (WRONG.has(state) && Date.parse(last_activity) > Date.now() - WRONG_MS) return 'wrong';
  return isWorking(state) ? 'working' : 'quiet';
}

export class Summary {
  /** Calls under way: those that this page saw begin, and under no id the one that the snapshot has. @type {Map<string, Wire.Doing>} */ #running = new Map();
  /** The minute that `activity` ends with. */ #minute = minuteOf(Date.now());
  /** Approvals that are pending, as far as this page saw them asked. @type {Set<string>} */ #asked = new Set();

  /** @param {Wire.Session} session */
  constructor(session) {
    this.id = session.id;
    this.session = signal(session);
    if (session.doing) this.#running.set('', session.doing);
    /** The tool that runs, where that is known. */
    this.tool = signal(session.doing?.tool ?? '');
  }

  /** @param {string} id @param {Wire.Event} event */
  static from(id, event) {
    return new Summary(blank(id, event));
  }

  /** What it did when its agent left. */ #before = 'idle';

  /** Its agent has gone, and with it what it did; or it is there again, and goes on. @param {Wire.Event} event */
  agent(event) {
    const { state } = this.session.value;
    const isOver = state === 'done' || state === 'failed';
    if (event.type === 'agent_offline' && !isOver && state !== 'offline') {
      this.#before = state;
      this.session.value = { ...this.session.value, state: 'offline' };
    } else if (event.type === 'agent_online' && state === 'offline') this.session.value = { ...this.session.value, state: this.#before };
  }

  /** Takes the next event of this session; one that the snapshot has already is passed over. @param {Wire.Event} event */
  apply(event) {
    const before = this.session.value;
    if (event.seq <= before.last_seq) return;
    // What a person does to it is no sign of its life.
    const last_activity = event.type === 'session_renamed' ? before.last_activity : event.timestamp;
    const after = { ...before, last_seq: event.seq, last_activity, agent: event.agent ?? before.agent };
    if (!isDelta(event)) after.events += 1;
    if (after.state === 'stalled' && !isOfSilence(event)) after.state = this.#running.size > 0 ? 'running_tool' : 'thinking';
    if (newDay(before, event)) Object.assign(after, { usage_today: {}, cost_today_usd: 0 });
    if (this.#isToldBefore(event)) this.#addSpent(after, event);
    else if (Object.hasOwn(FOLDS, event.type)) FOLDS[/** @type {keyof Wire.Bodies} */ (event.type)]?.(after, event.data ?? {}, this.#running, this.#asked);
    after.doing = [...this.#running.values()].at(-1);
    if (after.doing && !after.doing.since) after.doing.since = event.timestamp;
    if (after.state !== before.state) after.since = event.timestamp;
    after.activity = this.#count(before.activity, minuteOf(Date.parse(event.timestamp)));
    this.session.value = after;
    this.tool.value = after.doing?.tool ?? '';
  }

  /** Turns and calls, whichever sources tell of them. */ #turns = new Turns();
  #calls = new Calls();

  /** Whether another source has told it: it counts once. @param {Wire.Event} event */
  #isToldBefore(event) {
    const data = isObject(event.data) ? event.data : {};
    switch (event.type) {
      case 'turn_start':
        return !this.#turns.begin(event, str(data.body)).isNew;
      case 'turn_end':
        return this.#isEnded(event);
      case 'tool_call_start':
        return !this.#calls.begin(event, data, this.#turns.of(event)).isNew;
      case 'tool_call':
        return !this.#calls.end(event, data)?.isFirst;
      default:
        return false;
    }
  }

  /** @param {Wire.Event} event */
  #isEnded(event) {
    const told = this.#turns.end(event);
    if (told?.isFirst && event.data?.usage) told.turn.row = 'spent';
    return !told?.isFirst;
  }

  /** What a turn has used may be told by another end than the first. @param {Wire.Session} session @param {Wire.Event} event */
  #addSpent(session, event) {
    const turn = this.#turns.of(event);
    if (event.type !== 'turn_end' || !turn || turn.row === 'spent' || !isObject(event.data?.usage)) return;
    turn.row = 'spent';
    spend(session, event.data);
  }

  /** @param {number[] | undefined} activity @param {number} minute */
  #count(activity, minute) {
    if (Number.isNaN(minute)) return activity;
    const next = shifted(activity, minute - this.#minute);
    this.#minute = Math.max(this.#minute, minute);
    const at = MINUTES - 1 - (this.#minute - minute);
    if (at >= 0) next[at] += 1;
    return next;
  }

  /** Events of each of the last minutes, as it is now. @param {number} now milliseconds since 1970 */
  activity(now) {
    return shifted(this.session.value.activity, minuteOf(now) - this.#minute);
  }
}

/** So many minutes later. @param {number[] | undefined} activity @param {number} by */
function shifted(activity, by) {
  const all = [...Array(MINUTES).fill(0), ...(activity ?? []), ...Array(Math.min(Math.max(by, 0), MINUTES)).fill(0)];
  return all.slice(-MINUTES);
}

/** Whether what was used today is to be counted anew: the server counts days in UTC. @param {Wire.Session} session @param {Wire.Event} event */
const newDay = ({ last_activity }, { timestamp }) => timestamp.slice(0, 10) > last_activity.slice(0, 10);

/** Whether an agent comes or goes. @param {Wire.Event} event */
export const isOfAgent = ({ type }) => type === 'agent_offline' || type === 'agent_online';

/** Whether a session was deleted: nothing of it is kept. @param {Wire.Event} event */
export const isErased = ({ type, session_id }) => type === 'history_trimmed' && session_id !== undefined;

/** Whether it is the server's word on a session from which nothing comes: no sign of life. @param {Wire.Event} event */
const isOfSilence = ({ type, data }) =>
  type === 'turn_state_changed' ? data?.state === 'stalled' : type === 'turn_end' && data?.by === 'server';

/** @param {Wire.Usage | undefined} usage @param {unknown} more @returns {Wire.Usage} */
export function added(usage, more) {
  const [a, b] = [usageOf(usage ?? {}), usageOf(more)];
  if (!a || !b) return usage ?? {};
  return {
    input_tokens: a.input + b.input,
    output_tokens: a.output + b.output,
    cache_read_input_tokens: a.read + b.read,
    cache_creation_input_tokens: a.written + b.written,
  };
}

/** What a turn has used is the session's, and today's. @param {Wire.Session} session @param {{ usage?: unknown, cost_usd?: unknown }} data */
function spend(session, data) {
  if (data.usage) {
    session.usage = added(session.usage, data.usage);
    session.usage_today = added(session.usage_today, data.usage);
  }
  const dollars = num(data.cost_usd);
  if (dollars === null) return;
  session.cost_usd = (session.cost_usd ?? 0) + dollars;
  session.cost_today_usd = (session.cost_today_usd ?? 0) + dollars;
}

/** @param {unknown} text */
function short(text) {
  const words = str(text).slice(0, 10 * TEXT).trim().replace(/\s+/g, ' ');
  return words.length > TEXT ? `${words.slice(0, TEXT)}…` : words;
}

/** What a call is about, by the names that agents give it, in this order: as the server has it. */
const ABOUT = ['command', 'cmd', 'file_path', 'filePath', 'path', 'notebook_path', 'url', 'pattern', 'query', 'description'];

/** @param {unknown} args */
function targetOf(args) {
  if (!isObject(args)) return undefined;
  const found = ABOUT.map((name) => args[name]).find((value) => typeof value === 'string' && value);
  return short(found) || undefined;
}

/** @param {Wire.Session} session @param {unknown} text */
function say(session, text) {
  session.last_text = short(text) || session.last_text;
}

/** @param {Wire.Session} session */
const isHeld = ({ state }) => state === 'needs_approval' || state === 'needs_answer';

/** It works; while it waits for a person it stands still, whatever else it does meanwhile. @param {Wire.Session} session @param {string} state @param {Set<string>} asked */
function goOn(session, state, asked) {
  if (asked.size === 0 || !isHeld(session)) session.state = state;
}

/**
 * What each kind does to a summary. The server's fold is the truth; this one bridges from its snapshot to the next.
 * @type {{ [K in keyof Wire.Bodies]?: (s: Wire.Session, data: Wire.Loose<Wire.Bodies[K]>, running: Map<string, Wire.Doing>, asked: Set<string>) => void }}
 */
const FOLDS = {
  session_start(s, data) {
    if (data.model) s.model = str(data.model);
  },
  session_renamed(s, data) {
    s.title = str(data.title);
  },
  usage(s, data) {
    s.context_tokens = num(data.context_tokens) ?? s.context_tokens;
    s.context_window = num(data.context_window) ?? s.context_window;
  },
  session_end(s, data, running, asked) {
    running.clear();
    asked.clear();
    s.state = num(data.exit_code) ? 'failed' : 'done';
  },
  run_complete(s) {
    s.state = 'done';
  },
  turn_start(s, data) {
    s.turns += 1;
    s.state = 'thinking';
    say(s, data.body);
    s.title ||= short(data.body);
  },
  turn_end(s, data, running, asked) {
    running.clear();
    asked.clear();
    s.state = data.ok === false ? 'failed' : 'idle';
    spend(s, data);
  },
  turn_state_changed(s, data, _, asked) {
    const state = str(data.state);
    if (state === 'thinking' || state === 'running_tool') goOn(s, state, asked);
    else s.state = state || s.state;
  },
  status_changed(s, data) {
    const status = str(data.status);
    if (status === 'rate_limited' || status === 'offline') s.state = status;
    else if (status === 'online' && (s.state === 'rate_limited' || s.state === 'offline')) s.state = 'idle';
  },
  message(s, data) {
    // All that was said in a turn, as one text: where somebody has told what was said last, that stays.
    if (data.whole_turn !== true || !s.last_text) say(s, data.content);
    if (data.role === 'user') s.title ||= short(data.content);
  },
  tool_call_start(s, data, running, asked) {
    running.set(str(data.tool_call_id), { tool: str(data.tool), target: targetOf(data.arguments), since: '' });
    goOn(s, 'running_tool', asked);
  },
  tool_call(s, data, running) {
    s.tool_calls += 1;
    if (!running.delete(str(data.tool_call_id))) running.delete('');
    if (s.state === 'running_tool' && running.size === 0) s.state = 'thinking';
  },
  model_changed(s, data) {
    s.model = str(data.model);
  },
  note(s, data) {
    say(s, data.text);
  },
  error(s, data) {
    s.errors += 1;
    say(s, data.message);
  },
  approval_request(s, data, _, asked) {
    asked.add(str(data.approval_id));
    if (s.state !== 'needs_answer') s.state = 'needs_approval';
  },
  approval_decision(s, data, _, asked) {
    asked.delete(str(data.approval_id));
    if (asked.size === 0 && isHeld(s)) s.state = 'thinking';
  },
};
