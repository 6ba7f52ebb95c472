// One run that several sources tell of, one among the other: each turn, message, call and token is there once.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Spans } from '../spans.js';
import { Timeline } from '../store.js';
import { Summary } from '../summary.js';

const FROM = Date.parse('2026-01-02T10:00:00Z');
const PROMPTS = ['continue', 'what is new?', 'continue'];

/** What one source tells: three turns, two of them with the same prompt, one without a call. @param {string} source @returns {any[]} */
function told(source) {
  const behind = source === 'printed' ? 5 : source === 'hooks' ? 0 : 9;
  /** @type {any[]} */ const events = [];
  const tell = (/** @type {number} */ at, /** @type {string} */ turn_id, /** @type {string} */ type, /** @type {object} */ data) =>
    events.push({ type, source, session_id: 's', turn_id: turn_id || undefined, timestamp: new Date(FROM + at + behind).toISOString(), data });
  tell(0, '', 'session_start', { model: 'm' });
  PROMPTS.forEach((body, n) => {
    const [at, id] = [n * 10_000 + 100, source === 'printed' ? `t-${n}` : `vendor-${n}`];
    tell(at, id, 'turn_start', { from: 'user', body, unread: 0 });
    tell(at, id, 'message', { role: 'user', content: body });
    if (source === 'printed') tell(at + 400, id, 'text_delta', { content: 'Well', message_id: `m-${n}` });
    const message_id = source === 'hooks' ? `uuid-${n}` : `m-${n}`;
    tell(at + 500, id, 'message', { role: 'assistant', content: 'Well then.', message_id });
    if (n !== 1) {
      tell(at + 600, id, 'tool_call_start', { tool: 'Bash', tool_call_id: `c-${n}`, arguments: source === 'telemetry' ? undefined : { command: 'ls' } });
      const output = source === 'telemetry' ? undefined : 'out';
      tell(at + 700, id, 'tool_call', { tool: 'Bash', tool_call_id: `c-${n}`, success: n === 0, output, duration_ms: source === 'telemetry' ? 30 : 40 });
    }
    tell(at + 900, id, 'message', { role: 'assistant', content: `Done ${n}.` });
    const usage = { input_tokens: 10, output_tokens: 20 };
    if (source === 'telemetry') tell(at + 950, id, 'usage', { ...usage, cost_usd: 0.25 });
    else if (source === 'printed') {
      tell(at + 950, id, 'usage', { ...usage, cost_usd: 0.25 });
      tell(at + 1000, id, 'turn_end', { ok: true, usage, cost_usd: 0.25 });
    } else tell(at + 990, id, 'turn_end', { ok: true });
  });
  if (source !== 'telemetry') tell(60_000, '', 'session_end', { exit_code: 0 });
  return events;
}

