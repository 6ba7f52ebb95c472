import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Timeline } from '../store.js';
import { Agent } from '../testing/agent.js';
import { launch, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
import { BIN, Server } from '../testing/server.js';

/** @type {Server} */ let server;
/** @type {import('playwright-core').Browser} */ let browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** @param {string} id @param {number | string} play @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(id, play, options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${encodeURIComponent(id)}?play=${play}`);
  await seen.page.locator('[data-connection=replay]').waitFor();
  return seen;
}

/** @param {import('playwright-core').Page} page @param {number} seq */
const arrived = (page, seq) => page.locator(`[data-place="${seq}"]`).waitFor();

/** Timestamps so many seconds after a fixed moment. @param {number} seconds */
const at = (seconds) => ({ timestamp: new Date(Date.parse('2026-01-02T10:00:00Z') + seconds * 1000).toISOString() });

/** The whole log of a session, pieces too. @param {string} id @returns {Promise<Wire.Event[]>} */
const all = async (id) => (await server.ask(`/api/events/history?session_id=${id}&after=0&limit=1000`)).events;

/** What the page shows of each row: its kind, its events, and what is said in it. @param {import('playwright-core').Page} page */
const rows = (page) =>
  page.locator('.item').evaluateAll((items) =>
    items.map((item) => {
      const { seqs } = /** @type {HTMLElement} */ (item).dataset;
      return [item.classList[1], seqs, item.matches('.message') ? item.querySelector('.text')?.textContent?.trim() : null];
    }),
  );

/** The same of a fresh store fed with the events up to a place. @param {Wire.Event[]} log @param {number} seq */
function fresh(log, seq) {
  const timeline = new Timeline();
  timeline.add(log.filter((event) => event.seq <= seq));
  return timeline.items.map((item) => [item.kind, item.events.map((event) => event.seq).join(' '), item.kind === 'message' ? item.text.trim() : null]);
}

test('at each moment of a recorded run a replay shows what a fresh store shows that is fed with the events up to it', async () => {
  const recorded = fileURLToPath(new URL('../../../adapters/fixtures/claude/partial-messages.jsonl', import.meta.url));
  const run = spawn(BIN, ['run', '--data-dir', server.dir, '--session', 'recorded', '--adapter', 'claude', '--wait', '-q', '--', 'cat', recorded], { stdio: ['ignore', 'ignore', 'inherit'] });
  await once(run, 'exit');
  const log = await all('recorded');
  assert.ok(log.some(({ type }) => type === 'text_delta') && log.length > 8, 'a run with pieces of messages');
  const { context, page, quiet } = await open('recorded', log[0].seq);
  await arrived(page, log[0].seq);
  // By links, forwards and back.
  const places = log.map(({ seq }) => seq);
  for (const seq of [...places, ...places.toReversed()]) {
    await page.evaluate((to) => (location.hash = `#/session/recorded?play=${to}`), seq);
    await arrived(page, seq);
    assert.deepEqual(await rows(page), fresh(log, seq), `at ${seq}`);
  }
  // By steps, and played to its end.
  const whole = log.filter(({ type }) => !/delta|progress/.test(type)).map(({ seq }) => seq);
  for (const seq of whole.filter((each) => each > places[0])) {
    await page.keyboard.press('ArrowRight');
    await arrived(page, seq);
    assert.deepEqual(await rows(page), fresh(log, seq), `stepped to ${seq}`);
  }
  for (const seq of whole.toReversed().slice(1)) {
    await page.keyboard.press('ArrowLeft');
    await arrived(page, seq);
    assert.deepEqual(await rows(page), fresh(log, seq), `stepped back to ${seq}`);
  }
  await page.keyboard.press('3');
  await page.keyboard.press('Space');
  await page.getByText('The end so far').waitFor();
  assert.deepEqual(await rows(page), fresh(log, places.at(-1) ?? 0));
  quiet();
  await context.close();
});

