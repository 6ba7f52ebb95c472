import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { AWAY, launch, visitor, walk } from '../testing/browser.js';
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

test('a page resumes after the server was killed: nothing is lost, nothing is shown twice', async () => {
  const p = producer('resumed');
  await server.publish(p.start(), p.turn('Count'));
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('a[data-session="resumed"]').click();
  await page.locator('[data-connection=live]').waitFor();
  let said = 0;
  for (let round = 0; round < 3; round += 1) {
    await server.publish(...Array.from({ length: 40 }, () => p.message(`number ${said++}`, `m-${said}`)));
    // Sometimes the page has seen them all when the server dies, sometimes not.
    if (round !== 1) await page.getByText(`number ${said - 1}`, { exact: true }).waitFor();
    await server.publish(p.delta(`half ${round}`, 'open'));
    await server.kill();
    await page.locator('[data-connection=reconnecting]').waitFor();
    await page.getByRole('status').filter({ hasText: 'Reconnecting' }).waitFor();
    await server.up();
    await server.publish(p.message(`half ${round}, whole`, 'open'), p.message(`number ${said++}`, `m-${said}`));
    await page.getByRole('button', { name: 'Try now' }).click({ timeout: 1000 }).catch(() => {});
    await page.locator('[data-connection=live]').waitFor();
    await page.getByText(`half ${round}, whole`).waitFor();
    await page.getByText(`number ${said - 1}`, { exact: true }).waitFor();
  }
  assert.deepEqual(await walk(page), (await server.log('resumed')).map(({ seq }) => seq));
  quiet(AWAY);
  await context.close();
});

test('the list resumes as well, and shows what happened meanwhile', async () => {
  const [before, later] = [producer('before'), producer('later')];
  await server.publish(before.start(), before.turn('Before'));
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  await server.publish(later.start(), later.turn('Later'), before.turnEnd());
  await page.locator('a[data-session="later"] [data-state=thinking]').waitFor();
  await page.locator('a[data-session="before"] [data-state=idle]').waitFor();
  await page.locator('[data-connection=live]').waitFor();
  quiet(AWAY);
  await context.close();
});

test('a page that is opened while the server is away says so and goes on when it is back', async () => {
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await page.locator('a.row').first().click();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  await page.locator('[data-connection=live]').waitFor();
  await page.locator('.item').first().waitFor();
  quiet(AWAY);
  await context.close();
});
