import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { AWAY, launch, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
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

test('a plain EventSource that is cut before its first event misses nothing', async () => {
  const p = producer('plain');
  await server.publish(p.start(), p.message('before it listened', 'm-0'));
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await page.evaluate(() => {
    const seen = /** @type {any} */ (window);
    seen.messages = [];
    const source = new EventSource('/api/events?type=message');
    source.onmessage = ({ data, lastEventId }) => seen.messages.push([JSON.parse(data).data.content, Number(lastEventId)]);
    return new Promise((said) => source.addEventListener('hello', said, { once: true }));
  });
  await server.kill();
  // Elsewhere, where the browser does not find it, so that this is surely written before the browser is back.
  const { url } = server;
  server.url = '';
  await server.up();
  await server.publish(p.message('while it was away', 'm-1'));
  await server.kill();
  server.url = url;
  await server.up();
  await page.waitForFunction(() => /** @type {any} */ (window).messages.length > 0);
  await server.publish(p.message('after it was back', 'm-2'));
  await page.waitForFunction(() => /** @type {any} */ (window).messages.length > 1);
  const seen = await page.evaluate(() => /** @type {any} */ (window).messages);
  const messages = (await server.log('plain')).filter(({ type }) => type === 'message');
  assert.deepEqual(seen, messages.slice(1).map(({ seq, data }) => [data.content, seq]));
  quiet(AWAY);
  await context.close();
});
