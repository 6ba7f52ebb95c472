import assert from 'node:assert/strict';
import test from 'node:test';
import { Timeline } from '../store.js';
import { Summary } from '../summary.js';
import { producer } from '../testing/events.js';

const p = producer('s');

/** Gives events their places, as the log does. @param {object[]} events @param {number} [from] @returns {Wire.Event[]} */
const placed = (events, from = 1) => events.map((event, at) => /** @type {Wire.Event} */ ({ seq: from + at, id: `id-${from + at}`, ...event }));

/** @param {Wire.Event[]} events */
function timeline(events) {
  const made = new Timeline();
  made.add(events);
  return made;
}

/** The parts of items that their tests are about. @param {Timeline} made */
const brief = (made) => made.items.map((item) => [item.kind, 'text' in item ? item.text : 'tool' in item ? item.tool : '']);

const RUN = placed([
  p.start(),
  p.turn('Do it'),
  p.delta('Hel'),
  p.delta('lo'),
  p.message('Hello'),
  p.toolStart('a', 'Bash', { command: 'ls' }),
  p.event('tool_progress', { tool_call_id: 'a', content: 'one\n' }),
  p.event('tool_progress', { tool_call_id: 'a', content: 'two\n' }),
  p.usage(),
  p.toolEnd('a', 'Bash', 'one\ntwo\n'),
  p.message('Done.', 'm-2'),
  p.turnEnd(),
  p.end(),
]);

test('deltas are appended to the open message, and the final one replaces them', () => {
  const made = timeline(RUN.slice(0, 4));
  const open = made.items.at(-1);
  assert.deepEqual([open?.kind, open?.kind === 'message' && [open.text, open.open]], ['message', ['Hello', true]]);
  made.add(placed([p.message('Hello!')], 5));
  const whole = made.items.at(-1);
  assert.deepEqual(whole?.kind === 'message' && [whole.text, whole.open, whole.deltas.length], ['Hello!', false, 0]);
  assert.equal(made.items.length, 3);
});

test('two blocks of one message are two rows', () => {
  const made = timeline(placed([p.delta('a'), p.message('a'), p.delta('b'), p.message('b')]));
  assert.deepEqual(brief(made), [['message', 'a'], ['message', 'b']]);
});

test('messages of a subagent do not mix with those around them', () => {
  const inside = (/** @type {string} */ content) => p.event('text_delta', { content, parent_tool_call_id: 'task-1' });
  const outside = (/** @type {string} */ content) => p.event('text_delta', { content });
  const made = timeline(placed([outside('a'), inside('x'), outside('b'), inside('y')]));
  assert.deepEqual(brief(made), [['message', 'ab'], ['message', 'xy']]);
  assert.deepEqual(made.items.map((item) => item.nested), [false, true]);
});

test('a tool call has its arguments from its start and its outcome from its end', () => {
  const made = timeline(RUN.slice(0, 8));
  const running = made.items.at(-1);
  assert.ok(running?.kind === 'tool');
  assert.deepEqual([running.state, running.progress, running.args], ['running', 'one\ntwo\n', { command: 'ls' }]);
  made.add(RUN.slice(8));
  const done = made.items.find((item) => item.kind === 'tool');
  assert.ok(done?.kind === 'tool');
  assert.deepEqual([done.state, done.output, done.duration, done.args], ['done', 'one\ntwo\n', 1234, { command: 'ls' }]);
});

test('arguments that are still being written become those of the call', () => {
  const piece = (/** @type {string} */ arguments_delta) => p.event('tool_progress', { tool_call_id: 'a', tool: 'Bash', arguments_delta });
  const made = timeline(placed([piece('{"command":'), piece('"ls"}')]));
  const [item] = made.items;
  assert.ok(item.kind === 'tool');
  assert.deepEqual([item.draft, item.started], ['{"command":"ls"}', false]);
  made.add(placed([p.toolStart('a', 'Bash', { command: 'ls' }), p.toolEnd('a', 'Bash', '')], 3));
  assert.equal(made.items.length, 1);
  assert.deepEqual([item.args, item.draft, item.state], [{ command: 'ls' }, '', 'done']);
});

