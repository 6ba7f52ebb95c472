// Which turns and calls of several sources are one: the rules of the server's views, for the events that the page has. Pure.
//
// A source tells a turn's or a call's start and end once each. Another source's word on the same is found by its id; a turn's also by its
// prompt and time, where ids differ, and a call's by tool and arguments, where one has no id, or by what it does, where one has made its own.

import { num, str } from './loose.js';
import { isSameWork, workOf } from './work.js';

/** @typedef {{ started: boolean, ended: boolean, unnamed?: boolean }} Share */
/**
 * @typedef {object} Turn
 * @property {Set<string>} ids
 * @property {Map<string, Share>} told by source
 * @property {string} prompt
 * @property {number} from milliseconds since 1970
 * @property {number} to the same; Infinity while it is open
 * @property {boolean} hasEnd whether it has an end of its own
 * @property {number} last the place up to which all is known; 0 where it was not listed
 * @property {any} row what shows it
 * @property {any} end what shows its end
 * @property {any} said what shows the last that was said in it
 * @property {any} all what shows all that was said in it as one text, while nobody has told more
 * @property {Map<string, { usage: import('./loose.js').Usage | null, cost: number | null }>} used by source
 */
/**
 * @typedef {object} Call
 * @property {string} id
 * @property {string} own the id that a source has made for it that knows no other
 * @property {Turn | undefined} turn
 * @property {string} tool
 * @property {unknown} args
 * @property {Map<string, Share>} told
 * @property {boolean} isOver
 * @property {boolean} hasEnd
 * @property {number} to when it ended, in milliseconds since 1970; Infinity where no end of its own has said it
 * @property {number} last as of a turn
 * @property {any} row
 */

/** Of how many turns, and calls, one without a known id may be: the newest. */
const NEWEST = 64;
/** How many turns, and ids of calls, are known at once: the newest. */
const TURNS = 1000;
const IDS = 10_000;
/** By how much a source may be behind what has happened, and how long before another's start it may say that a turn began: as the server has it. */
const BEHIND_MS = 2000;
const AHEAD_MS = 60_000;

/** @param {Map<string, Share>} told @param {string} source @returns {Share} */
function shareOf(told, source) {
  let share = told.get(source);
  if (!share) told.set(source, (share = { started: false, ended: false }));
  return share;
}

/** The shares of listed sources: what they told is in the list. @param {string[] | undefined} sources @param {boolean} isOver */
export const listed = (sources, isOver) => new Map((sources ?? []).map((source) => [source, { started: true, ended: isOver }]));

export class Turns {
  /** @type {Turn[]} */ #all = [];

  clear() {
    this.#all = [];
  }

