// Events folded into what a person reads: turns, messages, reasoning, tool calls. Pure: no requests, no DOM.
//
// Every event of a session is kept by exactly one item, so that nothing is hidden: one without a row of its own (usage, a state
// change) stays with the item before it. Deltas are kept until the event that supersedes them.

import { batch, signal } from '@preact/signals-core';
import { asked, decided } from './approval.js';
import { FOLDS } from './folds.js';
import { isDelta, isObject, num, str, usageOf } from './loose.js';
import { moved, ordered } from './order.js';

/** @typedef {import('./loose.js').Usage} Usage */

/** @typedef {import('@preact/signals-core').Signal<number>} Counter */

/**
 * What all items have. `rev` counts changes: a view that has read it is drawn again.
 * @typedef {object} Base
 * @property {string} key
 * @property {string} at when it began
 * @property {Wire.Event[]} events
 * @property {Wire.Event[]} deltas those that are not superseded yet
 * @property {boolean} nested whether a subagent did it
 * @property {Counter} rev
 */
/** @typedef {Base & { kind: 'turn', from: string, text: string }} TurnItem */
/** @typedef {Base & { kind: 'message', role: string, text: string, open: boolean, id: string, parent: string }} MessageItem */
/** @typedef {Base & { kind: 'reasoning', text: string, open: boolean, id: string, parent: string }} ReasoningItem */
/**
 * @typedef {'running' | 'done' | 'failed' | 'unfinished'} ToolState
 * @typedef {Base & { kind: 'tool', tool: string, id: string, args: unknown, draft: string, state: ToolState, started: boolean, progress: string,
 *   output: unknown, error: string, duration: number | null }} ToolItem
 */
/** @typedef {Base & { kind: 'end', ok: boolean, note: string, duration: number | null, usage: Usage | null, cost: number | null }} EndItem */
/** @typedef {Base & { kind: 'text', text: string }} TextItem */
/** @typedef {Base & { kind: 'error', component: string, text: string }} ErrorItem */
/** @typedef {Base & { kind: 'approval', approval: import('./approval.js').Approval }} ApprovalItem */
/**
 * An order. One whose turn begins at once is that turn's row; `begun` says that the turn has a row of its own, further down.
 * @typedef {Base & { kind: 'command', order: import('./order.js').Order, text: string, begun: boolean }} CommandItem
 */
/** @typedef {Base & { kind: 'mark', title: string, detail: string, tone: '' | 'good' | 'bad' | 'wait' }} MarkItem */
/** @typedef {Base & { kind: 'gap', gap: import('./stream.js').Gap }} GapItem */
/** @typedef {Base & { kind: 'other', title: string }} OtherItem */
/** One event as it is. @typedef {Base & { kind: 'raw' }} RawItem */
/**
 * @typedef {TurnItem | MessageItem | ReasoningItem | ToolItem | EndItem | TextItem | ErrorItem | ApprovalItem | CommandItem
 *   | MarkItem | GapItem | OtherItem | RawItem} Item
 */

/** Characters of a tool's running output that are kept: the newest. The whole comes with the call's end. */
const PROGRESS = 64 * 1024;
/** Running output's events that are kept for the raw view. */
const PROGRESS_EVENTS = 200;
/** Pieces of a message that are kept apart: those before are joined, so that a message of any length is a few events here. */
const PIECES = 400;
/** Events without a row of their own that one row takes. */
const ATTACHED = 100;
/** What is told of a row by an event beyond the window. */
const LATE = new Set(['approval_decision', 'command_state', 'tool_call']);
/** Such events that are kept. */
const LATE_MAX = 500;

const NO_TURN = { item: null, id: '', usage: null, cost: null };

/** @param {Usage} a @param {Usage} b @returns {Usage} */
const sum = (a, b) => ({
  input: a.input + b.input,
  output: a.output + b.output,
  read: a.read + b.read,
  written: a.written + b.written,
});

/**
 * A window of one session's events, in order, without holes but the gaps that it shows.
 *
 * Invariant: `items` depends on nothing but the events and gaps of the window, so it may be folded again at any time.
 */