test('an approval in a replay shows what was decided, and can never be decided there', async () => {
  const p = producer('decided');
  await new Agent(server, 'builder').report();
  const sent = await server.publish(
    { ...p.start(), ...at(0) },
    { ...p.turn('x'), ...at(1) },
    { ...p.ask('ask-decided', 'Bash', { command: 'rm -r /tmp/x' }), ...at(2) },
    { ...p.decide('ask-decided', 'approved', { by: 'ann' }), ...at(60) },
    p.ask('ask-open', 'Bash', { command: 'ls' }),
  );
  /** @type {string[]} */
  const written = [];
  const { context, page, quiet } = await open('decided', sent.first_seq + 2);
  page.on('request', (request) => request.method() !== 'GET' && written.push(request.url()));
  const first = page.locator('[data-approval=ask-decided]');
  await first.getByText('waits at this moment').waitFor();
  await first.getByText('rm -r /tmp/x').waitFor();
  await page.locator('[data-state=needs_approval]').waitFor();
  const press = async () => {
    for (const key of ['j', 'k', 'a', 'd', 'e', 'm']) await page.keyboard.press(key);
  };
  await press();
  await page.keyboard.press('ArrowRight');
  await first.getByText('approved by ann').waitFor();
  await page.keyboard.press('ArrowRight');
  // Pending in truth, and still not to be decided here.
  await page.locator('[data-approval=ask-open]').getByText('waits at this moment').waitFor();
  await press();
  assert.equal(await page.locator('main button:not(.show-all), main form, .composer').count(), 0);
  assert.deepEqual(written, []);
  await page.getByRole('link', { name: 'Live', exact: true }).click();
  await page.locator('[data-connection=live]').waitFor();
  await page.getByRole('button', { name: 'Approve', exact: true }).waitFor();
  await page.locator('.composer').waitFor();
  quiet();
  await context.close();
});

test('a replay by keyboard alone; the address has the moment', async () => {
  const p = producer('keys');
  const sent = await server.publish(
    { ...p.start(), ...at(0) },
    { ...p.turn('One'), ...at(1) },
    { ...p.message('First'), ...at(2) },
    { ...p.turnEnd(), ...at(3) },
    { ...p.turn('Two', 't-2'), ...at(7200) },
    { ...p.message('Second', 'm-2'), ...at(7201) },
    // Else the server ends it: nothing was heard of it for long.
    { ...p.turnEnd(), ...at(7202) },
  );
  const first = sent.first_seq;
  const { context, page, quiet } = await open('keys', 0);
  await arrived(page, first);
  await page.keyboard.press('Shift+ArrowRight');
  await arrived(page, first + 1);
  await page.keyboard.press('Shift+ArrowRight');
  await arrived(page, first + 4);
  assert.match(page.url(), new RegExp(`play=${first + 4}$`));
  await page.keyboard.press('Shift+ArrowLeft');
  await arrived(page, first + 1);
  await page.keyboard.press('2');
  await page.getByRole('button', { name: '4×', pressed: true }).waitFor();
  await page.keyboard.press('1');
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await page.getByText('1 h 59 min of silence, shortened').waitFor();
  await page.getByText('The end so far').waitFor();
  await page.getByRole('button', { name: 'Play' }).waitFor();
  assert.match(page.url(), new RegExp(`play=${first + 6}$`));
  await page.keyboard.press('?');
  await page.locator('dialog').getByText('play, pause').waitFor();
  await page.keyboard.press('Escape');
  // The slider alone.
  const slider = page.getByRole('slider', { name: 'Moment' });
  await slider.focus();
  await page.keyboard.press('ArrowLeft');
  await arrived(page, first + 5);
  await page.keyboard.press('Home');
  await arrived(page, first);
  await page.reload();
  await arrived(page, first);
  assert.deepEqual((await rows(page)).length, 1);
  quiet();
  await context.close();
});

test('a time in the address is the moment of the newest event up to it', async () => {
  const p = producer('timed');
  const other = producer('other');
  const sent = [];
  for (let n = 0; n < 40; n += 1) {
    sent.push((await server.publish({ ...p.event('note', { text: `note ${n}` }), ...at(n * 10) })).first_seq);
    await server.publish({ ...other.event('note', { text: 'else' }), ...at(5000) });
  }
  const { context, page, quiet } = await open('timed', at(234).timestamp);
  await arrived(page, sent[23]);
  await page.getByText('note 23', { exact: true }).waitFor();
  assert.equal(await page.locator('.item').count(), 24);
  await page.evaluate(() => (location.hash = '#/session/timed?play=nonsense'));
  await arrived(page, sent[0]);
  quiet();
  await context.close();
});