  /** @param {Partial<Turn> & { from: number }} parts @returns {Turn} */
  add(parts) {
    const turn = { ids: new Set(), told: new Map(), prompt: '', to: Infinity, hasEnd: false, last: 0, row: null, end: null, said: null, all: null, used: new Map(), ...parts };
    this.#all.push(turn);
    if (this.#all.length > 2 * TURNS) this.#all = this.#all.slice(-TURNS);
    return turn;
  }

  /** The turn that an event is of. @param {Wire.Event} event */
  of({ turn_id, source }) {
    if (turn_id) return this.#all.findLast(({ ids }) => ids.has(turn_id));
    const open = this.#all.filter(({ to }) => to === Infinity);
    const isMine = (/** @type {Turn} */ { told }) => told.size > 1 && told.get(source)?.started && !told.get(source)?.ended;
    return open.findLast(({ told }) => told.has(source)) ?? this.#all.findLast(isMine) ?? open.at(-1);
  }

  /** A source tells of a start: the turn, and whether nobody has told of it before. @param {Wire.Event} event @param {string} prompt */
  begin(event, prompt) {
    const at = Date.parse(event.timestamp);
    let turn = event.turn_id ? this.of(event) : undefined;
    const share = turn?.told.get(event.source);
    // An id that its source uses again, after the end, is another turn.
    const isOther = turn && share?.started && turn.to !== Infinity && (share.ended || !turn.hasEnd) && event.seq > turn.last;
    if (isOther) turn = undefined;
    turn ??= isOther ? undefined : this.#partner(event, prompt, at);
    const isNew = !turn;
    turn ??= this.add({ from: at });
    turn.from = Math.min(turn.from, at);
    turn.prompt ||= prompt;
    this.meet(turn, event);
    shareOf(turn.told, event.source).started = true;
    return { turn, isNew };
  }

  /** @param {Wire.Event} event @param {string} prompt @param {number} at */
  #partner({ source }, prompt, at) {
    const found = this.#all.slice(-NEWEST).filter((turn) => {
      const isSame = turn.prompt.trim() === prompt.trim() && prompt !== '';
      if (turn.told.size === 0 || turn.told.has(source) || (!isSame && turn.prompt && prompt)) return false;
      const isFar = !isSame && Math.abs(turn.from - at) > AHEAD_MS;
      return turn.to + (isSame ? BEHIND_MS : 0) >= at && turn.from <= at + AHEAD_MS && !isFar;
    });
    return found.sort((a, b) => a.from - b.from)[0];
  }

  /** A source tells of it, by this id. @param {Turn} turn @param {Wire.Event} event */
  meet(turn, event) {
    shareOf(turn.told, event.source);
    if (event.turn_id) turn.ids.add(event.turn_id);
  }

  /** A source tells what was used: the turn. @param {Wire.Event} event @param {import('./loose.js').Usage | null} usage @param {number | null} cost */
  spend(event, usage, cost) {
    const turn = this.of(event) ?? this.add({ from: Date.parse(event.timestamp), ids: new Set([event.turn_id ?? '']) });
    this.meet(turn, event);
    const before = turn.used.get(event.source) ?? { usage: null, cost: null };
    turn.used.set(event.source, {
      usage: usage && before.usage ? sum(before.usage, usage) : (usage ?? before.usage),
      cost: cost === null ? before.cost : (before.cost ?? 0) + cost,
    });
    return turn;
  }

  /** A source tells of an end: the turn, and whether it is the first. `null` for one that it has told. @param {Wire.Event} event */
  end(event) {
    const turn = this.of(event) ?? this.add({ from: Date.parse(event.timestamp) });
    this.meet(turn, event);
    const share = shareOf(turn.told, event.source);
    if (share.ended) return null;
    const isFirst = !turn.hasEnd;
    const at = Date.parse(event.timestamp);
    Object.assign(turn, { hasEnd: true, to: isFirst ? at : Math.min(turn.to, at) });
    share.ended = true;
    return { turn, isFirst };
  }

  /** What is open is over, without an end of its own, but for one and what began later. @param {number} at @param {Turn} [but] */
  close(at, but) {
    for (const turn of this.#all) if (turn !== but && turn.to === Infinity && turn.from <= at) turn.to = at;
  }
}

/** @typedef {import('./loose.js').Usage} Usage */
/** @param {Usage} a @param {Usage} b @returns {Usage} */
const sum = (a, b) => ({
  input: a.input + b.input,
  output: a.output + b.output,
  read: a.read + b.read,
  written: a.written + b.written,
});

/** What was used in a turn: of one source, the one that tells most. @param {Turn} turn */
export function spent({ used }) {
  const tokens = (/** @type {import('./loose.js').Usage | null} */ usage) => (usage ? usage.input + usage.output : -1);
  const shares = [...used].sort(([x, a], [y, b]) => (b.cost ?? 0) - (a.cost ?? 0) || tokens(b.usage) - tokens(a.usage) || (x < y ? -1 : 1));
  return shares[0]?.[1] ?? { usage: null, cost: null };
}

export class Calls {
  /** @type {Map<string, Call[]>} */ #named = new Map();
  /** The newest. @type {Call[]} */ #newest = [];

  clear() {
    this.#named.clear();
    this.#newest = [];
  }

  /** @param {Partial<Call>} parts @returns {Call} */
  add(parts) {
    const call = { id: '', own: '', turn: undefined, tool: '', args: undefined, told: new Map(), isOver: false, hasEnd: false, to: Infinity, last: 0, row: null, ...parts };
    this.#newest.push(call);
    if (this.#newest.length > 4 * NEWEST) this.#newest = this.#newest.slice(-NEWEST);
    if (call.id) this.#name(call, call.id);
    return call;
  }

  /** @param {Call} call @param {string} id */
  #name(call, id) {
    const same = this.#named.get(id);
    if (same) same.push(call);
    else this.#named.set(id, [call]);
    if (this.#named.size > IDS) this.#named.delete(this.#named.keys().next().value ?? '');
  }

  /** The newest call of an id. @param {string} id */
  of(id) {
    return id ? this.#named.get(id)?.at(-1) : undefined;
  }

  /**
   * The oldest call that does the same and that this source has not told of: of this tool with these arguments, where either of the two has no id
   * and it was not over before; in this turn, where either has made its own id.
   * @param {Pick<Call, 'id' | 'own' | 'turn' | 'tool' | 'args'>} mine @param {string} source @param {number} began NaN where that is not known
   */
  #others({ id, own, turn, tool, args }, source, began) {
    if (args === undefined) return undefined;
    const work = workOf(tool, args);
    const isSame = (/** @type {Call} */ other) => {
      if (other.told.has(source)) return false;
      if (own || other.own) {
        const isOneOwn = own ? other.own === '' : other.id === other.own || !id;
        return isOneOwn && turn !== undefined && other.turn === turn && other.args !== undefined && isSameWork(workOf(other.tool, other.args), work);
      }
      return other.tool === tool && !(id && other.id) && !(other.to + BEHIND_MS < began) && isEqual(other.args, args);
    };
    return this.#newest.slice(-NEWEST).find(isSame);
  }

