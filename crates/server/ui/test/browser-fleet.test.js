// The fleet: what each session does, sorted by who needs a person, filtered by the address.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { AWAY, launch, reconnect, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
import { HOSTILE, harmless, overflow } from '../testing/hostile.js';
import { Server } from '../testing/server.js';

/** @type {Server} */ let server;
/** @type {import('playwright-core').Browser} */ let browser;

before(async () => {
  browser = await launch();
});
beforeEach(async () => {
  await server?.stop();
  server = await Server.start();
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

/** @param {import('playwright-core').Page} page @param {string} id */
const row = (page, id) => page.locator(`a[data-session="${id}"]`);
/** @param {import('playwright-core').Page} page @param {string} name */
const group = (page, name) => page.getByRole('region', { name, exact: true });

/** One session each way. */
async function four() {
  const [asks, fails, works, rests] = [producer('asks', 'ann'), producer('fails', 'ben'), producer('works', 'ann'), producer('rests', 'cy')];
  await server.publish(rests.start('model-r'), rests.turn('Rest'), rests.message('Done with it'), rests.turnEnd());
  await server.publish(works.start(), works.turn('Work'), works.toolStart('w', 'Bash', { command: 'cargo nextest run' }));
  await server.publish(fails.start(), fails.turn('Fail'), fails.event('error', { component: 'api', message: 'overloaded' }), fails.turnEnd(false));
  await server.publish(asks.start(), asks.turn('Ask'), asks.ask('a-1', 'Bash', { command: 'rm' }));
  return { asks, fails, works, rests };
}

test('sessions stand by how much they need a person, and move as that changes', async () => {
  const { asks, works } = await four();
  const { context, page, quiet } = await open();
  await row(page, 'asks').waitFor();
  assert.deepEqual(await page.locator('a.session-row').evaluateAll((rows) => rows.map((row) => /** @type {HTMLElement} */ (row).dataset.session)), ['asks', 'fails', 'works', 'rests']);
  await group(page, 'Needs you').locator('[data-session=asks]').waitFor();
  await group(page, 'Went wrong').locator('[data-session=fails]').waitFor();
  await row(page, 'fails').getByText('1 error').waitFor();
  await server.publish(asks.decide('a-1', 'approved'));
  await group(page, 'At work').locator('[data-session=asks]').waitFor();
  await group(page, 'Needs you').waitFor({ state: 'detached' });
  await server.publish(works.toolEnd('w', 'Bash', 'ok'), works.turnEnd());
  await group(page, 'Quiet').locator('[data-session=works]').waitFor();
  quiet();
  await context.close();
});

test('a session says what it does, how long, how lively and how full it is, alike when told and when asked', async () => {
  const p = producer('busy', 'ann');
  await server.publish(p.start(), p.turn('Work'), p.toolStart('x', 'Read', { file_path: '/etc/first' }));
  const { context, page, quiet } = await open();
  await row(page, 'busy').locator('.doing', { hasText: '/etc/first' }).waitFor();
  await row(page, 'busy').getByText('running Read').waitFor();
  const full = p.event('usage', { input_tokens: 10, output_tokens: 5, context_tokens: 170_000, context_window: 200_000 });
  await server.publish(p.toolEnd('x', 'Read', 'ok'), p.message('Half way'), full, p.toolStart('y', 'Bash', { command: 'make all' }));
  const check = async () => {
    await row(page, 'busy').locator('.doing', { hasText: 'make all' }).waitFor();
    await row(page, 'busy').getByText('running Bash').waitFor();
    await row(page, 'busy').locator('.last', { hasText: 'Half way' }).waitFor();
    await row(page, 'busy').locator('.context.full', { hasText: '85 %' }).waitFor();
    await row(page, 'busy').locator('.since', { hasText: /^\s*(now|for \d+ (s|min))/ }).waitFor();
    await row(page, 'busy').getByRole('img', { name: '7 events in the last half hour' }).waitFor();
  };
  await check();
  await page.reload();
  await check();
  await server.publish(p.toolEnd('y', 'Bash', 'ok'));
  await row(page, 'busy').locator('.doing').waitFor({ state: 'detached' });
  quiet();
  await context.close();
});

test('filters are in the address, and who comes by it sees the same', async () => {
  await four();
  await server.post('/api/agent/sync?agent=ann', { capabilities: [], state: 'idle' });
  const { context, page, quiet } = await open();
  await page.getByRole('list', { name: 'Agents' }).getByRole('link', { name: 'ann' }).click();
  await row(page, 'fails').waitFor({ state: 'detached' });
  assert.equal(new URL(page.url()).hash, '#/?agent=ann');
  await page.getByRole('button', { name: 'At work' }).click();
  await row(page, 'asks').waitFor({ state: 'detached' });
  await page.keyboard.press('/');
  await page.keyboard.type('nothing like it');
  await page.getByText('No session is like that.').waitFor();
  assert.equal(new URL(page.url()).hash, '#/?agent=ann&state=working&q=nothing+like+it');
  await page.reload();
  await page.getByText('No session is like that.').waitFor();
  assert.equal(await page.getByLabel('Filter sessions').inputValue(), 'nothing like it');
  await page.getByLabel('Filter sessions').fill('');
  await row(page, 'works').waitFor();
  await page.getByLabel('agent', { exact: true }).selectOption('');
  await page.getByRole('button', { name: 'At work' }).click();
  await row(page, 'rests').waitFor();
  assert.equal(new URL(page.url()).hash, '#/');
  quiet();
  await context.close();
});

test('the list survives a server that is killed, and hostile sessions, in the dark and on a telephone', async () => {
  const p = producer('odd <i>', HOSTILE[0].slice(0, 40));
  await server.publish(p.start(HOSTILE[1]), ...HOSTILE.map((text) => p.turn(text, `t-${text.length}`)), p.message(HOSTILE[3]), p.toolStart('z', HOSTILE[0], { command: HOSTILE[4] }));
  const { context, page, quiet } = await open({ colorScheme: 'dark', viewport: { width: 375, height: 700 } });
  await page.locator('a.session-row').waitFor();
  await harmless(page);
  assert.ok((await overflow(page)) <= 0, 'nothing is wider than the window');
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  const late = producer('late');
  await server.publish(late.start(), late.turn('After the fall'));
  await reconnect(page);
  await row(page, 'late').getByText('After the fall').waitFor();
  quiet(AWAY);
  await context.close();
});

test('of a fleet of three hundred sessions just the one that does something is drawn anew', async () => {
  for (let at = 0; at < 300; at += 50) {
    const some = Array.from({ length: 50 }, (_, more) => producer(`s-${at + more}`, `agent-${more % 7}`));
    await server.publish(...some.flatMap((p) => [p.start(), p.turn('Work'), p.message('On it')]));
  }
  const { context, page, quiet } = await open();
  assert.equal(await page.locator('a.session-row').count(), 200);
  await page.getByRole('button', { name: 'Older sessions' }).click();
  await row(page, 's-0').waitFor();
  assert.equal(await page.locator('a.session-row').count(), 300);
  await page.evaluate(() => {
    const rows = new Set();
    const observer = new MutationObserver((all) => {
      for (const { target } of all) {
        const element = target instanceof Element ? target : target.parentElement;
        // Time passes for all of them.
        if (!element?.closest('.ago, .since, .spark')) rows.add(/** @type {HTMLElement | null} */ (element?.closest('[data-session]'))?.dataset.session);
      }
    });
    observer.observe(document.querySelector('.fleet') ?? document.body, { subtree: true, attributes: true, characterData: true });
    Object.assign(window, { rows });
  });
  await server.publish(producer('s-7', 'agent-0').message('Only this one'));
  await row(page, 's-7').getByText('Only this one').waitFor();
  assert.deepEqual(await page.evaluate(() => [.../** @type {any} */ (window).rows]), ['s-7']);
  quiet();
  await context.close();
});