export class Timeline {
  /** @type {Item[]} */ items = [];
  /** Counts changes of `items` itself. @type {Counter} */ changed = signal(0);
  /** Place of the newest event folded; older ones are repeats. */ last = 0;
  /** @type {{ seq: number, gap: import('./stream.js').Gap }[]} */ #gaps = [];
  /**
   * Keys of messages that began with a delta, by the event that superseded it: a row stays itself when all is folded again.
   * @type {Map<number, string>}
   */
  #keys = new Map();
  /** Messages and reasoning that still come. @type {(MessageItem | ReasoningItem)[]} */ #open = [];
  /** Calls that have not ended. @type {Map<string, ToolItem>} */ #running = new Map();
  /** @type {Map<string, ApprovalItem>} */ #asked = new Map();
  /** Orders, by their id. @type {Map<string, CommandItem>} */ #given = new Map();
  /** What came of rows here after the window's end. @type {Wire.Event[]} */ #late = [];
  /** Characters of the events here, about; what was superseded since the last cut is still counted. */ weight = 0;
  /** @type {{ item: TurnItem | CommandItem | null, id: string, usage: Usage | null, cost: number | null }} */ #turn = { ...NO_TURN };

  /** @param {{ raw?: boolean }} [options] `raw`: a row for each event, as it is */
  constructor({ raw = false } = {}) {
    this.raw = raw;
  }

  /** Place of the oldest event. */
  get first() {
    for (const item of this.items) if (item.events[0] || item.deltas[0]) return (item.events[0] ?? item.deltas[0]).seq;
    return 0;
  }

  /** The id of the turn that is in flight, where it is known. */
  get turn() {
    return this.#turn.id;
  }

  /** Takes events that come after all that is here. Repeats are passed over. @param {Wire.Event[]} events */
  add(events) {
    batch(() => {
      for (const event of events) this.#fold(event);
    });
  }

