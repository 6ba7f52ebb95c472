// Access: what may do what, given and taken away; and what a share link opens.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, visitor } from '../testing/browser.js';
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

/** What the browser logs by itself of a request that was refused. */
const REFUSED = /status of 4\d\d/;

/** @param {{ link?: string, options?: import('playwright-core').BrowserContextOptions }} [how] */
async function open({ link, options } = {}) {
  const seen = await visitor(browser, options);
  await seen.page.goto(link ?? (await server.pairingLink()));
  await seen.page.locator('[data-connection=live]').waitFor();
  await seen.page.goto(`${server.url}/#/access`);
  await seen.page.getByRole('heading', { name: 'Access' }).waitFor();
  return seen;
}

/** @param {string} name @param {string[]} scopes @returns {Promise<{ id: string, token: string }>} */
const token = (name, ...scopes) => server.post('/api/tokens', { name, scopes });

test('a token is made with what was chosen, shown once, and serves until it is revoked', async () => {
  const { context, page, quiet } = await open();
  await page.getByText('Make a token').click();
  const form = page.locator('.give[open]');
  await form.getByLabel('Name').fill('ci robot');
  await form.getByRole('checkbox', { name: 'publish' }).check();
  await form.getByLabel('Other scopes').fill('agent:robot');
  await form.getByLabel('Ends').selectOption({ label: 'in a week' });
  await form.getByRole('button', { name: 'Make it' }).click();
  const made = await form.getByLabel('Token', { exact: true }).inputValue();
  const ask = () => fetch(`${server.url}/api/me`, { headers: { authorization: `Bearer ${made}` } });
  const me = await (await ask()).json();
  assert.deepEqual([me.name, me.scopes.toSorted()], ['ci robot', ['agent:robot', 'publish', 'read']]);
  assert.ok(Math.abs(Date.parse(me.expires) - Date.now() - 7 * 86_400_000) < 600_000, me.expires);
  await page.getByRole('button', { name: 'show it no more' }).click();
  await page.getByLabel('Token', { exact: true }).waitFor({ state: 'detached' });

  const row = page.locator('.token', { hasText: 'ci robot' });
  await row.getByRole('button', { name: 'Revoke…' }).click();
  await row.getByRole('button', { name: 'Keep' }).click();
  assert.equal((await ask()).status, 200);
  await row.getByRole('button', { name: 'Revoke…' }).click();
  await row.getByRole('button', { name: 'Revoke for good' }).click();
  await row.waitFor({ state: 'detached' });
  assert.equal((await ask()).status, 410);
  quiet();
  await context.close();
});

test('another device is paired by the link, with no more than was chosen', async () => {
  const { context, page, quiet } = await open();
  await page.getByText('Pair another device').click();
  const form = page.locator('.give[open]');
  await form.getByLabel('Its name').fill('my phone');
  await form.getByRole('checkbox', { name: 'read' }).check();
  await form.getByRole('button', { name: 'Make a link' }).click();
  const link = await form.getByLabel('Link').inputValue();
  const phone = await open({ link, options: { viewport: { width: 375, height: 700 } } });
  await phone.page.getByRole('heading', { name: 'You are my phone' }).waitFor();
  assert.equal(await phone.page.locator('.token').count(), 0);
  assert.ok((await overflow(phone.page)) <= 0);
  phone.quiet();
  await phone.context.close();
  await page.reload();
  await page.getByRole('region', { name: 'Devices' }).getByText('my phone').waitFor();
  quiet();
  await context.close();
});

test('what the server refuses is told in its words, and what was typed is kept', async () => {
  const { context, page, quiet } = await open();
  await page.getByText('Make a token').click();
  const form = page.locator('.give[open]');
  await form.getByLabel('Name').fill('odd');
  await form.getByLabel('Other scopes').fill('fly');
  await form.getByRole('button', { name: 'Make it' }).click();
  await form.getByRole('alert').filter({ hasText: 'That was refused' }).waitFor();
  assert.equal(await form.getByLabel('Name').inputValue(), 'odd');
  quiet(REFUSED);
  await context.close();
});