test('a call that its turn leaves behind is told as not finished', () => {
  const made = timeline(placed([p.turn('x'), p.toolStart('a', 'Bash', {}), p.turnEnd(false)]));
  const tool = made.items[1];
  assert.equal(tool.kind === 'tool' && tool.state, 'unfinished');
});

test("a turn's end has its usage, or else the sum of what came before", () => {
  const said = timeline(RUN).items.find((item) => item.kind === 'end');
  assert.deepEqual(said?.kind === 'end' && said.usage, { input: 1515, output: 253, read: 8848, written: 900 });
  const summed = timeline(placed([p.turn('x'), p.usage(10, 1), p.usage(20, 2), p.event('turn_end', { ok: true })])).items.at(-1);
  assert.deepEqual(summed?.kind === 'end' && summed.usage, { input: 30, output: 3, read: 17696, written: 0 });
});

test('a prompt that is said twice is shown once', () => {
  const made = timeline(placed([p.turn('Do it'), p.event('message', { role: 'user', content: 'Do it\n' })]));
  assert.deepEqual(brief(made), [['turn', 'Do it']]);
});

test('every event is kept by exactly one item, and repeats are passed over', () => {
  const events = placed([...RUN, p.event('made_up', { a: 1 }), p.event('raw', {}), p.event('memory', { action: 'recall' })]);
  const made = timeline(events);
  made.add(events);
  made.add(events.slice(3, 9));
  const whole = events.filter(({ type }) => !['text_delta', 'tool_progress'].includes(type)).map(({ seq }) => seq);
  const kept = made.items.flatMap((item) => item.events.map(({ seq }) => seq));
  assert.deepEqual(kept.sort((a, b) => a - b), whole);
});

test('older events before the window give the same as all at once', () => {
  const all = timeline(RUN);
  for (let cut = 1; cut < RUN.length; cut += 1) {
    const made = timeline(RUN.slice(cut));
    made.prepend(RUN.slice(0, cut));
    assert.deepEqual(brief(made), brief(all), `cut at ${cut}`);
  }
});

test('a row stays itself when older events come before it', () => {
  const made = timeline(RUN.slice(2));
  const keys = made.items.map(({ key }) => key);
  made.prepend(RUN.slice(0, 2));
  assert.deepEqual(made.items.slice(2).map(({ key }) => key), keys);
});

test('an open message stays open when older events come', () => {
  const made = timeline(RUN.slice(2, 3));
  made.prepend(RUN.slice(0, 2));
  made.add(RUN.slice(3, 4));
  assert.deepEqual(brief(made).at(-1), ['message', 'Hello']);
});

test('the window is cut at either end without losing what stays', () => {
  const events = placed(Array.from({ length: 50 }, (_, at) => p.event('note', { text: `n${at}` })));
  const newest = timeline(events);
  newest.keepNewest(10);
  assert.deepEqual([newest.items.length, newest.first, newest.last], [10, 41, 50]);
  const oldest = timeline(events);
  oldest.keepOldest(10);
  assert.deepEqual([oldest.items.length, oldest.first, oldest.last], [10, 1, 10]);
  oldest.add(events.slice(10));
  assert.deepEqual(brief(oldest), brief(timeline(events)));
});

test('a gap is shown at its place, also after older events came', () => {
  const made = timeline(placed([p.event('note', { text: 'a' })], 10));
  made.addGap({ after: 10, next: 20, reason: 'trimmed' });
  made.add(placed([p.event('note', { text: 'b' })], 20));
  made.prepend(placed([p.event('note', { text: 'z' })], 9));
  assert.deepEqual(made.items.map(({ kind }) => kind), ['text', 'text', 'gap', 'text']);
});