test('a long session is played from its middle, older events come on the way up', async () => {
  const p = producer('middle');
  const notes = (/** @type {number} */ from) => Array.from({ length: 500 }, (_, n) => ({ ...p.event('note', { text: `note ${from + n}` }), ...at(from + n) }));
  const { first_seq: first } = await server.publish(...notes(0));
  for (let from = 500; from < 3000; from += 500) await server.publish(...notes(from));
  const { context, page, quiet } = await open('middle', first + 1500);
  await page.getByText('note 1500', { exact: true }).waitFor();
  assert.equal(await page.getByText('note 1501', { exact: true }).count(), 0);
  await page.keyboard.press('ArrowRight');
  await page.getByText('note 1501', { exact: true }).waitFor();
  await page.getByRole('slider', { name: 'Moment' }).fill(String(first + 2750));
  await page.getByText('note 2750', { exact: true }).waitFor();
  await page.locator('main').hover();
  /** @param {string} note @param {number} by */
  const scrollTo = async (note, by) => {
    for (let tries = 0; tries < 400 && !(await page.getByText(note, { exact: true }).count()); tries += 1) {
      await page.mouse.wheel(0, by);
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20))));
    }
    await page.getByText(note, { exact: true }).waitFor();
  };
  // Beyond what the page keeps at once, and down again to the moment, with what was played meanwhile.
  await scrollTo('note 10', -8000);
  await page.keyboard.press('ArrowRight');
  await arrived(page, first + 2751);
  await scrollTo('note 2751', 8000);
  assert.equal(await page.getByText('note 2752', { exact: true }).count(), 0);
  quiet();
  await context.close();
});

test('a replay fits a phone, dark and light, without motion', async () => {
  const p = producer('phone');
  const sent = await server.publish(p.start(), p.turn('x'.repeat(300)), p.toolStart('a', 'Bash', { command: 'ls' }));
  for (const colorScheme of /** @type {const} */ (['dark', 'light'])) {
    const { context, page, quiet } = await open('phone', sent.last_seq, { viewport: { width: 375, height: 740 }, colorScheme, reducedMotion: 'reduce' });
    await page.locator('.item.tool').waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
    for (const button of await page.locator('.replay button, .replay a').all()) {
      const box = await button.boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= 375 && box.y + box.height <= 740);
    }
    quiet();
    await context.close();
  }
});

test('a replay of what is not there says so', async () => {
  const seen = await visitor(browser);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/nobody?play=1`);
  await seen.page.getByRole('heading', { name: 'There is no such session' }).waitFor();
  seen.quiet(/status of 404/);
  await seen.context.close();
});

test('the facts of a replay count all up to its moment, also what is far before it; its views keep the moment', async () => {
  const p = producer('counted');
  const turn = [p.turn('x'), p.toolStart('a', 'Bash', { command: 'ls' }), p.toolEnd('a', 'Bash', 'x'), p.event('error', { message: 'odd' }), p.turnEnd()];
  await server.publish(p.start(), ...Array.from({ length: 100 }, () => turn).flat());
  const log = await server.log('counted');
  const moment = log[1 + 5 * 80 + 1].seq;
  const { context, page, quiet } = await open('counted', moment);
  const facts = page.getByRole('region', { name: 'Session' });
  for (const text of ['81 turns', '80 tool calls', '80 errors', '$1.15']) await facts.getByText(text, { exact: true }).waitFor();
  for (let step = 0; step < 4; step += 1) await page.keyboard.press('ArrowRight');
  for (const text of ['82 turns', '81 tool calls', '81 errors', '$1.17']) await facts.getByText(text, { exact: true }).waitFor();
  await page.goto(`${server.url}/#/session/counted?at=${moment}`);
  await page.locator('.item.marked').waitFor();
  await page.getByRole('link', { name: 'Replay', exact: true }).click();
  await arrived(page, moment);
  await page.goto(`${server.url}/#/session/counted?at=${moment}`);
  await page.locator('.item.marked:focus').waitFor();
  await page.keyboard.press('k');
  await page.keyboard.press('p');
  await page.locator('[data-place]').waitFor();
  assert.ok(Number(await page.locator('[data-place]').getAttribute('data-place')) < moment);
  quiet();
  await context.close();
});