test('hostile names are text, in the dark, on a telephone, and by keys', async () => {
  for (const text of HOSTILE.slice(0, 3)) await token(text, 'read:session:<b>x</b>');
  const { context, page, quiet } = await open({ options: { colorScheme: 'dark', viewport: { width: 375, height: 700 } } });
  await page.getByText(HOSTILE[0]).waitFor();
  await harmless(page);
  assert.ok((await overflow(page)) <= 0, 'nothing is wider than the window');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.ok(await page.evaluate(() => document.activeElement?.matches('.token')));
  quiet();
  await context.close();
});

test('a share link shows its session live, read-only, and nothing else, and leaves who is signed in alone', async () => {
  const [mine, other] = [producer('mine'), producer('other')];
  await server.publish(mine.start(), mine.turn('Shown to you'), mine.ask('ask-1', 'Bash', { command: 'rm -r x' }));
  await server.publish(other.start(), other.turn('A secret of others'));
  const { context, page, quiet } = await open();
  const cookie = await context.cookies();
  const { id, token: secret } = await token('shared: it', 'read:session:mine');
  const guest = await context.newPage();
  /** @type {string[]} */
  const asked = [];
  guest.on('request', (request) => asked.push(request.url()));
  await guest.goto(`${server.url}/#share=${secret}`);
  await guest.getByText('Shown to you').first().waitFor();
  await guest.getByText('Shared with you').waitFor();
  assert.equal(guest.url(), `${server.url}/#/`);
  await server.publish(mine.message('And what comes later'));
  await guest.getByText('And what comes later').waitFor();
  assert.equal(await guest.getByRole('textbox').count(), 0);
  const ways = await guest.getByRole('navigation').evaluateAll((all) => all.map((each) => each.getAttribute('aria-label')));
  assert.deepEqual(ways, ['Views of this session'], 'no way to anything else');
  for (const name of ['Approve', 'Share…', 'Sign out']) assert.equal(await guest.getByRole('button', { name }).count(), 0, name);
  // Whatever the address says, and whatever is typed.
  await guest.goto(`${server.url}/#/session/other`);
  await guest.goto(`${server.url}/#/inbox`);
  await guest.keyboard.press('g');
  await guest.keyboard.press('x');
  await guest.reload();
  await guest.getByText('And what comes later').waitFor();
  assert.equal(await guest.getByText('A secret of others').count(), 0);
  // In each of its views, and searched.
  for (const [name, seen] of [['Timeline', '.span.turn'], ['Replay', '[data-place]'], ['Conversation', '.item.message']]) {
    await guest.getByRole('navigation').getByRole('link', { name }).click();
    await guest.locator(seen).first().waitFor();
  }
  await guest.getByRole('searchbox').fill('you');
  await guest.getByRole('status').filter({ hasText: '1 find' }).waitFor();
  await guest.getByRole('searchbox').fill('secret');
  await guest.getByRole('status').filter({ hasText: '0 finds' }).waitFor();
  await guest.getByRole('button', { name: 'Raw' }).click();
  await guest.locator('.item.raw').first().waitFor();
  await guest.goto(`${server.url}/#/`);
  await guest.getByText('And what comes later').waitFor();
  const paths = new Set(asked.map((url) => new URL(url).pathname).filter((path) => path.startsWith('/api/')));
  for (const path of paths) assert.match(path, /^\/api\/(me|events\/history|sessions\/mine(\/.*)?)$/);
  for (const query of asked.filter((url) => url.includes('session_id='))) assert.equal(new URL(query).searchParams.get('session_id'), 'mine');
  assert.deepEqual(await context.cookies(), cookie);
  await page.reload();
  await page.getByRole('region', { name: 'Devices' }).waitFor();

  await server.ask(`/api/tokens/${id}`, { method: 'DELETE' });
  await guest.locator('[data-connection="signed out"]').waitFor();
  await guest.reload();
  await guest.getByText('This link shows nothing any more').waitFor();
  await guest.getByRole('button', { name: 'Close it' }).click();
  await guest.locator('nav').waitFor();
  // The guest was told once that the link is gone.
  quiet(REFUSED);
  await context.close();
});