  /** Takes what was told instead of events, at its place. @param {import('./stream.js').Gap} gap */
  addGap(gap) {
    this.#gaps.push({ seq: gap.next - 0.5, gap });
    batch(() => this.#gap(gap));
  }

  /** Takes events that come before all that is here. @param {Wire.Event[]} events */
  prepend(events) {
    const first = this.first;
    this.#refold([...events.filter((event) => !first || event.seq < first), ...this.#events()]);
  }

  /** Keeps the newest `count` items, or as many as weigh no more than `weight`. @param {number} count @param {number} [weight] */
  keepNewest(count, weight = Infinity) {
    const kept = this.items.slice(-heaviest([...this.items].reverse(), count, weight));
    const from = (kept[0]?.events[0] ?? kept[0]?.deltas[0])?.seq ?? 0;
    this.#gaps = this.#gaps.filter(({ seq }) => seq > from);
    this.#refold(this.#events().filter((event) => event.seq >= from));
  }

  /** Keeps the oldest `count` items, or as many as weigh no more than `weight`: the window no longer reaches the end. @param {number} count @param {number} [weight] */
  keepOldest(count, weight = Infinity) {
    const next = this.items[heaviest(this.items, count, weight)];
    const to = (next?.events[0] ?? next?.deltas[0])?.seq ?? Infinity;
    this.#gaps = this.#gaps.filter(({ seq }) => seq < to);
    this.#refold(this.#events().filter((event) => event.seq < to && !isDelta(event)));
  }

  /** Forgets all. */
  clear() {
    this.#gaps = [];
    this.#late = [];
    this.#refold([]);
  }

  /**
   * Takes what came of rows here after the window's end: a decision, an order's step, a call's end. The events themselves come with the
   * pages between.
   * @param {Wire.Event[]} events
   */
  addLate(events) {
    const told = events.filter((event) => LATE.has(event.type) && event.seq > this.last);
    if (told.length === 0) return;
    this.#late = [...this.#late, ...told].slice(-LATE_MAX);
    batch(() => told.forEach((event) => this.#tellLate(event)));
  }

  /** @param {Wire.Event} event */
  #tellLate(event) {
    const data = /** @type {Record<string, unknown>} */ (isObject(event.data) ? event.data : {});
    const asked = this.#asked.get(str(data.approval_id));
    if (event.type === 'approval_decision' && asked) {
      asked.approval = decided(asked.approval, event);
      touch(asked);
    }
    const given = this.#given.get(str(data.command_id));
    if (event.type === 'command_state' && given) {
      given.order = moved(given.order, event);
      touch(given);
    }
    const call = this.#running.get(str(data.tool_call_id));
    if (event.type === 'tool_call' && call) tellEnd(call, data);
  }

  /** The row that an event of this place is in, or the next event: of a piece, the whole that came of it. @param {number} seq */
  rowOf(seq) {
    let [found, least] = [this.items.at(-1), Infinity];
    for (const item of this.items) {
      for (const event of item.events.concat(item.deltas)) if (event.seq >= seq && event.seq < least) [found, least] = [item, event.seq];
    }
    return found;
  }

  /** @returns {Wire.Event[]} */
  #events() {
    return this.items.flatMap((item) => [...item.events, ...item.deltas]);
  }

  /** @param {Wire.Event[]} events */
  #refold(events) {
    /** @type {{ seq: number, event?: Wire.Event, gap?: import('./stream.js').Gap }[]} */
    const entries = [...events.map((event) => ({ seq: event.seq, event })), ...this.#gaps];
    entries.sort((a, b) => a.seq - b.seq);
    const kept = new Set(entries.map(({ seq }) => seq));
    for (const seq of this.#keys.keys()) if (!kept.has(seq)) this.#keys.delete(seq);
    this.items = [];
    this.last = 0;
    this.#open = [];
    this.#running.clear();
    this.#asked.clear();
    this.#given.clear();
    this.#turn = { ...NO_TURN };
    this.weight = 0;
    batch(() => {
      this.changed.value += 1;
      for (const { event, gap } of entries) {
        if (event) this.#fold(event);
        else if (gap) this.#gap(gap);
      }
      this.#late = this.#late.filter(({ seq }) => seq > this.last);
      for (const event of this.#late) this.#tellLate(event);
    });
  }

  /** @param {Wire.Event} event */
  #fold(event) {
    if (event.seq <= this.last) return;
    this.last = event.seq;
    this.weight += weightOf(event);
    if (this.raw) return void this.push(event, { kind: 'raw' });
    const data = isObject(event.data) ? event.data : {};
    const known = Object.hasOwn(FOLDS, event.type) ? FOLDS[/** @type {keyof Wire.Bodies} */ (event.type)] : undefined;
    if (known) known.call(this, event, /** @type {any} */ (data));
    else this.push(event, { kind: 'other', title: event.type });
  }

  /** @param {import('./stream.js').Gap} gap */
  #gap(gap) {
    this.#put({ key: `gap-${gap.after}-${gap.next}`, at: '', events: [], kind: 'gap', gap });
  }

  /**
   * A new item that this event begins.
   * @template {Partial<Item> & { kind: Item['kind'] }} T
   * @param {Wire.Event} event
   * @param {T} parts
   * @returns {Extract<Item, { kind: T['kind'] }>}
   */
  push(event, parts) {
    const own = isDelta(event) ? { events: [], deltas: [event] } : { events: [event] };
    const key = this.#keys.get(event.seq) ?? String(event.seq);
    const parent = /** @type {Wire.Loose<Wire.Message>} */ (event.data)?.parent_tool_call_id;
    return /** @type {any} */ (
      this.#put({ key, at: event.timestamp, nested: typeof parent === 'string' && parent !== '', ...own, ...parts })
    );
  }

  /** @param {Partial<Item>} parts */
  #put(parts) {
    const item = /** @type {Item} */ ({ deltas: [], nested: false, rev: signal(0), ...parts });
    this.items.push(item);
    this.changed.value += 1;
    return item;
  }

  /** Gives an event without a row of its own to the item before it. @param {Wire.Event} event */
  attach(event) {
    const item = this.items.at(-1);
    if (!item || item.kind === 'gap' || item.events.length >= ATTACHED) return void this.push(event, { kind: 'other', title: event.type });
    if (isDelta(event)) this.#keepDelta(item, event);
    else item.events.push(event);
    touch(item);
  }

