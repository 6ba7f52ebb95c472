import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { after, before } from 'node:test';
import { Agent } from '../testing/agent.js';
import { AWAY, launch, reconnect, visitor } from '../testing/browser.js';
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

/**
 * @param {string} id
 * @param {{ link?: string, options?: import('playwright-core').BrowserContextOptions }} [how]
 */
async function open(id, { link, options } = {}) {
  const seen = await visitor(browser, options);
  await seen.page.goto(link ?? (await server.pairingLink()));
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${encodeURIComponent(id)}`);
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** A session and its agent. @param {string} id */
async function session(id) {
  const agent = new Agent(server, `agent-${id}`);
  const p = producer(id, agent.name);
  await agent.report();
  await server.publish(p.start(), p.turn('First', 't-0'), p.turnEnd());
  return { agent, p };
}

/** @param {import('playwright-core').Page} page @param {string} state */
const order = (page, state) => page.locator(`.item.command [data-order=${state}]`);

test('a message is sent by Enter, and its way to the agent and to its turn is shown as it goes', async () => {
  const { agent, p } = await session('said');
  const { context, page, quiet } = await open('said');
  const field = page.getByRole('textbox', { name: 'Message to agent-said' });
  await field.fill('Do this');
  await field.press('Shift+Enter');
  await field.pressSequentially('and that');
  await field.press('Enter');
  await order(page, 'queued').waitFor();
  assert.equal(await field.inputValue(), '', 'what was sent is no draft');
  assert.equal(await page.locator('.item.command .text span').evaluate((span) => span.textContent), 'Do this\nand that');

  const given = await agent.next();
  assert.deepEqual([given.action, given.session_id, given.args], ['message', 'said', { content: 'Do this\nand that' }]);
  await order(page, 'delivered').waitFor();
  await page.getByRole('button', { name: 'Withdraw' }).waitFor();
  await agent.say(given.id, 'acked');
  await order(page, 'acked').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Withdraw' }).count(), 0, 'what was taken on is not withdrawn');
  await server.publish(p.turn('Do this\nand that', given.id), p.message('Done it.'), p.turnEnd());
  await page.getByText('Done it.').waitFor();
  await agent.say(given.id, 'done', { result: { turn_id: given.id, ok: true } });
  await order(page, 'done').waitFor();
  assert.equal(await page.getByText('and that').count(), 1, 'its turn is the same row');
  const seqs = await page
    .locator('.item')
    .evaluateAll((items) => items.flatMap((item) => (/** @type {HTMLElement} */ (item).dataset.seqs ?? '').split(' ').map(Number)));
  assert.deepEqual([...seqs].sort((a, b) => a - b), (await server.log('said')).map(({ seq }) => seq));
  quiet();
  await context.close();
});

test('an order fails, expires or is withdrawn, and says why', async () => {
  const { agent } = await session('ends');
  const { context, page, quiet } = await open('ends');
  const field = page.getByRole('textbox', { name: /^Message/ });
  await field.fill('Fail');
  await field.press('Enter');
  const failing = await agent.next();
  await agent.say(failing.id, 'failed', { reason: 'no <b>disk</b> space' });
  await order(page, 'failed').getByText('failed: no <b>disk</b> space').waitFor();

  await field.fill('Not this');
  await field.press('Enter');
  await order(page, 'queued').waitFor();
  await page.getByRole('button', { name: 'Withdraw' }).click();
  await order(page, 'withdrawn').getByText('withdrawn by').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Withdraw' }).count(), 0);

  await server.post('/api/commands', { agent: agent.name, session_id: 'ends', action: 'message', args: { content: 'Soon' }, expires_in_ms: 1 });
  await order(page, 'expired').getByText('expired: agent-ends did not take it on by').waitFor();
  quiet();
  await context.close();
});

test('the menu offers what the agent can be told and nothing else', async () => {
  const { agent, p } = await session('menu');
  const { context, page, quiet } = await open('menu');
  const menu = page.locator('.composer .menu');
  await menu.locator('summary').click();
  assert.deepEqual(await menu.getByRole('button').allInnerTexts(), ['Cancel', 'Hold', 'Release', 'Compact…', 'Set model…', 'New session…']);
  await menu.getByRole('button', { name: 'Set model' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Model').fill('model-y');
  await page.keyboard.press('Enter');
  const told = await agent.next();
  assert.deepEqual([told.action, told.session_id, told.args], ['set_model', 'menu', { model: 'model-y' }]);
  await dialog.waitFor({ state: 'detached' });
  await page.locator('.item.command').getByText('model-y').waitFor();
  await agent.say(told.id, 'acked');
  await agent.say(told.id, 'done');
  await order(page, 'done').waitFor();

  await menu.locator('summary').click();
  await menu.getByRole('button', { name: 'Hold' }).click();
  assert.equal((await agent.next()).action, 'hold');
  await menu.locator('summary').click();
  await menu.getByRole('button', { name: 'Compact' }).click();
  await dialog.getByLabel('What is to be kept').fill('The plan');
  await dialog.getByRole('button', { name: 'Compact' }).click();
  assert.deepEqual((await agent.next()).args, { instructions: 'The plan' });

  await menu.locator('summary').click();
  await menu.getByRole('button', { name: 'New session' }).click();
  await dialog.getByLabel('What it begins with').fill('Begin anew');
  await dialog.getByRole('button', { name: 'New session' }).click();
  const begun = await agent.next();
  assert.deepEqual([begun.action, begun.args], ['new_session', { prompt: 'Begin anew' }]);
  await page.waitForURL(`**/#/session/${begun.session_id}`);
  await order(page, 'delivered').waitFor();
  await page.locator('.item.command').getByText('Begin anew').waitFor();
  await page.getByRole('textbox', { name: 'Message to agent-menu' }).waitFor();
  await page.goto(`${server.url}/#/session/menu`);
  await page.locator('[data-connection=live]').waitFor();

  // The turn that is interrupted is the one that is seen, not one that begins meanwhile.
  assert.equal(await page.getByRole('button', { name: 'Interrupt' }).getAttribute('aria-disabled'), 'true');
  await server.publish(p.turn('Work', 't-9'));
  await page.locator('.facts [data-state=thinking]').waitFor();
  await page.getByRole('button', { name: 'Interrupt' }).click();
  const interrupt = await agent.next();
  assert.deepEqual([interrupt.action, interrupt.args], ['interrupt', { turn_id: 't-9' }]);

  await agent.report({ capabilities: ['message', 'compact'] });
  await page.getByRole('button', { name: 'Interrupt' }).waitFor({ state: 'detached' });
  await menu.locator('summary').click();
  assert.deepEqual(await menu.getByRole('button').allInnerTexts(), ['Compact…']);
  await page.keyboard.press('Escape');
  assert.equal(await menu.getAttribute('open'), null);
  assert.ok(page.url().includes('#/session/'), 'Escape closes the menu alone');
  quiet();
  await context.close();
});

