// What may be done to a session as a whole: renamed, exported, erased.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { after, before } from 'node:test';
import { launch, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
import { harmless, overflow } from '../testing/hostile.js';
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

/** @param {string} hash @param {{ link?: string, options?: import('playwright-core').BrowserContextOptions }} [how] */
async function open(hash, { link, options } = {}) {
  const seen = await visitor(browser, options);
  await seen.page.goto(link ?? (await server.pairingLink()));
  await seen.page.locator('[data-connection=live]').waitFor();
  await seen.page.goto(`${server.url}/${hash}`);
  return seen;
}

/** @param {import('playwright-core').Page} page @param {string} action */
async function choose(page, action) {
  await page.locator('.menu > summary', { hasText: 'Session' }).click();
  await page.locator('.menu[open]').getByText(action).click();
}

test('a session is renamed from any of its views, by keys, and every tab says its new name at once', async () => {
  const p = producer('named');
  await server.publish(p.start(), p.turn('First words'), p.turnEnd());
  const { context, page, quiet } = await open('#/session/named?view=timeline');
  const other = await context.newPage();
  await other.goto(`${server.url}/#/`);
  await other.getByText('First words').waitFor();
  await page.getByRole('heading', { name: 'First words' }).waitFor();
  await page.locator('.menu > summary', { hasText: 'Session' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Rename…' }).press('Enter');
  const field = page.getByRole('textbox', { name: 'Title' });
  await page.waitForFunction(() => document.activeElement?.matches('input[name=title]'));
  assert.equal(await field.inputValue(), 'First words');
  await field.fill('Better <img src=x>');
  await field.press('Enter');
  await page.getByRole('heading', { name: 'Better' }).waitFor();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await other.getByText('Better').first().waitFor();
  await harmless(page);
  assert.ok((await server.ask('/api/sessions/named')).title.startsWith('Better'));
  await page.waitForFunction(() => document.activeElement?.matches('.menu > summary'));
  quiet();
  await context.close();
});

test('an export is the whole log of the session as a file', async () => {
  const p = producer('kept/as file');
  await server.publish(p.start(), p.turn('Keep this'), p.message('Kept'), p.turnEnd());
  const { context, page, quiet } = await open('#/session/kept%2Fas%20file');
  await page.getByText('Kept').waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), choose(page, 'Export')]);
  assert.match(download.suggestedFilename(), /\.(nd)?jsonl?$/);
  const lines = readFileSync(await download.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ seq }) => seq), (await server.log('kept/as file')).map(({ seq }) => seq));
  quiet();
  await context.close();
});

test('erasing says what goes, asks once more, and takes the session from every view that has it', async () => {
  const p = producer('gone');
  await server.publish(p.start(), p.turn('Forget me'), p.message('A secret'));
  const { context, page, quiet } = await open('#/session/gone');
  const other = await context.newPage();
  await other.goto(`${server.url}/#/session/gone`);
  await other.getByText('A secret').waitFor();
  await choose(page, 'Erase…');
  const dialog = page.getByRole('dialog', { name: 'Erase this session' });
  await dialog.getByText('3 events in 1 turn').waitFor();
  assert.ok(await page.evaluate(() => document.activeElement?.textContent === 'Keep'), 'what harms is not what Enter does');
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  // A turn is in flight: the server says so.
  await choose(page, 'Erase…');
  await dialog.getByRole('button', { name: 'Erase for good' }).click();
  await dialog.getByRole('alert').filter({ hasText: 'It was not erased: session gone has a turn in flight' }).waitFor();
  await server.publish(p.turnEnd());
  await dialog.getByText('4 events in 1 turn').waitFor();
  await dialog.getByRole('button', { name: 'Erase for good' }).click();
  await page.getByRole('heading', { name: 'Fleet' }).waitFor();
  assert.equal(await page.locator('[data-session=gone]').count(), 0);
  await other.getByRole('heading', { name: 'There is no such session' }).waitFor();
  assert.equal(await other.getByText('A secret').count(), 0);
  quiet(/status of (404|409)/);
  await context.close();
});

test('who may not do it is not offered it; on a telephone, in the dark, the menu fits', async () => {
  const p = producer('seen');
  await server.publish(p.start(), p.turn('Look'), p.turnEnd());
  const options = { colorScheme: /** @type {const} */ ('dark'), viewport: { width: 375, height: 700 } };
  const { context, page, quiet } = await open('#/session/seen', { link: await server.linkFor('reader', 'read'), options });
  await page.getByText('Look').first().waitFor();
  await page.locator('.menu > summary', { hasText: 'Session' }).click();
  assert.deepEqual(await page.locator('.menu .choices > *').allInnerTexts(), ['Export']);
  const box = await page.locator('.menu .choices').boundingBox();
  assert.ok(box && box.x >= 0 && box.x + box.width <= 375, JSON.stringify(box));
  assert.ok((await overflow(page)) <= 0);
  await page.keyboard.press('Escape');
  await page.locator('.menu[open]').waitFor({ state: 'detached' });
  quiet();
  await context.close();
});

test('an empty view has the command to type next; with the token that is made for it, it works from elsewhere', async () => {
  const empty = await Server.start();
  const { context, page, quiet } = await visitor(browser);
  try {
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: empty.url });
    await page.goto(await empty.pairingLink());
    await page.getByRole('heading', { name: 'No sessions yet' }).waitFor();
    await page.getByText('turnwire run -- claude').waitFor();
    for (const [hash, command] of [['#/inbox', 'turnwire hooks install'], ['#/agent/bob', 'turnwire agent --name bob'], ['#/usage', 'turnwire run -- claude']]) {
      await page.goto(`${empty.url}/${hash}`);
      await page.getByText(command).waitFor();
    }
    await page.goto(`${empty.url}/#/runs`);
    await page.getByRole('button', { name: 'For another machine' }).click();
    await page.getByText('TURNWIRE_TOKEN=tw_').waitFor();
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByText('Copied.').waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    const home = mkdtempSync(join(tmpdir(), 'turnwire-page-'));
    const done = spawnSync('sh', ['-c', command], { env: { PATH: `${dirname(BIN)}:${process.env.PATH}`, HOME: home }, encoding: 'utf8' });
    rmSync(home, { recursive: true });
    assert.equal(done.status, 0, done.stderr);
    // The view fills by itself.
    await page.locator('[data-run=run-1]').waitFor();
    quiet();
  } finally {
    await context.close();
    await empty.stop();
  }
});