  /** @param {Item} item @param {Wire.Event} event */
  #keepDelta(item, event) {
    item.deltas.push(event);
    if (item.kind === 'tool' && item.deltas.length > PROGRESS_EVENTS) item.deltas.shift();
    else if ((item.kind === 'message' || item.kind === 'reasoning') && item.deltas.length > PIECES) this.#join(item);
  }

  /** Makes one piece of the older half of a message's pieces; the row stays itself when all is folded again. @param {MessageItem | ReasoningItem} item */
  #join(item) {
    const old = item.deltas.splice(0, PIECES / 2);
    const whole = /** @type {Wire.Event} */ (old.at(-1));
    const content = old.map((event) => str(event.data?.content)).join('');
    item.deltas.unshift({ ...whole, data: { ...whole.data, content } });
    this.#keys.set(whole.seq, item.key);
  }

  /**
   * The open message or reasoning that a delta or a whole belongs to.
   * @param {'message' | 'reasoning'} kind
   * @param {string} id
   * @param {string} parent
   */
  #opened(kind, id, parent) {
    return this.#open.find((item) => item.kind === kind && item.parent === parent && (!id || !item.id || item.id === id));
  }

  /** @param {'message' | 'reasoning'} kind @param {Wire.Event} event @param {Wire.Loose<Wire.TextDelta>} data */
  piece(kind, event, data) {
    const [id, parent] = [str(data.message_id), str(data.parent_tool_call_id)];
    const item = this.#opened(kind, id, parent);
    if (item) {
      item.text += str(data.content);
      this.#keepDelta(item, event);
      return touch(item);
    }
    const parts = { text: str(data.content), open: true, id, parent };
    this.#open.push(kind === 'message' ? this.push(event, { kind, role: 'assistant', ...parts }) : this.push(event, { kind, ...parts }));
  }

  /** @param {'message' | 'reasoning'} kind @param {Wire.Event} event @param {Wire.Loose<Wire.Message>} data */
  whole(kind, event, data) {
    const [id, parent, text] = [str(data.message_id), str(data.parent_tool_call_id), str(data.content)];
    const role = str(data.role) || 'assistant';
    const item = role === 'assistant' ? this.#opened(kind, id, parent) : undefined;
    if (item) {
      this.#open = this.#open.filter((other) => other !== item);
      item.deltas = [];
      this.#keys.set(event.seq, item.key);
      item.text = text;
      item.open = false;
      item.events.push(event);
      return touch(item);
    }
    // The server says a message that was ordered as the user's as well, under the order's id.
    const order = role === 'user' ? this.#given.get(id) : undefined;
    if (order) {
      order.events.push(event);
      return touch(order);
    }
    const turn = this.#turn.item;
    // Many agents say the prompt twice: as the turn's start and as the user's message.
    if (role === 'user' && turn && turn.text.trim() === text.trim()) {
      turn.events.push(event);
      return touch(turn);
    }
    const parts = { text, open: false, id, parent };
    if (kind === 'message') this.push(event, { kind, role, ...parts });
    else this.push(event, { kind, ...parts });
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCallStart>} data */
  toolStart(event, data) {
    const id = str(data.tool_call_id);
    const parts = { tool: str(data.tool), args: data.arguments, started: true };
    const item = this.#running.get(id);
    // A call whose arguments were seen being written is there already.
    if (!item || item.started) return void this.#running.set(id, this.#tool(event, { id, ...parts }));
    Object.assign(item, parts, { draft: '', deltas: [] });
    this.#keys.set(event.seq, item.key);
    item.events.push(event);
    touch(item);
  }

  /** @param {Wire.Event} event @param {Partial<ToolItem>} parts */
  #tool(event, parts) {
    const blank = { tool: '', args: undefined, draft: '', started: false, progress: '', output: undefined, error: '', duration: null };
    return this.push(event, { kind: 'tool', state: /** @type {ToolState} */ ('running'), ...blank, ...parts });
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolProgress>} data */
  toolProgress(event, data) {
    const id = str(data.tool_call_id);
    let item = this.#running.get(id);
    if (item) this.#keepDelta(item, event);
    else this.#running.set(id, (item = this.#tool(event, { tool: str(data.tool), id })));
    item.draft = (item.draft + str(data.arguments_delta)).slice(-PROGRESS);
    item.progress = (item.progress + str(data.content)).slice(-PROGRESS);
    touch(item);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCall>} data */
  toolEnd(event, data) {
    const id = str(data.tool_call_id);
    let item = this.#running.get(id);
    this.#running.delete(id);
    if (item) {
      item.events.push(event);
      item.deltas = [];
    } else item = this.#tool(event, { id });
    tellEnd(item, data);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnStart>} data */
  turnStart(event, data) {
    const order = this.#given.get(event.turn_id ?? '');
    // That its session began, or its agent came, is no part of another turn.
    const isNext = order !== undefined && order === this.items.findLast((item) => item.kind !== 'mark');
    const item = isNext ? order : this.push(event, { kind: 'turn', from: str(data.from), text: str(data.body) });
    if (isNext) item.events.push(event);
    else if (order) order.begun = true;
    if (order) touch(order);
    this.#turn = { ...NO_TURN, item, id: event.turn_id ?? '' };
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.Usage>} data */
  usage(event, data) {
    const usage = usageOf(data);
    if (usage) this.#turn.usage = this.#turn.usage ? sum(this.#turn.usage, usage) : usage;
    const cost = num(data.cost_usd);
    if (cost !== null) this.#turn.cost = (this.#turn.cost ?? 0) + cost;
    this.attach(event);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnEnd>} data */
  turnEnd(event, data) {
    this.close();
    const usage = usageOf(data.usage) ?? this.#turn.usage;
    const cost = num(data.cost_usd) ?? this.#turn.cost;
    this.push(event, { kind: 'end', ok: data.ok !== false, note: str(data.note), duration: num(data.duration_ms), usage, cost });
    this.#turn = { ...NO_TURN };
  }

  /** @param {Wire.Event} event @param {MarkItem['title']} title @param {string} [detail] @param {MarkItem['tone']} [tone] */
  mark(event, title, detail = '', tone = '') {
    this.push(event, { kind: 'mark', title, detail, tone });
  }

  /** What is still open when a turn or session ends will not be closed by anything else. */
  close() {
    for (const item of this.#open) {
      item.open = false;
      touch(item);
    }
    this.#open = [];
    for (const item of this.#running.values()) {
      item.state = 'unfinished';
      touch(item);
    }
    this.#running.clear();
  }

  /** @param {Wire.Event} event */
  ask(event) {
    const approval = asked(event);
    const item = this.#asked.get(approval.id);
    // Asked twice under one id, it is the same question.
    if (item) {
      item.events.push(event);
      return touch(item);
    }
    const made = this.push(event, { kind: 'approval', approval });
    if (approval.id) this.#asked.set(approval.id, made);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ApprovalDecision>} data */
  decide(event, data) {
    const item = this.#asked.get(str(data.approval_id));
    if (!item) return this.mark(event, `Approval ${str(data.decision)}`, str(data.by));
    item.approval = decided(item.approval, event);
    item.events.push(event);
    touch(item);
  }

  /** @param {Wire.Event} event */
  order(event) {
    const order = ordered(event);
    const text = str(order.action === 'message' ? order.args.content : order.action === 'new_session' ? order.args.prompt : '');
    this.#given.set(order.id, this.push(event, { kind: 'command', order, text, begun: false }));
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.CommandState>} data */
  orderMoved(event, data) {
    const item = this.#given.get(str(data.command_id));
    if (!item) return this.mark(event, `Order ${str(data.state)}`, str(data.reason));
    item.order = moved(item.order, event);
    item.events.push(event);
    touch(item);
  }
}

/** @param {Item} item */
function touch(item) {
  item.rev.value += 1;
}

/** @param {ToolItem} item @param {Wire.Loose<Wire.ToolCall>} data */
function tellEnd(item, data) {
  item.tool = str(data.tool) || item.tool;
  item.state = data.success === false ? 'failed' : 'done';
  item.output = data.output;
  item.error = str(data.error);
  item.duration = num(data.duration_ms);
  touch(item);
}

/** How many of the first items weigh no more than `weight`, at most `count` and at least one. @param {Item[]} items @param {number} count @param {number} weight */
function heaviest(items, count, weight) {
  let sum = 0;
  for (let at = 0; at < Math.min(count, items.length); at += 1) {
    for (const event of items[at].events) sum += weightOf(event);
    for (const event of items[at].deltas) sum += weightOf(event);
    if (sum > weight) return Math.max(1, at);
  }
  return count;
}

/** Characters that an event has, about. @param {Wire.Event} event */
const weightOf = (event) => 300 + weigh(event.data) + weigh(event.raw);

/** @param {unknown} value @returns {number} */
function weigh(value) {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let sum = 16;
  for (const key in value) sum += key.length + weigh(/** @type {Record<string, unknown>} */ (value)[key]);
  return sum;
}