test('bodies of the wrong shape do no harm', () => {
  const kinds = ['session_start', 'session_end', 'turn_start', 'turn_end', 'message', 'text_delta', 'reasoning', 'tool_call_start'];
  kinds.push('tool_progress', 'tool_call', 'usage', 'note', 'error', 'approval_request', 'approval_decision', 'grader_result', 'command', 'command_state');
  kinds.push('turn_state_changed', 'run_complete', 'history_trimmed', 'constructor', '__proto__', 'toString');
  const bodies = [{}, { content: { a: 1 }, usage: [], duration_ms: 'x', tool: 7, text: null }, null, [], 'text', 5];
  const events = kinds.flatMap((type) => bodies.map((data) => ({ ...p.event(type, {}), data })));
  const made = timeline(placed(events));
  const summary = Summary.from('s', placed(events)[0]);
  for (const event of placed(events)) summary.apply(event);
  assert.ok(made.items.length > kinds.length);
  for (const item of made.items) if ('text' in item) assert.equal(typeof item.text, 'string');
  assert.equal(summary.session.value.last_seq, events.length);
});

/** @param {string} id @param {string} state @param {object} [more] */
const step = (id, state, more = {}) => p.event('command_state', { command_id: id, state, ...more }, { source: 'turnwire' });
/** @param {string} id @param {string} content */
const said = (id, content) => [
  p.event('command', { command_id: id, action: 'message', arguments: { content }, actor: 'me' }, { source: 'turnwire' }),
  p.event('message', { role: 'user', content, message_id: id }, { source: 'turnwire' }),
];

test('a message that was ordered is one row with its steps and the turn that it begins', () => {
  const run = [...said('c-1', 'Go on'), step('c-1', 'delivered'), step('c-1', 'acked'), p.start(), p.turn('Go on', 'c-1'), p.message('Yes.'), p.turnEnd(), step('c-1', 'done')];
  const made = timeline(placed(run));
  assert.deepEqual(brief(made), [['command', 'Go on'], ['mark', ''], ['message', 'Yes.'], ['end', '']]);
  const [row] = made.items;
  assert.deepEqual(row.kind === 'command' && [row.order.state, row.begun, row.events.length], ['done', false, 6]);
  const seqs = made.items.flatMap((item) => item.events.map(({ seq }) => seq));
  assert.deepEqual(seqs.sort((a, b) => a - b), run.map((_, at) => at + 1));
});

test('one that waits for the turn before has its place, and its turn another', () => {
  const made = timeline(placed([p.turn('First'), ...said('c-2', 'Second'), p.message('Done.'), p.turnEnd(), p.turn('Second', 'c-2'), step('c-2', 'acked')]));
  assert.deepEqual(brief(made).map(([kind]) => kind), ['turn', 'command', 'message', 'end', 'turn']);
  const order = made.items[1];
  assert.deepEqual(order.kind === 'command' && [order.begun, order.order.state], [true, 'acked']);
  assert.equal(made.turn, 'c-2');
});

test('of an approval the first decision counts, of its own session and in one of four words', () => {
  const elsewhere = producer('other');
  const asked = [p.ask('a', 'Bash', {}), p.ask('a', 'Other', {}), p.decide('a', 'maybe'), elsewhere.decide('a', 'approved')];
  const made = timeline(placed([...asked, p.decide('a', 'denied', { by: 'x' }), p.decide('a', 'approved', { by: 'y' })]));
  assert.equal(made.items.length, 1);
  const [item] = made.items;
  assert.deepEqual(item.kind === 'approval' && [item.approval.tool, item.approval.state, item.approval.by], ['Bash', 'denied', 'x']);
  const before = timeline(placed(asked)).items[0];
  assert.equal(before.kind === 'approval' && before.approval.state, 'pending');
});