/** Each source's in its own order, and places as they then stand. @param {string[]} sources @param {number} seed @returns {Wire.Event[]} */
function shuffled(sources, seed) {
  let dice = BigInt(seed);
  const below = (/** @type {number} */ most) => Number((dice = (dice * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn) >> 33n) % most;
  let rest = sources.map((source) => told(source).reverse());
  const all = [];
  while (rest.length > 0) {
    const one = rest[below(rest.length)];
    for (let n = below(3) * below(12); n >= 0 && one.length > 0; n -= 1) all.push(one.pop());
    rest = rest.filter((events) => events.length > 0);
  }
  return all.map((event, at) => ({ ...event, seq: at + 1, id: `id-${at}` }));
}

const SUBSETS = [['printed'], ['printed', 'hooks'], ['hooks', 'telemetry'], ['printed', 'telemetry'], ['printed', 'hooks', 'telemetry']];

/** Orders of every subset. @param {(events: Wire.Event[], context: string) => void} check */
function everyOrder(check) {
  for (const sources of SUBSETS) for (let seed = 1; seed <= 40; seed += 1) check(shuffled(sources, seed), `${sources} ${seed}`);
}

test('a conversation has each turn, message and call once, in whatever order sources tell of it', () => {
  everyOrder((events, context) => {
    const timeline = new Timeline();
    timeline.add(events);
    const of = (/** @type {string} */ kind) => /** @type {any[]} */ (timeline.items.filter((item) => item.kind === kind));
    assert.deepEqual(of('turn').map(({ text }) => text).sort(), [...PROMPTS].sort(), context);
    const words = ['Well then.', 'Well then.', 'Well then.', 'Done 0.', 'Done 1.', 'Done 2.'];
    assert.deepEqual(of('message').map(({ text }) => text).sort(), [...words].sort(), context);
    assert.deepEqual(of('tool').map(({ id, state, output, args }) => [id, state, output, args]).sort(), [['c-0', 'done', 'out', { command: 'ls' }], ['c-2', 'failed', 'out', { command: 'ls' }]], context);
    assert.equal(of('end').length, 3, context);
    if (!context.startsWith('hooks,telemetry')) for (const { usage, cost } of of('end')) assert.deepEqual([usage.input, usage.output, cost], [10, 20, 0.25], context);
    assert.equal(of('mark').length, 2, context);
    const kept = timeline.items.flatMap((item) => item.events.map(({ seq }) => seq));
    assert.equal(new Set(kept).size, kept.length, `each event is kept once: ${context}`);
    assert.equal(kept.length, events.filter(({ type }) => type !== 'text_delta').length, context);
  });
});

test('a timeline has a bar for each turn and call, and they are where they are in whatever order sources tell of them', () => {
  /** @type {Map<string, unknown>} */ const first = new Map();
  everyOrder((events, context) => {
    const spans = new Spans();
    for (const event of events) spans.apply(event);
    const bars = spans.list().map(({ kind, name, about, from, to, outcome }) => [kind, name, about, from - FROM, to - FROM, outcome]);
    assert.equal(bars.length, 5, context);
    const sources = context.split(' ')[0];
    if (!first.has(sources)) first.set(sources, bars);
    assert.deepEqual(bars, first.get(sources), context);
  });
});

test('the list of sessions counts a turn and a call once', () => {
  everyOrder((events, context) => {
    const summary = Summary.from('s', events[0]);
    for (const event of events) summary.apply(event);
    const { turns, tool_calls, state, cost_usd } = summary.session.value;
    assert.deepEqual([turns, tool_calls, state], [3, 2, 'done'], context);
    if (context.startsWith('printed')) assert.equal(cost_usd, 0.75, context);
  });
});

/** A source without ids of turns and calls; `telemetry` tells no starts of calls. @param {string} source @param {[string, object][]} told @param {number} behind */
const unnamed = (source, told, behind) =>
  told.map(([type, data], n) => ({ type, source, session_id: 's', timestamp: new Date(FROM + n * 1000 + behind).toISOString(), data }));

test('two calls that are alike are two, also where sources have no ids and no starts of them', () => {
  const [tool, args] = ['sh', { command: 'ls' }];
  const start = { from: 'user', body: 'go', unread: 0 };
  const printed = ['a', 'b'].flatMap((tool_call_id) => /** @type {[string, object][]} */ ([
    ['tool_call_start', { tool, tool_call_id, arguments: args }],
    ['tool_call', { tool, tool_call_id, success: true, output: 'out' }],
  ]));
  /** @type {[string, object]} */ const ended = ['tool_call', { tool, tool_call_id: '', success: true, duration_ms: 500, arguments: args }];
  const sources = [
    unnamed('printed', [['turn_start', start], ...printed], 0),
    unnamed('telemetry', [['turn_start', start], ['note', {}], ended, ['note', {}], ended], 7),
  ];
  for (const order of [[0, 1], [1, 0]]) {
    const timeline = new Timeline();
    timeline.add(/** @type {any} */ (order.flatMap((at) => sources[at]).map((event, at) => ({ ...event, seq: at + 1, id: `id-${at}` }))));
    const rows = /** @type {any[]} */ (timeline.items.filter(({ kind }) => kind === 'tool'));
    assert.deepEqual(rows.map(({ id, output }) => [id, output]), [['a', 'out'], ['b', 'out']], String(order));
  }
});

test('all that was said in a turn as one text is shown where nobody tells more, and gives way to who does', () => {
  const start = { from: 'user', body: 'go', unread: 0 };
  const said = (/** @type {string} */ content, more = {}) => /** @type {[string, object]} */ (['message', { role: 'assistant', content, ...more }]);
  const printed = unnamed('printed', [['turn_start', start], said('First.'), said('Last.'), ['turn_end', { ok: true }]], 0);
  const hooks = unnamed('hooks', [['turn_start', start], ['note', {}], said('First.\nLast.', { whole_turn: true }), ['turn_end', { ok: true }]], 7);
  /** @param {any[]} events */
  const shown = (events) => {
    const timeline = new Timeline();
    timeline.add(events.map((event, at) => ({ ...event, seq: at + 1, id: `id-${at}` })));
    const kept = timeline.items.flatMap((item) => item.events.map(({ seq }) => seq));
    assert.equal(kept.length, events.length, 'no event is lost');
    return timeline.items.filter(({ kind }) => kind === 'message').map((item) => /** @type {any} */ (item).text);
  };
  assert.deepEqual(shown(hooks), ['First.\nLast.']);
  for (const events of [[...printed, ...hooks], [...hooks, ...printed], [hooks[0], printed[0], printed[1], hooks[1], hooks[2], printed[2], hooks[3], printed[3]]]) {
    assert.deepEqual(shown(events), ['First.', 'Last.']);
  }
});
