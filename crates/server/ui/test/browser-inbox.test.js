import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';
import { AWAY, launch, reconnect, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
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

/** @param {{ link?: string, options?: import('playwright-core').BrowserContextOptions }} [how] */
async function open({ link, options } = {}) {
  const seen = await visitor(browser, options);
  await seen.page.goto(link ?? (await server.pairingLink()));
  await seen.page.locator('[data-connection=live]').waitFor();
  await seen.page.goto(`${server.url}/#/inbox`);
  await seen.page.getByRole('heading', { name: 'Inbox' }).waitFor();
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** @param {import('playwright-core').Page} page @param {string} id */
const row = (page, id) => page.locator(`[data-ask="${id}"]`);
/** @param {import('playwright-core').Page} page @param {string} id */
const gone = (page, id) => row(page, id).waitFor({ state: 'detached' });
/** @param {import('playwright-core').Page} page */
const inFocus = (page) => page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.dataset.ask);
/** @param {import('playwright-core').Page} page */
const icon = async (page) => (await page.locator('link[rel=icon]').getAttribute('href'))?.replace(/^.*\/ui\/\w+\//, '');
/** @param {string} id */
const stands = async (id) => (await server.ask(`/api/approvals/${id}`)).state;

/** @param {number} count @param {string} name */
async function ask(count, name = 'q') {
  const p = producer(`session-${name}`);
  const all = Array.from({ length: count }, (_, at) => p.ask(`${name}-${at}`, 'Bash', { command: `echo ${name} ${at}` }));
  await server.publish(p.start(), p.turn(`Title of ${name}`), ...all);
  return p;
}

test('what waits in any session is there when it is opened, and comes and goes as it happens', async () => {
  const p = await ask(2);
  const { context, page, quiet } = await open();
  await row(page, 'q-1').waitFor();
  await row(page, 'q-0').getByRole('link', { name: 'Title of q' }).waitFor();
  await row(page, 'q-0').getByText('echo q 0').waitFor();
  await page.waitForFunction(() => document.title === '(2) Inbox · Turnwire');
  assert.equal(await icon(page), 'icon/2.svg');
  await page.locator('[data-waiting="2"]').waitFor();

  await ask(1, 'other');
  await row(page, 'other-0').waitFor();
  assert.deepEqual(await page.locator('.ask').evaluateAll((asks) => asks.map((one) => /** @type {HTMLElement} */ (one).dataset.ask)), ['q-0', 'q-1', 'other-0']);
  await server.publish(p.decide('q-0', 'denied', { by: 'terminal' }));
  await gone(page, 'q-0');
  await row(page, 'q-1').getByRole('button', { name: 'Approve' }).click();
  await gone(page, 'q-1');
  assert.equal(await stands('q-1'), 'approved');
  await row(page, 'other-0').getByRole('button', { name: 'Deny…' }).click();
  await row(page, 'other-0').getByLabel('What the agent is told').fill('no');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();
  await page.getByText('turnwire agent --name').waitFor();
  await page.waitForFunction(() => document.title === 'Inbox · Turnwire');
  assert.equal(await icon(page), 'icon.svg');
  quiet();
  await context.close();
});

test('sessions that need an answer, failed, stalled or are rate limited are there until they are not', async () => {
  const all = ['needs_answer', 'failed', 'stalled', 'rate_limited'];
  for (const state of all) {
    const p = producer(`s-${state}`);
    await server.publish(p.start(), p.turn(`Of ${state}`), p.state(state));
  }
  const { context, page, quiet } = await open();
  for (const state of all) await row(page, `s-${state}`).locator(`[data-state=${state}]`).waitFor();
  const answers = page.getByRole('region', { name: 'Needs an answer' });
  await answers.getByText('Of needs_answer').waitFor();
  await page.waitForFunction(() => document.title === '(1) Inbox · Turnwire');
  const late = producer('late');
  await server.publish(late.start(), late.turn('Late'), late.state('needs_answer'));
  await answers.getByText('Late').waitFor();
  for (const state of all) {
    await server.publish(producer(`s-${state}`).turn('Goes on', 't-2'));
    await gone(page, `s-${state}`);
  }
  await server.publish(late.turnEnd(false));
  await page.getByRole('region', { name: 'Failed, stalled, rate limited' }).getByText('Late').click();
  await page.locator('.item.end').waitFor();
  quiet();
  await context.close();
});

test('a question is one thing that waits, also where its session says that it needs an answer', async () => {
  const p = producer('asking');
  const questions = [{ question: 'Which?', options: [{ label: 'This' }, { label: 'That' }] }];
  await server.publish(p.start(), p.turn('Choose'), p.ask('one', 'AskUserQuestion', { questions }), p.state('needs_answer'));
  const { context, page, quiet } = await open();
  await row(page, 'one').getByRole('radio', { name: 'This' }).waitFor();
  await page.locator('[data-waiting="1"]').waitFor();
  assert.equal(await page.locator('.ask').count(), 1);
  assert.equal(await page.getByRole('checkbox').count(), 0, 'a question has no answer that fits several');
  await page.keyboard.press('j');
  await row(page, 'one').getByRole('radio', { name: 'That' }).check();
  await page.keyboard.press('a');
  await page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();
  assert.equal((await server.ask('/api/approvals/one')).updated_arguments.answers['Which?'], 'That');
  quiet();
  await context.close();
});

test('all is answered with the keys alone, and a key for one that has left answers no other', async () => {
  const p = await ask(5);
  const { context, page, quiet } = await open();
  await row(page, 'q-4').waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.equal(await inFocus(page), 'q-0');
  await page.keyboard.press('a');
  await gone(page, 'q-0');
  assert.equal(await stands('q-0'), 'approved');
  await page.keyboard.press('j');
  assert.equal(await inFocus(page), 'q-1', 'j goes on where the answered one was');
  // It leaves under the reader's fingers.
  await server.publish(p.decide('q-1', 'denied', { by: 'terminal' }));
  await gone(page, 'q-1');
  await page.keyboard.press('a');
  await page.keyboard.press('j');
  assert.equal(await inFocus(page), 'q-2');
  assert.equal(await stands('q-2'), 'pending');
  await page.keyboard.press('d');
  await page.keyboard.type('a reason with j, k and a');
  await page.keyboard.press('Enter');
  await gone(page, 'q-2');
  assert.equal((await server.ask('/api/approvals/q-2')).message, 'a reason with j, k and a');
  await page.keyboard.press('j');
  await page.keyboard.press('e');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await gone(page, 'q-3');
  assert.deepEqual((await server.ask('/api/approvals/q-3')).updated_arguments, { command: 'echo q 3' });
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('.item.turn').getByText('Title of q').waitFor();
  assert.ok(page.url().endsWith('#/session/session-q'));
  quiet();
  await context.close();
});

test('all that wait are selected by one key, and one is always allowed by another', async () => {
  await ask(1, 'w');
  const { context, page, quiet } = await open();
  await row(page, 'w-0').waitFor();
  await page.keyboard.press('j');
  assert.equal(await inFocus(page), 'w-0');
  await page.keyboard.press('w');
  await gone(page, 'w-0');
  assert.equal((await server.ask('/api/approvals/w-0')).always, true);
  await ask(3, 'v');
  await row(page, 'v-2').waitFor();
  await page.keyboard.press('X');
  const bulk = page.getByRole('group', { name: 'Those that are selected' });
  await bulk.getByText('3 selected').waitFor();
  await page.keyboard.press('a');
  for (const id of ['v-0', 'v-1', 'v-2']) {
    await gone(page, id);
    assert.equal(await stands(id), 'approved');
  }
  quiet();
  await context.close();
});

test('several are selected and answered together, and what was answered elsewhere is not among them', async () => {
  const p = await ask(6);
  const { context, page, quiet } = await open();
  await row(page, 'q-5').waitFor();
  for (const key of 'jxjxjx') await page.keyboard.press(key);
  const bulk = page.getByRole('group', { name: 'Those that are selected' });
  await bulk.getByText('3 selected').waitFor();
  await server.publish(p.decide('q-1', 'denied', { by: 'terminal' }));
  await bulk.getByText('2 selected').waitFor();
  await page.keyboard.press('a');
  await gone(page, 'q-0');
  await gone(page, 'q-2');
  await bulk.getByText('Approved 2.').waitFor();
  for (const [id, state] of [['q-0', 'approved'], ['q-1', 'denied'], ['q-2', 'approved'], ['q-3', 'pending']]) assert.equal(await stands(id), state);

  for (const id of ['q-3', 'q-4']) await row(page, id).getByRole('checkbox').click();
  await page.route('**/api/approvals/decisions', async (route) => {
    await server.post('/api/approvals/q-4/decision', { decision: 'approve' });
    await route.continue();
  });
  await bulk.getByRole('button', { name: 'Deny…' }).click();
  await bulk.getByRole('textbox').fill('together');
  await page.keyboard.press('Enter');
  await bulk.getByText(/^Denied 1\. 1 other not: /).waitFor();
  await gone(page, 'q-3');
  await gone(page, 'q-4');
  assert.deepEqual([await stands('q-3'), await stands('q-4'), await stands('q-5')], ['denied', 'approved', 'pending']);
  quiet();
  await context.close();
});

test('two tabs show the same, and what one answers leaves the other at once', async () => {
  await ask(2);
  const { context, page, quiet } = await open();
  const second = await context.newPage();
  await second.goto(`${server.url}/#/inbox`);
  await row(second, 'q-1').waitFor();
  await second.locator('[data-connection=live]').waitFor();
  await row(page, 'q-0').getByRole('button', { name: 'Approve' }).click();
  await gone(second, 'q-0');
  await second.waitForFunction(() => document.title === '(1) Inbox · Turnwire');
  quiet();
  await context.close();
});

test('the inbox resumes after the server was killed, and shows what happened meanwhile', async () => {
  const p = await ask(2);
  const { context, page, quiet } = await open();
  await row(page, 'q-1').waitFor();
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  assert.equal(await row(page, 'q-0').getByRole('button', { name: 'Approve' }).getAttribute('aria-disabled'), 'true');
  await server.up();
  await server.publish(p.decide('q-0', 'approved', { by: 'terminal' }), p.ask('q-9', 'Bash', { command: 'ls' }));
  await reconnect(page);
  await gone(page, 'q-0');
  await row(page, 'q-9').waitFor();
  await row(page, 'q-1').waitFor();
  quiet(AWAY);
  await context.close();
});

test('of all tabs one follows the log for the others, and when it is closed another one goes on', async () => {
  const p = await ask(1);
  const { context, page, quiet } = await visitor(browser);
  const pages = [page, await context.newPage(), await context.newPage()];
  /** @type {number[]} */
  const streams = pages.map(() => 0);
  pages.forEach((one, at) => one.on('request', (request) => (streams[at] += Number(/\/api\/events\?.*agent_online/.test(request.url())))));
  // A minute of being hidden is over at once.
  await context.addInitScript(() => {
    const real = setTimeout;
    Object.assign(window, { setTimeout: (/** @type {() => void} */ done, /** @type {number} */ ms) => real(done, ms === 60_000 ? 0 : ms) });
  });
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  for (const one of pages) {
    await one.goto(`${server.url}/#/inbox`);
    await row(one, 'q-0').waitFor();
    await one.locator('[data-connection=live]').waitFor();
  }
  assert.deepEqual(streams, [1, 0, 0]);
  // All are hidden for longer than a tab keeps a stream of its own.
  for (const one of pages)
    await one.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true });
      document.dispatchEvent(new Event('visibilitychange'));
      return new Promise((done) => setTimeout(done, 60_000));
    });
  await server.publish(p.ask('q-1', 'Bash', { command: 'ls' }));
  for (const one of pages) await one.waitForFunction(() => document.title === '(2) Inbox · Turnwire');
  await page.close();
  await server.publish(p.ask('q-2', 'Bash', { command: 'ls' }), p.decide('q-0', 'denied'));
  for (const one of pages.slice(1)) {
    await row(one, 'q-2').waitFor();
    await gone(one, 'q-0');
    await one.waitForFunction(() => document.title === '(2) Inbox · Turnwire');
  }
  assert.equal(streams[1] + streams[2], 1);
  await server.kill();
  for (const one of pages.slice(1)) await one.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  await server.publish(p.decide('q-1', 'approved'));
  await reconnect(pages[2]);
  for (const one of pages.slice(1)) {
    await gone(one, 'q-1');
    await one.locator('[data-connection=live]').waitFor();
  }
  quiet(AWAY);
  await context.close();
});

test('who may just look sees what waits and decides nothing, on a narrow screen in the dark as well', async () => {
  await ask(1);
  const link = await server.linkFor('reader', 'read');
  const { context, page, quiet } = await open({ link, options: { colorScheme: 'dark', viewport: { width: 375, height: 700 } } });
  await row(page, 'q-0').getByText('your sign-in may not').waitFor();
  assert.equal(await row(page, 'q-0').getByRole('button').count(), 0);
  assert.equal(await page.getByRole('checkbox').count(), 0);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  assert.deepEqual(await page.locator('main').evaluate((main) => main.scrollWidth - main.clientWidth), 0);
  quiet();
  await context.close();
});