test('whoever takes the secret out of a share link can ask for nothing else by it', async () => {
  const [mine, other] = [producer('lent'), producer('kept', 'hidden one')];
  const task = other.event('task_start', { task: 'a secret task' });
  await server.publish(mine.start(), mine.turn('Lent'), other.start(), other.turn('A secret'), other.message('secret words'), other.ask('ask-kept', 'Bash', { command: 'secret' }), task);
  await server.publish({ type: 'note', source: 'ops', data: { text: 'a secret of nobody' } });
  await server.post('/api/agent/sync?agent=hidden%20one', { capabilities: ['message'], state: 'idle' });
  const { url } = await server.post('/api/sessions/lent/share', {});
  const headers = { authorization: `Bearer ${decodeURIComponent(url.split('#share=')[1])}` };
  /** @param {string} path @param {RequestInit} [init] */
  const ask = async (path, init) => {
    const response = await fetch(server.url + path, { headers, ...init });
    return { status: response.status, text: await response.text() };
  };
  assert.match((await ask('/api/sessions/lent')).text, /Lent/);
  const open = ['state', 'sessions', 'events/history?after=0', 'events/history?before=999999&q=secret', 'agents', 'agents/hidden%20one', 'usage?by=agent', 'usage?by=session', 'runs'];
  const closed = ['sessions/kept', 'sessions/kept/turns', 'sessions/kept/tool-calls', 'sessions/kept/export', 'events/history?after=0&session_id=kept', 'events?session_id=kept', 'runs/kept', 'approvals', 'approvals/ask-kept', 'commands', 'tokens'];
  for (const path of [...open, ...closed]) {
    const { status, text } = await ask(`/api/${path}`);
    assert.doesNotMatch(text, /secret|"kept"|"hidden one"/, path);
    if (closed.includes(path)) assert.equal(status, 403, `${path}: ${text}`);
  }
  for (const path of ['events', 'commands', 'approvals/ask-kept/decision', 'sessions/lent/share', 'tokens', 'pairing-codes', 'chat', 'agent/sync?agent=x']) {
    const { status, text } = await ask(`/api/${path}`, { method: 'POST', body: '{}', headers: { ...headers, 'content-type': 'application/json' } });
    assert.equal(status, 403, `${path}: ${text}`);
  }
});

test('a session is shared from its view by a link that needs no sign-in, is listed, and is taken back', async () => {
  const p = producer('for all');
  await server.publish(p.start(), p.turn('Look at this'));
  const { context, page, quiet } = await open();
  await page.goto(`${server.url}/#/session/for%20all`);
  await page.locator('.menu > summary', { hasText: 'Session' }).click();
  await page.getByRole('button', { name: 'Share…' }).click();
  await page.getByLabel('Ends').selectOption({ label: 'in a day' });
  await page.getByRole('button', { name: 'Make the link' }).click();
  const link = await page.getByLabel('Link').inputValue();
  assert.ok(link.startsWith(`${server.url}/#share=tw_`), link);
  const guest = await visitor(browser, { viewport: { width: 375, height: 700 } });
  await guest.page.goto(link);
  await guest.page.getByText('Look at this').first().waitFor();
  assert.deepEqual(await guest.context.cookies(), []);
  await page.getByRole('dialog').getByRole('link', { name: 'Access' }).click();
  const row = page.getByRole('region', { name: 'Share links' }).locator('.token', { hasText: 'Look at this' });
  await row.getByText('read:session:for all').waitFor();
  await row.getByRole('button', { name: 'Revoke…' }).click();
  await row.getByRole('button', { name: 'Revoke for good' }).click();
  await guest.page.locator('[data-connection="signed out"]').waitFor();
  guest.quiet();
  await guest.context.close();
  quiet();
  await context.close();
});