test('who may not control sees what was ordered and orders nothing', async () => {
  const { agent, p } = await session('reader');
  await server.post('/api/commands', { agent: agent.name, session_id: 'reader', action: 'message', args: { content: 'From the boss' } });
  await server.publish(p.ask('ap-reader', 'Bash', { command: 'ls' }));
  const { context, page, quiet } = await open('reader', { link: await server.linkFor('reader', 'read') });
  await order(page, 'queued').waitFor();
  await page.getByText('your sign-in may not').waitFor();
  await page.goto(`${server.url}/#/agents`);
  await page.locator('[data-agent=agent-reader]').waitFor();
  await page.goto(`${server.url}/#/session/reader`);
  await order(page, 'queued').waitFor();
  for (const name of ['Withdraw', 'Approve', 'Send', 'Interrupt']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  assert.equal(await page.getByRole('textbox').count(), 0);
  quiet();
  await context.close();

  const other = await open('reader', { link: await server.linkFor('one', 'read', 'control:session:reader') });
  await other.page.getByRole('textbox', { name: /^Message/ }).waitFor();
  await other.page.getByRole('button', { name: 'Withdraw' }).waitFor();
  other.quiet();
  await other.context.close();
});

test('a session that was recorded has no field to write in', async () => {
  const p = producer('recorded', 'nobody-listens');
  await server.publish(p.start(), p.turn('x'), p.turnEnd());
  const { context, page, quiet } = await open('recorded');
  await page.locator('.item.end').waitFor();
  assert.equal(await page.locator('.composer').count(), 0);
  quiet();
  await context.close();
});

test('what was typed outlives a look at another view, and what could not be sent is still there', async () => {
  const { agent } = await session('draft');
  const { context, page, quiet } = await open('draft');
  const field = page.getByRole('textbox', { name: /^Message/ });
  await field.fill('Half a thought');
  await page.goto(`${server.url}/#/agents`);
  await page.locator('[data-agent=agent-draft]').waitFor();
  await page.goto(`${server.url}/#/session/draft`);
  await page.locator('[data-connection=live]').waitFor();
  assert.equal(await field.inputValue(), 'Half a thought');
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await field.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'Not sent: the server cannot be reached' }).waitFor();
  assert.equal(await field.inputValue(), 'Half a thought');
  await server.up();
  await reconnect(page);
  await field.press('Enter');
  await order(page, 'queued').waitFor();
  const given = await agent.next();
  assert.equal(given.args.content, 'Half a thought');
  assert.equal((await server.log('draft')).filter(({ type }) => type === 'command').length, 1);
  await field.fill('x'.repeat(70_000));
  await field.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'at most 65,536' }).waitFor();
  quiet(AWAY);
  await context.close();
});