  /**
   * A source tells of a start: the call, and whether nobody has told of it before.
   * @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCallStart>} data @param {Turn} [turn] that it is of
   */
  begin({ source, seq, turn_id, timestamp }, data, turn) {
    const [id, tool] = [str(data.tool_call_id), str(data.tool)];
    const own = turn_id && id.startsWith(`${turn_id}.`) ? id : '';
    const same = this.#named.get(id) ?? [];
    let call = same.find(({ told }) => !told.get(source)?.started);
    const newest = same.at(-1);
    const isOver = newest && newest.isOver && (newest.told.get(source)?.ended || !newest.hasEnd) && seq > newest.last;
    if (!call && newest && !isOver) call = newest;
    call ??= this.#others({ id, own, turn, tool, args: data.arguments }, source, Date.parse(timestamp));
    const isNew = !call;
    call ??= this.add({ id, own, turn, tool, args: data.arguments });
    if (id && id !== call.id && (own || !call.id || call.id === call.own)) {
      if (own) call.own = own;
      if (!own || !call.id) call.id = id;
      this.#name(call, id);
    }
    call.turn ??= turn;
    call.args ??= data.arguments;
    Object.assign(shareOf(call.told, source), { started: true, unnamed: !id });
    return { call, isNew };
  }

  /**
   * A source tells of an end: the call, whether nobody has told of it before, and whether it is the first end. `null` for one that it has told.
   * @param {Wire.Event} event @param {Wire.Loose<Wire.ToolCall>} data
   */
  end({ source, seq, timestamp }, data) {
    const [id, tool, at] = [str(data.tool_call_id), str(data.tool), Date.parse(timestamp)];
    const args = /** @type {{ arguments?: unknown }} */ (data).arguments;
    /** @param {Call} call */
    const isMine = ({ told }) => told.get(source)?.started && !told.get(source)?.ended;
    const same = id ? (this.#named.get(id) ?? []) : this.#newest.filter((call) => call.told.get(source)?.unnamed && call.tool === tool && (args === undefined || isEqual(call.args, args)));
    const found = id ? same.findLast(isMine) : same.find((call) => isMine(call) && (!call.isOver || call.hasEnd));
    // Some sources tell no starts.
    const unnamed = () => this.#others({ id, own: '', turn: undefined, tool, args }, source, at - (num(data.duration_ms) ?? NaN));
    const other = id ? same.find(({ told }) => !told.get(source)?.ended) : found ? undefined : unnamed();
    if (id && !found && !other && same.length > 0) return null;
    const isNew = !found && !other;
    const call = found ?? other ?? this.add({ id, tool, args });
    if (seq <= call.last && call.hasEnd) return null;
    const isFirst = !call.hasEnd;
    Object.assign(call, { hasEnd: true, isOver: true, to: Math.min(call.to, at) });
    Object.assign(shareOf(call.told, source), { ended: true, ...(id ? {} : { unnamed: true }) });
    return { call, isNew, isFirst };
  }
}

/** @param {unknown} a @param {unknown} b @returns {boolean} */
function isEqual(a, b) {
  if (a === b || typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [x, y] = [Object.entries(a), /** @type {Record<string, unknown>} */ (b)];
  return Array.isArray(a) === Array.isArray(b) && x.length === Object.keys(y).length && x.every(([key, value]) => Object.hasOwn(y, key) && isEqual(value, y[key]));
}

/** The lesser of two that may be there. @param {number | null} a @param {unknown} b */
export function least(a, b) {
  const other = num(b);
  return a === null || other === null ? (a ?? other) : Math.min(a, other);
}