test('a summary follows what its session does', () => {
  const summary = Summary.from('s', RUN[0]);
  const states = RUN.map((event) => {
    summary.apply(event);
    return `${summary.session.value.state}${summary.tool.value && ` ${summary.tool.value}`}`;
  });
  assert.deepEqual(states.filter((state, at) => state !== states[at - 1]), ['idle', 'thinking', 'running_tool Bash', 'thinking', 'idle', 'done']);
  const { title, last_text, model, turns, tool_calls, events, cost_usd } = summary.session.value;
  assert.deepEqual([title, last_text, model, turns, tool_calls, cost_usd], ['Do it', 'Done.', 'claude-sonnet-4-5', 1, 1, 0.0144]);
  assert.equal(events, 9);
  for (const event of RUN) summary.apply(event);
  assert.equal(summary.session.value.turns, 1, 'what it has already is passed over');
});

test('a summary goes offline with its agent and comes back with it, and what is heard wakes a stalled one', () => {
  const summary = Summary.from('s', RUN[0]);
  const heard = (/** @type {object[]} */ ...events) => {
    for (const event of placed(events, summary.session.value.last_seq + 1)) {
      if (event.session_id) summary.apply(event);
      else summary.agent(event);
    }
    return summary.session.value.state;
  };
  const agent = (/** @type {string} */ type) => ({ ...p.event(type, {}), session_id: undefined });
  assert.equal(heard(p.turn('x'), p.ask('a', 'Bash', {}), p.state('thinking')), 'needs_approval', 'it stands still while it waits');
  assert.equal(heard(agent('agent_offline')), 'offline');
  assert.equal(heard(agent('agent_online')), 'needs_approval');
  assert.equal(heard(p.ask('b', 'Bash', {}), p.decide('a', 'denied')), 'needs_approval');
  assert.equal(heard(p.decide('b', 'denied')), 'thinking');
  assert.equal(heard(p.state('stalled')), 'stalled');
  assert.equal(heard(p.message('still here')), 'thinking');
  assert.equal(heard(p.end(), agent('agent_offline')), 'done');
});

test('a message of very many pieces stays one row of few events, also when all is folded again', () => {
  const pieces = Array.from({ length: 3000 }, (_, at) => p.delta(`${at} `));
  const made = timeline(placed([p.turn('x'), ...pieces], 10));
  const [, before] = made.items;
  made.prepend(placed([p.start()]));
  const row = made.items[2];
  assert.ok(row.kind === 'message' && before.kind === 'message');
  assert.equal(row.text, pieces.map(({ data }) => /** @type {any} */ (data).content).join(''));
  assert.deepEqual([row.key, row.deltas.length <= 400], [before.key, true]);
});

test('a window is cut by what its events weigh, too', () => {
  const made = timeline(placed(Array.from({ length: 40 }, () => p.event('note', { text: 'x'.repeat(100_000) }))));
  assert.ok(made.weight > 4e6);
  made.keepNewest(100, 1e6);
  assert.deepEqual([made.items.length, made.last], [9, 40]);
  assert.ok(made.weight < 1e6);
});

test('what comes after the window changes its rows, and no more than them', () => {
  const made = timeline(placed([p.ask('a', 'Bash', {}), ...said('c', 'Go on'), p.toolStart('t', 'Read', {})]));
  made.addLate(placed([p.event('note', { text: 'far' }), p.decide('a', 'denied'), step('c', 'acked'), p.toolEnd('t', 'Read', 'all')], 100));
  const told = () => made.items.map((item) => (item.kind === 'approval' ? item.approval.state : item.kind === 'command' ? item.order.state : item.kind === 'tool' ? item.state : item.kind));
  assert.deepEqual([told(), made.last], [['denied', 'acked', 'done'], 4]);
  made.prepend([]);
  assert.deepEqual(told(), ['denied', 'acked', 'done'], 'also when all is folded again');
});

test('each event has a row of its own where they are wanted as they came', () => {
  const made = new Timeline({ raw: true });
  made.add(RUN);
  assert.deepEqual(made.items.map(({ kind, events, deltas }) => [kind, (events[0] ?? deltas[0]).seq]), RUN.map(({ seq }) => ['raw', seq]));
});