test('an agent that the runner keeps is told from the page, and answers there', async () => {
  const runner = spawn(BIN, ['agent', '--name', 'echo', '--adapter', 'lines', '--data-dir', server.dir, '--quiet', '--', 'cat'], { stdio: 'inherit' });
  try {
    const { context, page, quiet } = await visitor(browser);
    await page.goto(await server.pairingLink());
    await page.getByRole('link', { name: 'Agents' }).click();
    const row = page.locator('[data-agent=echo][data-online=true]');
    await row.getByRole('button', { name: 'New session' }).click();
    await page.getByRole('dialog').getByLabel('What it begins with').fill('Say it back');
    await page.getByRole('dialog').getByRole('button', { name: 'New session' }).click();
    await page.locator('.item.command [data-order=done]').waitFor();
    await page.locator('.item.message').getByText('Say it back').waitFor();
    const field = page.getByRole('textbox', { name: 'Message to echo' });
    await field.fill('And this');
    await field.press('Enter');
    await page.locator('.item.message').getByText('And this').waitFor();
    await page.locator('.item.command [data-order=done]').nth(1).waitFor();
    assert.equal(await page.locator('.item.command').count(), 2);
    assert.equal(await page.locator('.item.turn').count(), 0, 'a turn that an order begins is the order’s own row');
    quiet();
    await context.close();
  } finally {
    const gone = once(runner, 'exit');
    runner.kill('SIGTERM');
    await gone;
  }
});

test('the agents are shown as they come, work and go, and what waits for each', async () => {
  const own = await Server.start('--agent-silence', '1');
  try {
    const { context, page, quiet } = await visitor(browser);
    await page.goto(await own.pairingLink());
    await page.locator('[data-connection=live]').waitFor();
    await page.getByRole('link', { name: 'Agents' }).click();
    await page.getByText('No agents yet').waitFor();
    const agent = new Agent(own, 'walker');
    await agent.report({ capabilities: ['hold', 'release', 'message'] });
    const row = page.locator('[data-agent=walker]');
    await row.getByText('model-x').waitFor();
    await page.locator('[data-agent=walker][data-online=false]').waitFor();
    await row.getByRole('button', { name: 'Hold' }).click();
    await row.getByText('1 order waiting').waitFor();
    await row.getByText('queued: walker is offline; it will be delivered when it is back, until').waitFor();
    assert.equal(await row.getByRole('button', { name: 'Set model' }).count(), 0);

    const p = producer('walk', 'walker');
    await own.publish(p.start());
    await page.goto(`${own.url}/#/session/walk`);
    await page.locator('.composer').getByText('walker is offline since').waitFor();
    await page.getByRole('textbox', { name: /^Message/ }).fill('Later');
    await page.keyboard.press('Enter');
    await order(page, 'queued').getByText('walker is offline; it will be delivered when it is back, until').waitFor();

    const hold = await agent.next();
    assert.equal(hold.action, 'hold');
    await agent.say(hold.id, 'acked');
    await agent.say(hold.id, 'done');
    await agent.report({ state: 'held' });
    await page.locator('.composer').getByText('walker · held · model-x').waitFor();
    await page.goto(`${own.url}/#/agents`);
    await row.locator('[data-order=done]').waitFor();
    await row.getByText('held').waitFor();
    quiet();
    await context.close();
  } finally {
    await own.stop();
  }
});

test('all of it can be done with the keys alone, in the dark, and on a narrow screen', async () => {
  const { agent } = await session('keys');
  const { context, page, quiet } = await open('keys', { options: { colorScheme: 'dark', viewport: { width: 375, height: 700 } } });
  await page.getByRole('textbox', { name: /^Message/ }).waitFor();
  await page.keyboard.press('m');
  await page.keyboard.type('jk? i');
  assert.equal(await page.locator('.composer textarea').inputValue(), 'jk? i', 'keys in a field are text');
  await page.keyboard.press('Enter');
  await order(page, 'queued').waitFor();
  await agent.next();
  await page.keyboard.press('Escape');
  assert.ok(await page.evaluate(() => document.activeElement?.matches('main')), 'Escape leaves the field');
  await page.keyboard.press('k');
  assert.ok(await page.evaluate(() => document.activeElement?.matches('.item')));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('write a message').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('i');
  await page.getByRole('heading', { name: 'Inbox' }).waitFor();
  await page.goto(`${server.url}/#/agents`);
  await page.locator('[data-agent=agent-keys]').waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  assert.deepEqual(await page.locator('main').evaluate((main) => main.scrollWidth - main.clientWidth), 0);
  quiet();
  await context.close();
});
