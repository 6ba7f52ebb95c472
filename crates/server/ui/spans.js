// Turns and tool calls of a session as spans of time: what the server lists of them, and the events after it. Pure.
//
// Invariant: an event that the server's rows have already changes nothing, so rows and events may overlap.

import { argumentOf } from './about.js';
import { Calls, Turns, listed } from './joined.js';
import { isObject, num, str } from './loose.js';

/**
 * @typedef {'running' | 'ok' | 'failed' | 'unfinished'} Outcome
 * @typedef {object} Span
 * @property {'turn' | 'call'} kind
 * @property {string} id
 * @property {string} parent the call of the subagent that made it
 * @property {string} turn
 * @property {string} name the tool, or what the turn is about
 * @property {string} about what the call is about
 * @property {number} from milliseconds since 1970
 * @property {number} to the same; Infinity while it runs
 * @property {Outcome} outcome
 * @property {string} error
 * @property {number} seq the event that it begins with: its moment in the session
 * @property {number} ended the event that it ends with; 0 for none
 */

/** Characters of what is told of one. */
const TEXT = 160;

/** @param {unknown} value */
const short = (value) => str(value).slice(0, TEXT);

/** @param {string | null | undefined} at */
const time = (at) => (at ? Date.parse(at) : NaN);

export class Spans {
  /** By the event that each begins with. @type {Map<number, Span>} */ #all = new Map();
  /** Turns and calls, whichever sources tell of them; each has its span as its row. */ #turns = new Turns();
  #calls = new Calls();
  /** Those that run. @type {Set<Span>} */ #open = new Set();

  get size() {
    return this.#all.size;
  }

  /** Whether any runs. */
  get isRunning() {
    return this.#open.size > 0;
  }

  /** In the order in which they began. @returns {Span[]} */
  list() {
    return [...this.#all.values()].sort((a, b) => a.from - b.from || a.seq - b.seq);
  }

  clear() {
    this.#all.clear();
    this.#turns.clear();
    this.#calls.clear();
    this.#open.clear();
  }

  /** @param {Wire.TurnRow[]} rows */
  takeTurns(rows) {
    for (const row of rows) {
      const outcome = row.ended ? (row.ok === false ? 'failed' : 'ok') : 'running';
      const span = this.#row(row, { kind: 'turn', id: str(row.turn_id), parent: '', turn: str(row.turn_id), name: short(row.prompt), about: '', outcome, error: short(row.note) });
      if (!span) continue;
      const ids = new Set([...(row.turn_ids ?? []), str(row.turn_id)]);
      const told = listed(row.sources, row.end_seq !== undefined);
      this.#turns.add({ ids, told, prompt: str(row.prompt), from: span.from, to: span.to, hasEnd: row.end_seq !== undefined, last: row.last_seq, row: span });
    }
  }

  /** @param {Wire.CallRow[]} rows */
  takeCalls(rows) {
    for (const row of rows) {
      const outcome = /** @type {Outcome} */ (row.outcome);
      const about = short(argumentOf(row.arguments));
      const parent = str(row.parent_tool_call_id);
      const span = this.#row(row, { kind: 'call', id: str(row.tool_call_id), parent, turn: str(row.turn_id), name: short(row.tool), about, outcome, error: short(row.error) });
      if (!span) continue;
      const told = listed(row.sources, row.end_seq !== undefined);
      this.#calls.add({ id: span.id, tool: row.tool, args: row.arguments, told, isOver: outcome !== 'running', hasEnd: row.end_seq !== undefined, to: row.end_seq === undefined ? Infinity : span.to, last: row.last_seq, row: span });
    }
  }

  /**
   * @param {Wire.TurnRow | Wire.CallRow} row
   * @param {Pick<Span, 'kind' | 'id' | 'parent' | 'turn' | 'name' | 'about' | 'outcome' | 'error'>} parts
   */
  #row(row, parts) {
    const seq = row.start_seq ?? row.first_seq;
    if (this.#all.has(seq)) return null;
    const to = time(row.ended);
    // Of what was seen to end alone, the end says how long it was.
    const from = time(row.started);
    const begun = Number.isNaN(from) ? to - (row.duration_ms ?? 0) : from;
    if (Number.isNaN(begun)) return null;
    const isOver = parts.outcome !== 'running';
    return this.#add({ ...parts, from: begun, to: isOver ? Math.max(begun, Number.isNaN(to) ? begun : to) : Infinity, seq, ended: row.end_seq ?? 0 });
  }

  /** @param {Span} span */
  #add(span) {
    this.#all.set(span.seq, span);
    if (span.outcome === 'running') this.#open.add(span);
    return span;
  }

