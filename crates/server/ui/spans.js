// Turns and tool calls of a session as spans of time: what the server lists of them, and the events after it. Pure.
//
// Invariant: an event that the server's rows have already changes nothing, so rows and events may overlap.

import { argumentOf } from './about.js';
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
  /** Newest spans by what they are known by. @type {Map<string, Span>} */ #newest = new Map();
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
    this.#newest.clear();
    this.#open.clear();
  }

  /** @param {Wire.TurnRow[]} rows */
  takeTurns(rows) {
    for (const row of rows) {
      const outcome = row.ended ? (row.ok === false ? 'failed' : 'ok') : 'running';
      this.#row(row, { kind: 'turn', id: str(row.turn_id), parent: '', turn: str(row.turn_id), name: short(row.prompt), about: '', outcome, error: short(row.note) });
    }
  }

  /** @param {Wire.CallRow[]} rows */
  takeCalls(rows) {
    for (const row of rows) {
      const outcome = /** @type {Outcome} */ (row.outcome);
      const about = short(argumentOf(row.arguments));
      const parent = str(row.parent_tool_call_id);
      this.#row(row, { kind: 'call', id: str(row.tool_call_id), parent, turn: str(row.turn_id), name: short(row.tool), about, outcome, error: short(row.error) });
    }
  }

  /**
   * @param {Wire.TurnRow | Wire.CallRow} row
   * @param {Pick<Span, 'kind' | 'id' | 'parent' | 'turn' | 'name' | 'about' | 'outcome' | 'error'>} parts
   */
  #row(row, parts) {
    const seq = row.start_seq ?? row.first_seq;
    if (this.#all.has(seq)) return;
    const to = time(row.ended);
    // Of what was seen to end alone, the end says how long it was.
    const from = time(row.started);
    const begun = Number.isNaN(from) ? to - (row.duration_ms ?? 0) : from;
    if (Number.isNaN(begun)) return;
    const isOver = parts.outcome !== 'running';
    this.#add({ ...parts, from: begun, to: isOver ? Math.max(begun, Number.isNaN(to) ? begun : to) : Infinity, seq, ended: row.end_seq ?? 0 });
  }

  /** @param {Span} span */
  #add(span) {
    this.#all.set(span.seq, span);
    const key = `${span.kind} ${span.id}`;
    const newest = this.#newest.get(key);
    if (!newest || newest.seq < span.seq) this.#newest.set(key, span);
    if (span.outcome === 'running') this.#open.add(span);
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
        return this.#closeAll(event.seq, at, () => true);
      default:
        return false;
    }
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnStart>} data @param {number} at */
  #turnStart(event, data, at) {
    if (this.#all.has(event.seq)) return false;
    this.#closeAll(event.seq, at, () => true);
    const id = event.turn_id ?? '';
    const parts = { parent: '', turn: id, name: short(data.body), about: '', error: '', ended: 0 };
    this.#add({ kind: 'turn', id, ...parts, from: at, to: Infinity, outcome: 'running', seq: event.seq });
    return true;
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.TurnEnd>} data @param {number} at */
  #turnEnd(event, data, at) {
    const open = [...this.#open].findLast(({ kind }) => kind === 'turn');
    const turn = event.turn_id ? this.#newest.get(`turn ${event.turn_id}`) : open;
    if (!turn || turn.ended >= event.seq || turn.seq > event.seq) return false;
    this.#end(turn, event.seq, at, data.ok === false ? 'failed' : 'ok', short(data.note));
    this.#closeAll(event.seq, at, (span) => span.kind === 'call' && (!span.turn || span.turn === turn.id));
    return true;
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCallStart>} data @param {number} at */
  #callStart(event, data, at) {
    if (this.#all.has(event.seq)) return false;
    const turn = event.turn_id ?? [...this.#open].findLast(({ kind }) => kind === 'turn')?.id ?? '';
    const parts = { turn, name: short(data.tool), about: short(argumentOf(data.arguments)), parent: str(data.parent_tool_call_id), error: '', ended: 0 };
    this.#add({ kind: 'call', id: str(data.tool_call_id), ...parts, from: at, to: Infinity, outcome: 'running', seq: event.seq });
    return true;
  }

  /** @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCall>} data @param {number} at */
  #callEnd(event, data, at) {
    const id = str(data.tool_call_id);
    const outcome = data.success === false ? 'failed' : 'ok';
    const call = this.#newest.get(`call ${id}`);
    if (call && call.seq <= event.seq && call.ended >= event.seq) return false;
    if (call && call.seq < event.seq && (call.outcome === 'running' || call.outcome === 'unfinished')) {
      this.#end(call, event.seq, at, outcome, short(data.error));
      return true;
    }
    if (this.#all.has(event.seq) || (call && call.seq > event.seq)) return false;
    const parts = { parent: str(data.parent_tool_call_id), turn: event.turn_id ?? '', name: short(data.tool), about: '', error: short(data.error) };
    this.#add({ kind: 'call', id, ...parts, from: at - Math.max(0, num(data.duration_ms) ?? 0), to: at, outcome, seq: event.seq, ended: event.seq });
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
    for (const span of closed) this.#end(span, 0, at, 'unfinished', '');
    return closed.length > 0;
  }
}
