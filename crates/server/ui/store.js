// Events folded into what a person reads: turns, messages, reasoning, tool calls. Pure: no requests, no DOM.
//
// Every event of a session is kept by exactly one item, so that nothing is hidden: one without a row of its own (usage, a state
// change) stays with the item before it. Deltas are kept until the event that supersedes them.

import { batch, signal } from '@preact/signals-core';
import { asked, decided } from './approval.js';
import { FOLDS } from './folds.js';
import { Calls, Turns, least, spent } from './joined.js';
import { isDelta, isObject, num, str, usageOf } from './loose.js';
import { moved, ordered } from './order.js';
import { completeEnd, tellEnd } from './tool-row.js';
import { heaviest, weightOf } from './weight.js';

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

/** @typedef {{ item: MessageItem | ReasoningItem, turn: import('./joined.js').Turn | undefined, sources: Set<string> }} Said */

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
/** Messages that were streamed and not told whole when their turn ended: the newest. */
const LEFT = 20;
/** Such events that are kept. */
const LATE_MAX = 500;

const NO_TURN = { item: null, id: '', turn: null };

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
  /** Those that their turn's end has left. @type {(MessageItem | ReasoningItem)[]} */ #left = [];
  /** Turns and calls, whichever sources tell of them. */ #turns = new Turns();
  #calls = new Calls();
  /** Calls that have not ended. @type {Set<import('./joined.js').Call>} */ #running = new Set();
  /** Messages as they were said, by kind, role and text. @type {Map<string, Said[]>} */ #said = new Map();
  /** The session's start and end, and who has told them. @type {Map<string, { item: Item, sources: Set<string> }>} */ #marks = new Map();
  /** @type {Map<string, ApprovalItem>} */ #asked = new Map();
  /** Orders, by their id. @type {Map<string, CommandItem>} */ #given = new Map();
  /** What came of rows here after the window's end. @type {Wire.Event[]} */ #late = [];
  /** Characters of the events here, about; what was superseded since the last cut is still counted. */ weight = 0;
  /** @type {{ item: TurnItem | CommandItem | null, id: string, turn: import('./joined.js').Turn | null }} */ #turn = { ...NO_TURN };

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
    const call = this.#calls.of(str(data.tool_call_id));
    if (event.type !== 'tool_call' || !call || call.isOver) return;
    tellEnd(call.row, data);
    touch(call.row);
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
    this.#left = [];
    this.#running.clear();
    this.#turns.clear();
    this.#calls.clear();
    this.#said.clear();
    this.#marks.clear();
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
   * The open message or reasoning that a delta or a whole belongs to: of its source, or by its id.
   * @param {'message' | 'reasoning'} kind
   * @param {Wire.Event} event
   * @param {string} id
   * @param {string} parent
   */
  #opened(kind, { source }, id, parent) {
    const isMine = (/** @type {MessageItem | ReasoningItem} */ item) => (item.deltas[0]?.source === source ? !id || !item.id || item.id === id : id !== '' && item.id === id);
    return this.#open.find((item) => item.kind === kind && item.parent === parent && isMine(item));
  }

  /** @param {'message' | 'reasoning'} kind @param {Wire.Event} event @param {Wire.Loose<Wire.TextDelta>} data */
  piece(kind, event, data) {
    const [id, parent] = [str(data.message_id), str(data.parent_tool_call_id)];
    const item = this.#opened(kind, event, id, parent);
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
    const isMine = (/** @type {MessageItem | ReasoningItem} */ other) => id !== '' && other.id === id && other.kind === kind && other.parent === parent;
    const item = role === 'assistant' ? (this.#opened(kind, event, id, parent) ?? this.#left.find(isMine)) : undefined;
    const said = this.#before(`${kind} ${role} ${parent !== ''} ${text.trim()}`, event);
    if (said.before) {
      // What was streamed of it is the row that another source has told whole.
      if (item) this.#drop(item, said.before.item);
      return this.#second(said.before, event);
    }
    if (item) {
      this.#forget(item);
      item.deltas = [];
      this.#keys.set(event.seq, item.key);
      item.text = text;
      item.open = false;
      item.events.push(event);
      said.keep(item);
      if (kind === 'message' && parent === '') this.#answers(said.turn, item);
      return touch(item);
    }
    // The server says a message that was ordered as the user's as well, under the order's id.
    const order = role === 'user' ? this.#given.get(id) : undefined;
    if (order) {
      order.events.push(event);
      return touch(order);
    }
    const turn = said.turn?.row ?? this.#turn.item;
    // Many agents say the prompt twice: as the turn's start and as the user's message.
    if (role === 'user' && turn && turn.text.trim() === text.trim()) {
      turn.events.push(event);
      return touch(turn);
    }
    const parts = { text, open: false, id, parent };
    if (kind !== 'message') return said.keep(this.push(event, { kind, ...parts }));
    const isAnswer = role === 'assistant' && parent === '';
    const isAll = isAnswer && data.whole_turn === true && said.turn;
    if (isAll && isAll.said) return this.#second({ item: isAll.said, sources: new Set() }, event);
    const row = this.push(event, { kind, role, ...parts });
    if (isAll) return void (isAll.all = row);
    said.keep(row);
    if (isAnswer) this.#answers(said.turn, row);
  }

  /** Something is said in a turn: all of it as one text gives way to it. @param {import('./joined.js').Turn | undefined} turn @param {MessageItem | ReasoningItem} item */
  #answers(turn, item) {
    if (turn?.all) this.#drop(turn.all, item);
    if (turn) Object.assign(turn, { said: item, all: null });
  }

  /** What another source has said in the same words, in the same turn. @param {string} words @param {Wire.Event} event */
  #before(words, event) {
    const turn = this.#turns.of(event);
    const all = this.#said.get(words) ?? [];
    const before = all.find((said) => !said.sources.has(event.source) && (!turn || !said.turn || said.turn === turn));
    const keep = (/** @type {MessageItem | ReasoningItem} */ item) => void this.#said.set(words, [...all, { item, turn, sources: new Set([event.source]) }]);
    return { before, turn, keep };
  }

  /** @param {{ item: Item, sources: Set<string> }} told @param {Wire.Event} event */
  #second(told, event) {
    told.sources.add(event.source);
    told.item.events.push(event);
    touch(told.item);
  }

  /** @param {MessageItem | ReasoningItem} item */
  #forget(item) {
    this.#open = this.#open.filter((other) => other !== item);
    this.#left = this.#left.filter((other) => other !== item);
  }

  /** Its events without a row of their own go to the other. @param {MessageItem | ReasoningItem} item @param {Item} to */
  #drop(item, to) {
    this.#forget(item);
    to.events = [...to.events, ...item.events].sort((a, b) => a.seq - b.seq);
    this.items = this.items.filter((other) => other !== item);
    this.changed.value += 1;
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCallStart>} data */
  toolStart(event, data) {
    const { call, isNew } = this.#calls.begin(event, data, this.#turns.of(event));
    const parts = { tool: str(data.tool), args: data.arguments, started: true };
    if (isNew) {
      call.row = this.#tool(event, { id: call.id, ...parts });
      return void this.#running.add(call);
    }
    const item = call.row;
    // A call whose arguments were seen being written is there already.
    if (!item.started) {
      Object.assign(item, parts, { draft: '', deltas: [] });
      this.#keys.set(event.seq, item.key);
    }
    item.args ??= data.arguments;
    item.id ||= call.id;
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
    let call = this.#calls.of(id);
    if (call && !call.isOver) this.#keepDelta(call.row, event);
    else {
      call = this.#calls.add({ id, tool: str(data.tool), row: this.#tool(event, { tool: str(data.tool), id }) });
      this.#running.add(call);
    }
    const item = call.row;
    item.draft = (item.draft + str(data.arguments_delta)).slice(-PROGRESS);
    item.progress = (item.progress + str(data.content)).slice(-PROGRESS);
    touch(item);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCall>} data */
  toolEnd(event, data) {
    const told = this.#calls.end(event, data);
    const call = told?.call ?? this.#calls.of(str(data.tool_call_id));
    if (!call) return this.attach(event);
    this.#running.delete(call);
    if (told?.isNew) call.row = this.#tool(event, { id: call.id });
    else {
      call.row.events.push(event);
      call.row.deltas = [];
    }
    if (told?.isFirst) tellEnd(call.row, data);
    else if (told) completeEnd(call.row, data);
    touch(call.row);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnStart>} data */
  turnStart(event, data) {
    const { turn, isNew } = this.#turns.begin(event, str(data.body));
    if (!isNew && turn.row) {
      // Another source tells of it.
      if (turn.row.kind === 'turn') turn.row.text ||= str(data.body);
      turn.row.events.push(event);
      return touch(turn.row);
    }
    const order = this.#given.get(event.turn_id ?? '');
    // That its session began, or its agent came, is no part of another turn.
    const isNext = order !== undefined && order === this.items.findLast((item) => item.kind !== 'mark');
    const item = isNext ? order : this.push(event, { kind: 'turn', from: str(data.from), text: str(data.body) });
    if (isNext) item.events.push(event);
    else if (order) order.begun = true;
    if (order) touch(order);
    turn.row = item;
    if (turn.to !== Infinity) return;
    this.#turns.close(turn.from, turn);
    this.#turn = { item, id: event.turn_id ?? '', turn };
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.Usage>} data */
  usage(event, data) {
    this.attach(event);
    const turn = this.#turns.spend(event, usageOf(data), num(data.cost_usd));
    if (turn.end) tellSpent(turn);
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnEnd>} data */
  turnEnd(event, data) {
    const told = this.#turns.end(event);
    const turn = told?.turn ?? this.#turns.of(event);
    if (!turn) return this.attach(event);
    const before = turn.used.get(event.source);
    turn.used.set(event.source, { usage: usageOf(data.usage) ?? before?.usage ?? null, cost: num(data.cost_usd) ?? before?.cost ?? null });
    const item = turn.end;
    if (item) {
      item.events.push(event);
      item.ok &&= data.ok !== false;
      item.note ||= str(data.note);
      item.duration = least(item.duration, data.duration_ms);
      return tellSpent(turn);
    }
    this.close();
    turn.end = this.push(event, { kind: 'end', ok: data.ok !== false, note: str(data.note), duration: num(data.duration_ms), ...spent(turn) });
    this.#turn = { ...NO_TURN };
  }

  /** The session's start or end, once for all sources. @param {'start' | 'end'} which @param {Wire.Event} event @param {Parameters<Timeline['mark']>} mark */
  markSession(which, event, ...mark) {
    const told = this.#marks.get(which);
    if (told && !told.sources.has(event.source)) return this.#second(told, event);
    this.#marks.set(which, { item: this.mark(...mark), sources: new Set([event.source]) });
  }

  /** @param {Wire.Event} event @param {MarkItem['title']} title @param {string} [detail] @param {MarkItem['tone']} [tone] */
  mark(event, title, detail = '', tone = '') {
    return this.push(event, { kind: 'mark', title, detail, tone });
  }

  /** What is still open when a turn or session ends will not be closed by anything else. */
  close() {
    for (const item of this.#open) {
      item.open = false;
      touch(item);
    }
    // Another source may have ended the turn: what was streamed may yet come whole.
    this.#left = [...this.#left, ...this.#open].slice(-LEFT);
    this.#open = [];
    for (const call of this.#running) {
      call.isOver = true;
      call.row.state = 'unfinished';
      touch(call.row);
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
    if (!item) return void this.mark(event, `Approval ${str(data.decision)}`, str(data.by));
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
    if (!item) return void this.mark(event, `Order ${str(data.state)}`, str(data.reason));
    item.order = moved(item.order, event);
    item.events.push(event);
    touch(item);
  }
}

/** @param {Item} item */
function touch(item) {
  item.rev.value += 1;
}

/** @param {import('./joined.js').Turn} turn */
function tellSpent(turn) {
  Object.assign(turn.end, spent(turn));
  touch(turn.end);
}