  /** Takes the next event; answers whether it changed anything. @param {Wire.Event} event */
  apply(event) {
    const data = isObject(event.data) ? event.data : {};
    const at = time(event.timestamp);
    if (Number.isNaN(at)) return false;
    switch (event.type) {
      case 'turn_start':
        return this.#turnStart(event, data, at);
      case 'turn_end':
        return this.#turnEnd(event, data, at);
      case 'tool_call_start':
        return this.#callStart(event, data, at);
      case 'tool_call':
        return this.#callEnd(event, data, at);
      case 'session_end':
        this.#turns.close(at);
        return this.#closeAll(event.seq, at, () => true);
      default:
        return false;
    }
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnStart>} data @param {number} at */
  #turnStart(event, data, at) {
    if (this.#all.has(event.seq)) return false;
    const { turn, isNew } = this.#turns.begin(event, str(data.body));
    if (!isNew && turn.row) return this.#begunBefore(turn.row, at, short(data.body));
    this.#closeAll(event.seq, at, ({ from }) => from <= at);
    this.#turns.close(at, turn);
    const id = event.turn_id ?? '';
    const parts = { parent: '', turn: id, name: short(data.body), about: '', error: '', ended: 0 };
    turn.row = this.#add({ kind: 'turn', id, ...parts, from: at, to: Infinity, outcome: 'running', seq: event.seq });
    return true;
  }

  /** Another source tells of a start: the earliest counts. @param {Span} span @param {number} at @param {string} name @param {string} [about] */
  #begunBefore(span, at, name, about = '') {
    const before = [span.from, span.name, span.about];
    Object.assign(span, { from: Math.min(span.from, at), name: span.name || name, about: span.about || about });
    return before.join() !== [span.from, span.name, span.about].join();
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnEnd>} data @param {number} at */
  #turnEnd(event, data, at) {
    const known = this.#turns.of(event);
    const span = known?.row;
    if (!known || !span || (known.hasEnd && event.seq <= Math.max(known.last, span.ended)) || span.seq > event.seq) return false;
    const told = this.#turns.end(event);
    if (!told) return false;
    const outcome = data.ok === false ? 'failed' : 'ok';
    if (!told.isFirst) return this.#endedBefore(span, at, outcome, short(data.note));
    this.#end(span, event.seq, at, outcome, short(data.note));
    this.#closeAll(event.seq, at, ({ kind, turn }) => kind === 'call' && (!turn || known.ids.has(turn)));
    return true;
  }

  /** Another source tells of an end: the earliest counts, and a failure. @param {Span} span @param {number} at @param {Outcome} outcome @param {string} error */
  #endedBefore(span, at, outcome, error) {
    const before = [span.to, span.outcome, span.error];
    const worse = outcome === 'failed' ? outcome : span.outcome;
    Object.assign(span, { to: Math.max(span.from, Math.min(span.to, at)), outcome: worse, error: span.error || error });
    return before.join() !== [span.to, span.outcome, span.error].join();
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCallStart>} data @param {number} at */
  #callStart(event, data, at) {
    if (this.#all.has(event.seq)) return false;
    const { call, isNew } = this.#calls.begin(event, data, this.#turns.of(event));
    const about = short(argumentOf(data.arguments));
    if (!isNew && call.row) return this.#begunBefore(call.row, at, short(data.tool), about);
    const turn = event.turn_id ?? [...this.#open].findLast(({ kind }) => kind === 'turn')?.id ?? '';
    const parts = { turn, name: short(data.tool), about, parent: str(data.parent_tool_call_id), error: '', ended: 0 };
    call.row = this.#add({ kind: 'call', id: call.id, ...parts, from: at, to: Infinity, outcome: 'running', seq: event.seq });
    return true;
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCall>} data @param {number} at */
  #callEnd(event, data, at) {
    if (this.#all.has(event.seq)) return false;
    const told = this.#calls.end(event, data);
    const outcome = data.success === false ? 'failed' : 'ok';
    if (!told) return false;
    const { call } = told;
    if (call.row && !told.isFirst) return this.#endedBefore(call.row, at, outcome, short(data.error));
    if (call.row) {
      this.#end(call.row, event.seq, at, outcome, short(data.error));
      return true;
    }
    const parts = { parent: str(data.parent_tool_call_id), turn: event.turn_id ?? '', name: short(data.tool), about: '', error: short(data.error) };
    const from = at - Math.max(0, num(data.duration_ms) ?? 0);
    call.row = this.#add({ kind: 'call', id: call.id, ...parts, from, to: at, outcome, seq: event.seq, ended: event.seq });
    return true;
  }

  /** @param {Span} span @param {number} seq @param {number} at @param {Outcome} outcome @param {string} error */
  #end(span, seq, at, outcome, error) {
    Object.assign(span, { to: Math.max(span.from, at), outcome, error, ended: seq });
    this.#open.delete(span);
  }

  /** @param {number} seq @param {number} at @param {(span: Span) => boolean} isMeant */
  #closeAll(seq, at, isMeant) {
    const closed = [...this.#open].filter((span) => span.seq < seq && isMeant(span));
    // Its own end, if it comes yet, counts instead.
    for (const span of closed) {
      this.#end(span, 0, at, 'unfinished', '');
      const call = span.kind === 'call' && this.#calls.of(span.id);
      if (call && call.row === span) call.isOver = true;
    }
    return closed.length > 0;
  }
}
