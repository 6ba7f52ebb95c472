import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, visitor } from '../testing/browser.js';
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

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

test('of an output of 5 MB its head is shown with the way to the whole, and an image as it is', async () => {
  const output = `begins\n${'and goes on for a long line\n'.repeat(190_000)}ends`;
  await server.publish(
    { type: 'tool_call', session_id: 'large', data: { tool: 'Bash', tool_call_id: 'c1', success: true, output } },
    { type: 'tool_call', session_id: 'large', data: { tool: 'Shot', tool_call_id: 'c2', success: true, output: [{ type: 'image', mimeType: 'image/png', data: PNG }] } },
    { type: 'note', session_id: 'large', data: { text: 'no hash', turnwire_blobs: [{ at: '/data/x', hash: '../me', bytes: 1 }] } },
  );
  const { page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection]').waitFor();
  await page.goto(`${server.url}/#/session/large`);
  const link = page.getByRole('link', { name: 'Open the whole of output' });
  await link.waitFor();
  assert.match(await page.locator('.blob').first().innerText(), /5,320,011 bytes, text\/plain; its first 8,192 bytes are here/);
  const [opened] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await opened.waitForLoadState();
  // What was opened is the whole of it, as text and nothing else.
  assert.equal(await opened.evaluate(() => document.contentType), 'text/plain');
  assert.ok((await page.evaluate(async (href) => (await fetch(href)).text(), opened.url())) === output, 'it is whole');
  // The image was drawn: its contents came, and the policy of the page let them in.
  const image = page.locator('.image img');
  await image.scrollIntoViewIfNeeded();
  await page.waitForFunction(() => /** @type {HTMLImageElement | null} */ (document.querySelector('.image img'))?.naturalWidth === 1);
  assert.equal(await page.locator('.blob').count(), 1, 'what is no blob is not shown as one');
  quiet();
});
