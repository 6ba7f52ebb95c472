// Usage: sums as the server has them, plots beside tables, and the way further in.

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
  const [a, b] = [producer('one', 'ann'), producer('two', HOSTILE[0])];
  await server.publish(a.start('model-a'), a.turn('First work'), a.toolStart('x', 'Bash', {}), a.toolEnd('x', 'Bash', 'ok'), a.turnEnd());
  await server.publish(b.start('model-b'), b.turn(HOSTILE[1]), b.toolStart('y', HOSTILE[3], {}), b.toolEnd('y', HOSTILE[3], 'no', false), b.turnEnd());
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

/** @param {import('playwright-core').Page} page @param {string} name */
const total = (page, name) => page.locator('.totals > div', { has: page.getByText(name, { exact: true }) }).locator('dd').innerText();

/** Whether anything was drawn. @param {import('playwright-core').Page} page @param {string} name */
const drawn = (page, name) =>
  page.getByRole('region', { name, exact: true }).locator('canvas').evaluate((canvas) => {
    if (!(canvas instanceof HTMLCanvasElement)) return 0;
    const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });

test('what was used is summed, plotted and listed, and follows what happens', async () => {
  const { context, page, quiet } = await open();
  /** @type {string[]} */
  const loaded = [];
  page.on('request', (request) => loaded.push(new URL(request.url()).pathname));
  await page.reload();
  await page.locator('a.session-row').first().waitFor();
  assert.ok(!loaded.some((path) => path.includes('uplot')), 'the fleet does not load what draws plots');
  await page.keyboard.press('g');
  await page.keyboard.press('u');
  await page.getByRole('region', { name: 'By agent', exact: true }).getByRole('link', { name: 'ann' }).waitFor();
  assert.equal(await total(page, 'turns'), '2');
  assert.equal(await total(page, 'tool calls'), '2');
  assert.equal(await total(page, 'cost'), '$0.029');
  for (const name of ['Cost', 'Tokens', 'Turns and tool calls', 'Errors']) {
    await page.getByRole('region', { name, exact: true }).locator('canvas').waitFor();
    assert.ok((await drawn(page, name)) > 3, name);
  }
  const cells = await page.getByRole('region', { name: 'Cost, as a table' }).locator('tbody tr').first().innerText();
  assert.match(cells, /\$0\.029/);
  const more = producer('three', 'ann');
  await server.publish(more.start('model-a'), more.turn('More'), more.turnEnd());
  await page.locator('.totals').getByText('3', { exact: true }).waitFor();
  quiet();
  await context.close();
});

test('window, grouping and agent are in the address, and rows lead further in', async () => {
  const { context, page, quiet } = await open();
  await page.goto(`${server.url}/#/usage`);
  await page.getByRole('button', { name: '7 days' }).click();
  await page.getByRole('region', { name: 'By agent', exact: true }).getByRole('link', { name: 'ann' }).click();
  await page.getByRole('region', { name: 'By session', exact: true }).getByRole('link', { name: 'First work' }).waitFor();
  assert.equal(new URL(page.url()).hash, '#/usage?window=7d&by=session&agent=ann');
  assert.equal(await page.getByRole('region', { name: 'By session', exact: true }).getByRole('link').filter({ hasText: 'script' }).count(), 0);
  await page.reload();
  await page.getByRole('button', { name: 'of ann' }).click();
  await page.getByRole('button', { name: 'model' }).click();
  await page.getByRole('region', { name: 'By model', exact: true }).getByText('model-b').waitFor();
  await page.getByRole('button', { name: 'session' }).click();
  await page.getByRole('link', { name: 'First work' }).waitFor();
  await page.locator('main').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/session\//);
  quiet();
  await context.close();
});

test('plots and tables are there in the dark and on a telephone, and hostile names are text', async () => {
  const { context, page, quiet } = await open({ colorScheme: 'dark', viewport: { width: 375, height: 700 } });
  await page.goto(`${server.url}/#/usage?by=session`);
  await page.getByRole('region', { name: 'Cost', exact: true }).locator('canvas').waitFor();
  await page.getByRole('region', { name: 'Tools', exact: true }).getByText('Bash').waitFor();
  assert.ok((await drawn(page, 'Cost')) > 3);
  await harmless(page);
  assert.ok((await overflow(page)) <= 0, 'nothing is wider than the window');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.getByRole('region', { name: 'Cost', exact: true }).locator('canvas').waitFor();
  quiet();
  await context.close();
});
