import assert from 'node:assert/strict';
import test from 'node:test';
import { Axis } from '../axis.js';
import { place } from '../lanes.js';
import { Spans } from '../spans.js';
import { producer } from '../testing/events.js';

const p = producer('s');
const START = Date.parse('2026-01-02T10:00:00Z');

/** A second apart each. @param {object[]} events @returns {Wire.Event[]} */
const placed = (events) =>
  events.map((event, at) => /** @type {Wire.Event} */ ({ ...event, seq: at + 1, id: `id-${at}`, timestamp: new Date(START + at * 1000).toISOString() }));

/** @param {Wire.Event[]} events */
function spansOf(events) {
  const spans = new Spans();
  for (const event of events) spans.apply(event);
  return spans;
}

/** @param {Spans} spans */
const brief = (spans) => spans.list().map(({ kind, id, from, to, outcome }) => [kind, id, (from - START) / 1000, (to - START) / 1000, outcome]);

/** @param {string} id @param {number} from @param {number} to @param {string} [parent] @returns {import('../spans.js').Span} */
const call = (id, from, to, parent = '') => ({ kind: 'call', id, parent, turn: 't', name: id, about: '', from, to, outcome: 'ok', error: '', seq: from + 1, ended: to });

test('a span begins and ends as its events say, and what nothing ends is told as such', () => {
  const spans = spansOf(placed([p.turn('x'), p.toolStart('a', 'Bash', {}), p.toolEnd('a', 'Bash', '', false), p.toolStart('b', 'Bash', {}), p.event('turn_end', { ok: true }, { turn_id: 't-1' }), p.turn('y', 't-2')]));
  assert.deepEqual(brief(spans), [
    ['turn', 't-1', 0, 4, 'ok'],
    ['call', 'a', 1, 2, 'failed'],
    ['call', 'b', 3, 4, 'unfinished'],
    ['turn', 't-2', 5, Infinity, 'running'],
  ]);
  assert.ok(spans.isRunning);
});

test('an event that the rows have already changes nothing', () => {
  const events = placed([p.turn('x'), p.toolStart('a', 'Bash', {}), p.toolEnd('a', 'Bash', ''), p.event('turn_end', { ok: true }, { turn_id: 't-1' })]);
  const times = (/** @type {number} */ from, /** @type {number} */ to) => ({ started: events[from].timestamp, ended: events[to].timestamp, session_id: 's' });
  const spans = new Spans();
  spans.takeTurns([{ ...times(0, 3), turn_id: 't-1', prompt: 'x', ok: true, first_seq: 1, start_seq: 1, end_seq: 4, last_seq: 4 }]);
  spans.takeCalls([{ ...times(1, 2), tool_call_id: 'a', tool: 'Bash', outcome: 'ok', first_seq: 2, start_seq: 2, end_seq: 3, last_seq: 3 }]);
  const before = brief(spans);
  assert.deepEqual(events.map((event) => spans.apply(event)), [false, false, false, false]);
  assert.deepEqual(brief(spans), before);
  assert.deepEqual(before, brief(spansOf(events)), 'rows and events say the same');
});

test('the own end of a call that was told as unfinished counts instead', () => {
  const spans = spansOf(placed([p.turn('x'), p.toolStart('a', 'Bash', {}), p.event('turn_end', { ok: true }, { turn_id: 't-1' }), p.toolEnd('a', 'Bash', '')]));
  assert.deepEqual(brief(spans)[1], ['call', 'a', 1, 3, 'ok']);
});

test('no two bars of a lane overlap, and what a subagent did is right below its call', () => {
  const { placed: bars, lanes } = place([call('task', 0, 100), call('in', 10, 40, 'task'), call('beside', 20, 30), call('in-2', 30, 60, 'task'), call('deep', 31, 50, 'in-2'), call('after', 100, 110)]);
  for (const a of bars) for (const b of bars) if (a !== b && a.lane === b.lane) assert.ok(a.to <= b.from || b.to <= a.from, `${a.id} and ${b.id}`);
  const lane = Object.fromEntries(bars.map((bar) => [bar.id, bar.lane]));
  assert.ok(lane.in > lane.task && lane['in-2'] > lane.task && lane.deep > lane['in-2']);
  assert.ok(lane.beside > Math.max(lane.in, lane['in-2'], lane.deep), 'nothing stands between a call and its own');
  assert.equal(lane.after, lane.task, 'room is used again');
  assert.equal(lanes, Math.max(...bars.map((bar) => bar.lane)) + 1);
});

test('a zoom keeps the time under the pointer where it is, and no part is beyond what there is', () => {
  const axis = new Axis();
  axis.setAll(0, 100_000);
  const at = axis.time(300, 1000);
  axis.zoom(4, at);
  assert.ok(Math.abs(axis.x(at, 1000) - 300) < 0.001);
  for (let times = 0; times < 100; times += 1) axis.pan(50_000);
  assert.ok(axis.range.from < 100_000 && axis.range.to > 100_000);
  for (let times = 0; times < 100; times += 1) axis.zoom(2);
  assert.ok(axis.range.to - axis.range.from >= 20 - 1e-6);
  for (let times = 0; times < 100; times += 1) axis.zoom(0.5);
  assert.ok(axis.isWhole);
});

test('who looks at the end goes on with it, and who looks at a part stays there', () => {
  const axis = new Axis();
  axis.setAll(0, 1000);
  axis.zoom(2, 1000);
  const end = axis.range.to;
  axis.setAll(0, 1500);
  assert.equal(axis.range.to - end, 500);
  axis.pan(-700);
  const { from } = axis.range;
  axis.setAll(0, 3000);
  assert.equal(axis.range.from, from);
});
