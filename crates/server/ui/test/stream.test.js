import assert from 'node:assert/strict';
import test from 'node:test';
import { Subscription } from '../stream.js';

const EPOCH = '0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10';

/** @param {number} seq */
const event = (seq) => `data: ${JSON.stringify({ seq, type: 'note', data: { text: `n${seq}` } })}\nid: ${seq}\n\n`;
const hello = (head = 0, epoch = EPOCH) => `event: hello\ndata: ${JSON.stringify({ epoch, first: 1, head })}\n\n`;

/** An answer that gives these texts, then ends, or stays open. @param {string[]} texts @param {boolean} [open] */
function stream(texts, open = false) {
  const encoder = new TextEncoder();
  /** @type {(init: RequestInit) => Response} */
  return (init) => {
    const body = new ReadableStream({
      start(controller) {
        for (const text of texts) controller.enqueue(encoder.encode(text));
        if (!open) controller.close();
        init.signal?.addEventListener('abort', () => open && controller.error(init.signal?.reason));
      },
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  };
}

/** @param {number} status @param {string} code @param {boolean} retry @param {Record<string, string>} [headers] */
const refusal = (status, code, retry, headers = {}) => () =>
  new Response(JSON.stringify({ error: { code, message: code, retry, details: {} } }), { status, headers });

/**
 * A subscription whose connections are these answers, one after another; the waits between them are noted and made short.
 * @param {import('node:test').TestContext} t
 * @param {((init: RequestInit) => Response | Promise<Response>)[]} answers
 * @param {{ after?: number, epoch?: string }} [options]
 */
async function subscribe(t, answers, { after = 0, epoch } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  /** @type {{ asked: string[], seqs: number[], gaps: any[], resets: number, waits: number[], states: string[], behind: number[] }} */
  const seen = { asked: [], seqs: [], gaps: [], resets: 0, waits: [], states: [], behind: [] };
  let done = () => {};
  const finished = new Promise((resolve) => (done = () => resolve(undefined)));
  const subscription = new Subscription({
    path: '/api/events',
    after,
    epoch,
    onEvents: (events) => seen.seqs.push(...events.map(({ seq }) => seq)),
    onGap: (gap) => seen.gaps.push(gap),
    onReset: () => {
      seen.resets += 1;
      done();
    },
    env: {
      fetch: async (address, init) => {
        seen.asked.push(String(address));
        const answer = answers.shift();
        if (answer) return answer(init ?? {});
        done();
        return new Promise(() => {});
      },
      now: () => 0,
      random: () => 1,
    },
  });
  subscription.status.subscribe((status) => {
    if (seen.states.at(-1) !== status.kind) seen.states.push(status.kind);
    if (status.kind === 'catching up') seen.behind.push(status.behind);
    if (status.kind === 'signed out' || status.kind === 'failed') done();
    if (status.kind !== 'reconnecting') return;
    seen.waits.push(status.at);
    // The wait is begun after the status is told.
    queueMicrotask(() => queueMicrotask(() => t.mock.timers.tick(status.at)));
  });
  subscription.start();
  await finished;
  subscription.stop();
  return { ...seen, subscription };
}

test('a reader goes on from its cursor, and shows nothing twice', async (t) => {
  const first = stream(['retry: 100\n\n', hello(3), event(1), event(2)]);
  const second = stream([hello(4), event(2), event(3), event(4)]);
  const seen = await subscribe(t, [first, second]);
  assert.deepEqual(seen.seqs, [1, 2, 3, 4]);
  assert.deepEqual(seen.asked, ['/api/events?after=0', `/api/events?after=2&epoch=${EPOCH}`, `/api/events?after=4&epoch=${EPOCH}`]);
});

test('a reader for whom there is nothing goes on from where it was told that it is', async (t) => {
  const seen = await subscribe(t, [stream([hello(3), 'id: 2\n\n', event(3), ': hb\n\nid: 90\n\n', 'id: x\n\n', 'id: 5\n\n'])]);
  assert.deepEqual([seen.seqs, seen.subscription.cursor], [[3], 90]);
  assert.equal(seen.asked[1], `/api/events?after=90&epoch=${EPOCH}`);
});

test('an event that is cut in the middle is asked for again', async (t) => {
  const seen = await subscribe(t, [stream([hello(2), event(1), event(2).slice(0, 20)]), stream([hello(2), event(2)])]);
  assert.deepEqual(seen.seqs, [1, 2]);
});

test('waits grow from what the server says, to a bound, and start again after a hello', async (t) => {
  const away = () => Promise.reject(new TypeError('away'));
  const answers = [stream(['retry: 4000\n\n', hello()]), away, away, away, away, stream([hello()])];
  const seen = await subscribe(t, answers);
  assert.deepEqual(seen.waits, [4000, 8000, 16_000, 30_000, 30_000, 4000]);
});

test('a goodbye says when to come back, and is never hurried', async (t) => {
  const bye = (/** @type {object} */ body) => `event: bye\ndata: ${JSON.stringify(body)}\n\n`;
  const seen = await subscribe(t, [stream([hello(), bye({ reason: 'shutdown', retry_ms: 500 })])]);
  assert.deepEqual(seen.waits, [600]);
  t.mock.timers.reset();
  const revoked = await subscribe(t, [stream([hello(), bye({ reason: 'token_revoked' })])]);
  assert.deepEqual([revoked.states.at(-1), revoked.waits], ['signed out', []]);
});

test('a refusal that may pass is tried again no sooner than asked, any other is final', async (t) => {
  const busy = await subscribe(t, [refusal(503, 'overloaded', true, { 'retry-after': '20' })]);
  assert.deepEqual(busy.waits, [20_000]);
  for (const [status, code, state] of /** @type {[number, string, string][]} */ ([[401, 'unauthorized', 'signed out'], [403, 'forbidden', 'failed']])) {
    t.mock.timers.reset();
    const seen = await subscribe(t, [refusal(status, code, false)]);
    assert.deepEqual([seen.states.at(-1), seen.asked.length], [state, 1]);
  }
});

test('a gap is told, and the cursor goes behind it', async (t) => {
  const gap = { after: 2, next: 10, reason: 'trimmed' };
  const seen = await subscribe(t, [stream([hello(11), event(2), `event: gap\ndata: ${JSON.stringify(gap)}\n\n`])], { after: 1 });
  assert.deepEqual([seen.seqs, seen.gaps, seen.subscription.cursor], [[2], [gap], 9]);
});

test('missing deltas do not move the cursor: the rest of the range still comes', async (t) => {
  const gap = { after: 2, next: 10, reason: 'deltas_trimmed' };
  const seen = await subscribe(t, [stream([hello(11), `event: gap\ndata: ${JSON.stringify(gap)}\n\n`, event(3)])], { after: 2 });
  assert.deepEqual([seen.seqs, seen.gaps.length], [[3], 1]);
});

test('another log makes all that was read void', async (t) => {
  const seen = await subscribe(t, [stream([hello(9, 'another'), event(8)])], { after: 7, epoch: EPOCH });
  assert.deepEqual([seen.resets, seen.seqs, seen.asked.length], [1, [], 1]);
});

test('an event that cannot be read is told as a gap of one', async (t) => {
  const seen = await subscribe(t, [stream([hello(3), event(1), 'data: {broken\nid: 2\n\n', event(3)])]);
  assert.deepEqual([seen.seqs, seen.gaps], [[1, 3], [{ after: 1, next: 3, reason: 'unreadable' }]]);
});

test('a silent stream is given up', async (t) => {
  const promise = subscribe(t, [stream([hello(1), event(1)], true)]);
  // The watch is set anew with each chunk: let the chunks be read before the clock jumps.
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(40_000);
  const seen = await promise;
  assert.deepEqual([seen.seqs, seen.waits], [[1], [1000]]);
});

test('the states are told as they are', async (t) => {
  const seen = await subscribe(t, [stream([hello(2), event(1), event(2)])]);
  assert.deepEqual(seen.states, ['connecting', 'catching up', 'live', 'reconnecting']);
});

test('while it catches up it says how far behind it is, then it is live', async (t) => {
  const seen = await subscribe(t, [stream([hello(9), event(4) + event(5), event(8), event(9)])], { after: 3 });
  assert.deepEqual(seen.behind, [6, 6, 4, 1]);
  assert.deepEqual(seen.states, ['connecting', 'catching up', 'live', 'reconnecting']);
});
