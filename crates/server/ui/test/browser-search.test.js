// The way between views, and the search.

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

/** @param {{ link?: string, options?: import('playwright-core').BrowserContextOptions }} [how] */
async function open({ link, options } = {}) {
  const seen = await visitor(browser, options);
  await seen.page.goto(link ?? (await server.pairingLink()));
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

test('every view in the navigation opens by its keys and by its address, and the help lists them', async () => {
  const { context, page, quiet } = await open();
  const views = await page.locator('header nav a').evaluateAll((links) => links.map((link) => [link.getAttribute('href'), link.getAttribute('title')]));
  assert.ok(views.length >= 4, String(views));
  for (const [href, said] of views) {
    const key = /\(g (.)\)/.exec(said ?? '')?.[1] ?? '';
    await page.goto(`${server.url}/#/session/nobody`);
    await page.locator('header nav a[aria-current]').waitFor({ state: 'detached' });
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await page.locator(`header nav a[href="${href}"][aria-current=page]`).waitFor();
    assert.equal(new URL(page.url()).hash, href);
    // Out of the field that a view may have begun with.
    await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
  }
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  assert.equal(await page.getByRole('dialog').locator('dt', { hasText: /^g.$/ }).count(), views.length);
  await context.close();
  quiet(/status of 404/);
});

test('the address that an agent prints shows that agent', async () => {
  await server.post('/api/agent/sync?agent=help%20er', { capabilities: ['message'], state: 'idle' });
  await server.post('/api/agent/sync?agent=other', { capabilities: [], state: 'idle' });
  const { context, page, quiet } = await open();
  await page.goto(`${server.url}/#/agent/help%20er`);
  await page.locator('[data-agent="help er"]').waitFor();
  assert.equal(await page.locator('[data-agent]').count(), 1);
  await page.getByRole('link', { name: 'All agents' }).click();
  await page.locator('[data-agent="other"]').waitFor();
  await page.goto(`${server.url}/#/agent/nobody`);
  await page.getByText('nobody was not here yet').waitFor();
  quiet();
  await context.close();
});

test('a search finds words in what was said and done, and leads to the moment', async () => {
  const p = producer('found', 'scribe');
  await server.publish(p.start(), p.turn('Translate the poem'), p.message('Der Größte Überblick, gefunden'), p.toolStart('a', 'Bash', { command: 'cargo nextest run' }));
  await server.publish(p.toolEnd('a', 'Bash', 'all 12 zebras passed'), p.turnEnd());
  const { context, page, quiet } = await open();
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await page.locator('[data-filter]:focus').waitFor();
  await page.keyboard.type('uberblick');
  await page.keyboard.press('Enter');
  await page.locator('mark', { hasText: 'Überblick' }).waitFor();
  assert.equal(new URL(page.url()).hash, '#/search?q=uberblick');
  const text = await page.locator('a.result').innerText();
  for (const part of ['message', 'Translate the poem', 'scribe']) assert.ok(text.includes(part), `${part} in ${text}`);

  await page.keyboard.press('/');
  await page.keyboard.type('zebra*');
  await page.keyboard.press('Enter');
  await page.locator('mark', { hasText: 'zebra' }).waitFor();
  await page.getByLabel('Kinds').selectOption({ label: 'Messages' });
  await page.getByText('Nothing that you may see has these words.').waitFor();
  await page.goBack();
  await page.goto(`${server.url}/#/search?q=zebras&type=tool_call`);
  await page.locator('a.result').waitFor();
  await page.locator('main').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/session\/found\?at=\d+&q=zebras$/);
  await page.locator('.item.tool.marked').waitFor();
  assert.equal(await page.getByLabel('Search in this session').inputValue(), 'zebras', 'the words are marked there, and the next find is a key away');
  quiet();
  await context.close();
});

test('a search shows what the reader may see, older results on request, and hostile words as text', async () => {
  const [mine, other] = [producer('mine'), producer('other')];
  await server.publish(mine.start(), ...HOSTILE.map((text, at) => mine.message(`needle ${text}`, `h-${at}`)));
  await server.publish(...Array.from({ length: 60 }, (_, at) => mine.message(`needle number ${at}`, `n-${at}`)));
  await server.publish(other.start(), other.message('needle of the other'));
  const link = await server.linkFor('guest', 'read:session:mine');
  for (const options of [{ colorScheme: /** @type {const} */ ('dark'), viewport: { width: 375, height: 700 } }]) {
    const { context, page, quiet } = await open({ link, options });
    await page.goto(`${server.url}/#/search?q=needle`);
    await page.locator('a.result').nth(49).waitFor();
    await page.getByRole('button', { name: 'Older results' }).click();
    await page.locator('a.result').nth(59 + HOSTILE.length).waitFor();
    await page.getByRole('button', { name: 'Older results' }).waitFor({ state: 'detached' });
    assert.equal(await page.locator('a.result').count(), 60 + HOSTILE.length);
    assert.equal(await page.getByText('of the other').count(), 0);
    await harmless(page);
    assert.ok((await overflow(page)) <= 0, 'nothing is wider than the window');
    await page.goto(`${server.url}/#/search?q=${encodeURIComponent('***')}`);
    await page.getByText('A search needs a letter or a digit.').waitFor();
    quiet();
    await context.close();
  }
});

test('a search says how much it has found, and what comes later is found, too', async () => {
  const p = producer('goes on');
  await server.publish(p.start(), ...Array.from({ length: 51 }, (_, at) => p.message(`walrus ${at}`, `w-${at}`)));
  const { context, page, quiet } = await open();
  await page.goto(`${server.url}/#/search`);
  await page.locator('[data-filter]:focus').waitFor();
  await page.keyboard.type('walrus ');
  await page.getByText('The newest 50 results; there are older ones').waitFor();
  assert.equal(new URL(page.url()).hash, '#/search?q=walrus', 'without Enter');
  assert.equal(await page.getByLabel('Search for').inputValue(), 'walrus ');
  await server.publish(p.message('a walrus that comes', 'late'), p.message('something else', 'else'));
  await page.locator('a.result').first().filter({ hasText: 'that comes' }).waitFor();
  await page.getByText('The newest 51 results').waitFor();
  const form = await page.locator('form[role=search]').boundingBox();
  assert.ok(form && form.y < 120 && form.width > 900, `the view begins at its top: ${JSON.stringify(form)}`);
  await page.getByRole('button', { name: 'Older results' }).click();
  await page.getByText('52 results', { exact: true }).waitFor();
  assert.deepEqual(new Set(await page.locator('a.result').evaluateAll((all) => all.map((each) => each.getAttribute('data-seq')))).size, 52, 'each once');
  quiet();
  await context.close();
});

test('the address of a piece of a message leads to the message that came of it', async () => {
  const p = producer('pieces');
  await server.publish(p.start(), p.turn('Say'), p.toolStart('slow', 'Bash', { command: 'sleep 1' }));
  const { first_seq: piece } = await server.publish(p.delta('One '), p.delta('two'), p.message('One two'));
  await server.publish(p.toolEnd('slow', 'Bash', 'slept'), p.turnEnd());
  const { context, page, quiet } = await open();
  await page.goto(`${server.url}/#/session/pieces?at=${piece}`);
  await page.locator('.item.message.marked', { hasText: 'One two' }).waitFor();
  quiet();
  await context.close();
});
