import assert from 'node:assert/strict';
import test from 'node:test';
import { Player, SILENCE_MS } from '../player.js';
import { Timeline } from '../store.js';
import { producer } from '../testing/events.js';

const p = producer('s');
const START = Date.parse('2026-01-02T10:00:00Z');

/** Events with their places, each so many milliseconds after the first. @param {[number, object][]} timed @returns {Wire.Event[]} */
const placed = (timed) =>
  timed.map(([ms, event], at) => /** @type {Wire.Event} */ ({ ...event, seq: 10 * (at + 1), id: `id-${at}`, timestamp: new Date(START + ms).toISOString() }));

const RUN = placed([
  [0, p.start()],
  [100, p.turn('Do it')],
  [200, p.delta('Hel')],
  [300, p.delta('lo')],
  [400, p.message('Hello')],
  [500, p.ask('q', 'Bash', { command: 'ls' })],
  [60_500, p.decide('q', 'approved', { by: 'ann' })],
  [60_600, p.toolStart('a', 'Bash', { command: 'ls' })],
  [60_700, p.event('tool_progress', { tool_call_id: 'a', content: 'one\n' })],
  [60_800, p.toolEnd('a', 'Bash', 'one\n')],
  [60_900, p.turnEnd()],
]);

/** A clock that goes when it is told to. */
class Hand {
  #time = 0;
  /** @type {Set<() => void>} */ #calls = new Set();
  now = () => this.#time;
  /** @param {() => void} call */
  every = (call) => {
    this.#calls.add(call);
    return () => void this.#calls.delete(call);
  };

  /** Frames of 10 ms each. @param {number} ms */
  go(ms) {
    for (const end = this.#time + ms; this.#time < end; ) {
      this.#time += 10;
      for (const call of [...this.#calls]) call();
    }
  }
}

/** What has been asked for has come. */
const settled = () => new Promise((done) => setImmediate(done));

/** @param {Wire.Event[]} log @param {number} [page] */
async function player(log, page = 4) {
  const clock = new Hand();
  const timeline = new Timeline();
  const read = async (/** @type {number} */ after) => {
    const behind = log.filter(({ seq }) => seq > after);
    return { events: behind.slice(0, page), more: behind.length > page };
  };
  const made = new Player({ read, show: (events) => timeline.add(events), clock });
  timeline.add(log.slice(0, 1));
  made.begin(log[0]);
  await settled();
  return { made, clock, timeline };
}

/** Rows, as far as they can be seen. @param {Timeline} timeline */
const rows = (timeline) =>
  timeline.items.map(({ events, deltas, rev: _rev, ...seen }) => ({ ...seen, events: events.map(({ seq }) => seq), deltas: deltas.map(({ seq }) => seq) }));

/** @param {Wire.Event[]} log @param {number} seq */
function fresh(log, seq) {
  const timeline = new Timeline();
  timeline.add(log.filter((event) => event.seq <= seq));
  return rows(timeline);
}

test('at each moment a replay shows the rows of a fresh store fed with the events up to it', async () => {
  const { made, clock, timeline } = await player(RUN);
  const seen = new Set();
  made.play();
  for (let frames = 0; frames < 2000 && made.playing.value; frames += 1) {
    clock.go(10);
    await settled();
    if (seen.has(made.place.value)) continue;
    seen.add(made.place.value);
    assert.deepEqual(rows(timeline), fresh(RUN, made.place.value), `at ${made.place.value}`);
  }
  assert.deepEqual([...seen], RUN.map(({ seq }) => seq), 'each event had its own moment');
  assert.ok(made.atEnd.value && !made.playing.value);
});

test('events come when their times say, sooner at a higher speed', async () => {
  for (const [speed, ms] of [[1, 400], [4, 100], [20, 20]]) {
    const { made, clock } = await player(RUN, 100);
    made.speed.value = speed;
    made.play();
    clock.go(ms - 10);
    assert.ok(made.place.value < 50, `${speed}× has not come to the message`);
    clock.go(10);
    assert.equal(made.place.value, 50, `${speed}×`);
  }
});

test('a long silence takes two seconds, is told, and the clock goes through all of it', async () => {
  const { made, clock } = await player(RUN, 100);
  made.play();
  clock.go(500);
  assert.equal(made.place.value, 60);
  clock.go(SILENCE_MS / 2);
  assert.equal(made.silence.value, 60_000);
  assert.equal(made.moment.value, START + 500 + 30_000);
  assert.equal(made.place.value, 60);
  clock.go(SILENCE_MS / 2);
  assert.deepEqual([made.place.value, made.silence.value, made.moment.value], [70, 0, START + 60_500]);
});

test('while it is paused nothing comes, and it goes on from there', async () => {
  const { made, clock } = await player(RUN, 100);
  made.play();
  clock.go(150);
  made.pause();
  clock.go(10_000);
  assert.equal(made.place.value, 20);
  made.play();
  clock.go(50);
  assert.equal(made.place.value, 30);
});

test('a step shows the next whole event with the pieces before it, over the ends of pages', async () => {
  const { made, timeline } = await player(RUN, 2);
  const places = [];
  for (let steps = 0; steps < RUN.length; steps += 1) {
    await made.step();
    places.push(made.place.value);
    assert.deepEqual(rows(timeline), fresh(RUN, made.place.value));
  }
  assert.deepEqual([...new Set(places)], [20, 50, 60, 70, 80, 100, 110]);
  assert.ok(made.atEnd.value);
});

test('a place that is read already is shown at once, any other is not', async () => {
  const { made, timeline } = await player(RUN, 6);
  assert.ok(made.skipTo(45), 'between two events');
  assert.equal(made.place.value, 40);
  assert.deepEqual(rows(timeline), fresh(RUN, 45));
  assert.ok(!made.skipTo(30), 'what is past');
  assert.ok(!made.skipTo(1000), 'what is not read');
  assert.equal(made.place.value, 40);
});

test('a page that nobody saw does not play meanwhile', async () => {
  const log = placed(Array.from({ length: 100 }, (_, at) => [at * 100, p.event('note', { text: `${at}` })]));
  const clock = { time: 0, call: () => {}, now: () => clock.time, every: (/** @type {() => void} */ call) => ((clock.call = call), () => {}) };
  const made = new Player({ read: async () => ({ events: log.slice(1), more: false }), show: () => {}, clock });
  made.begin(log[0]);
  await settled();
  made.play();
  clock.time = 3_600_000;
  clock.call();
  assert.ok(made.place.value <= 40, `${made.place.value}`);
});

test('what came while the end was shown is played on', async () => {
  const log = RUN.slice(0, 5);
  const { made, clock } = await player(log, 100);
  made.play();
  clock.go(1000);
  await settled();
  assert.deepEqual([made.place.value, made.atEnd.value, made.playing.value], [50, true, false]);
  log.push(...RUN.slice(5, 6));
  made.play();
  clock.go(10);
  await settled();
  clock.go(200);
  assert.equal(made.place.value, 60);
});
