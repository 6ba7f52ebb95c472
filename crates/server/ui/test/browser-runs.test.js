// Runs: how far, what passed and what the graders say, as it happens.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { AWAY, launch, reconnect, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
import { HOSTILE, harmless, overflow } from '../testing/hostile.js';
import { Server } from '../testing/server.js';

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

/** @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** A harness that tells of its tasks. @param {string} id */
function harness(id) {
  const p = producer(id, 'evaluator');
  return {
    ...p,
    begin: (/** @type {string} */ task, /** @type {number} */ number, total = 4) => p.event('task_start', { task, number, total }),
    grade: (/** @type {string} */ grader, /** @type {boolean} */ passed, /** @type {string} */ message) =>
      p.event('grader_result', { grader, passed, score: passed ? 1 : 0.25, message, grader_type: 'unit' }),
    complete: (/** @type {string} */ task, /** @type {string} */ outcome) => p.event('task_complete', { task, outcome, score: 0.5, duration_ms: 64_000 }),
    over: (/** @type {object} */ data) => p.event('run_complete', data),
  };
}

test('a run is followed from its first task to its end, in the list and by itself', async () => {
  const run = harness('eval');
  const { context, page, quiet } = await open();
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('heading', { name: 'No runs yet' }).waitFor();
  await server.publish(run.start('model-x'), run.turn('Nightly evaluation'), run.begin('parse-01', 1));
  const row = page.locator('[data-run=eval]');
  await row.getByText('at parse-01').waitFor();
  await row.getByText('0 of 4').waitFor();
  await server.publish(run.grade('unit', true, 'all 12 pass'), run.complete('parse-01', 'passed'), run.begin('parse-02', 2));
  await row.getByText('1 of 4').waitFor();
  await row.getByText('1 passed').waitFor();
  assert.deepEqual(await row.getByRole('progressbar').evaluate((bar) => [bar.getAttribute('max'), /** @type {HTMLProgressElement} */ (bar).value]), ['4', 1]);

  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/runs\/eval$/);
  await page.locator('[data-task="parse-01"][data-outcome=passed]').getByText('all 12 pass').waitFor();
  await page.locator('[data-task="parse-02"][data-outcome=open]').waitFor();
  await server.publish(run.grade('unit', false, '9 of 12 fail'), run.complete('parse-02', 'failed'));
  const failed = page.locator('[data-task="parse-02"][data-outcome=failed]');
  for (const part of ['9 of 12 fail', 'score 0.25', '1 min 4 s', '2 of 4']) await failed.getByText(part).waitFor();
  await page.getByRole('button', { name: 'Failed' }).click();
  await page.locator('[data-task="parse-01"]').waitFor({ state: 'detached' });
  assert.equal(new URL(page.url()).hash, '#/runs/eval?outcome=failed');
  await server.publish(run.turnEnd(), run.over({ total: 4, passed: 3, failed: 1, errors: 0 }));
  await page.locator('[data-ended=true]').waitFor();
  const about = page.getByRole('region', { name: 'Run' });
  for (const part of ['3 passed', '1 failed', '$0.014', 'evaluator · model-x']) await about.getByText(part).waitFor();
  await failed.getByRole('link').click();
  await page.waitForURL(/#\/session\/eval\?at=\d+$/);
  quiet();
  await context.close();
});

test('a run goes on after the server was killed, without a total, hostile, in the dark and on a telephone', async () => {
  const run = harness('odd');
  await server.publish(run.start(), run.event('task_start', { task: HOSTILE[0] }), ...HOSTILE.map((text) => run.grade(text.slice(0, 400), false, text)));
  const { context, page, quiet } = await open({ colorScheme: 'dark', viewport: { width: 375, height: 700 } });
  await page.goto(`${server.url}/#/runs`);
  await page.locator('[data-run=odd]').getByText('0 done').waitFor();
  assert.equal(await page.locator('[data-run=odd] progress').count(), 0, 'without a total there is no bar');
  assert.ok((await overflow(page)) <= 0, 'the list is not wider than the window');
  await page.goto(`${server.url}/#/runs/odd`);
  await page.getByText('Show all').first().waitFor();
  await harmless(page);
  assert.ok((await overflow(page)) <= 0, 'the run is not wider than the window');
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  await server.publish(run.event('task_complete', { task: HOSTILE[0], outcome: 'passed' }));
  await reconnect(page);
  await page.locator('[data-outcome=passed]').waitFor();
  quiet(AWAY);
  await context.close();
});

test('runs and usage are asked for anew by what changes them alone, and not with every event', async () => {
  const run = harness('quiet');
  const p = producer('chatty', 'talker');
  await server.publish(run.start(), run.begin('one', 1));
  const { context, page, quiet } = await open();
  for (const [hash, ready, path] of [['#/runs', '[data-run=quiet]', '/api/runs'], ['#/usage', '.totals', '/api/usage']]) {
    await page.goto(`${server.url}/${hash}`);
    await page.locator(ready).waitFor();
    let asked = 0;
    page.on('request', (request) => (asked += Number(new URL(request.url()).pathname === path)));
    // What tells that all of it came to the page.
    for (let n = 0; n < 20; n += 1) await server.publish(p.turn(`turn ${n}`), p.message('words'), p.toolStart(`t-${n}`, 'Bash', {}));
    await server.publish(producer(`asks ${path}`).ask(`${path}-1`, 'Bash', { command: 'ls' }));
    await page.locator(`[data-waiting="${hash === '#/runs' ? 1 : 2}"]`).waitFor();
    assert.equal(asked, 0, `${path}: nothing of it has changed`);
    await server.publish(run.complete('one', 'passed'), p.turnEnd());
    if (hash === '#/runs') await page.locator('[data-run=quiet]').getByText('1 passed').waitFor();
    else await page.locator('.totals').getByText('$0.0', { exact: false }).first().waitFor();
  }
  quiet();
  await context.close();
});
