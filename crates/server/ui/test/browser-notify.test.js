// Notifications: asked for by a click, told while nobody looks, taken back when answered, and a way to the moment.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, visitor } from '../testing/browser.js';
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

/** In the page: notifications that can be looked at, and whether anybody looks. */
function play() {
  const shown = /** @type {any[]} */ ([]);
  class Played {
    static permission = 'default';
    static requestPermission = async () => (Played.permission = 'granted');
    closed = false;
    /** @param {string} title @param {{ body: string }} options */
    constructor(title, { body }) {
      Object.assign(this, { title, body });
      shown.push(this);
    }
    close() {
      this.closed = true;
    }
  }
  Object.assign(window, { Notification: Played, shown, away: false });
  Object.defineProperty(document, 'hidden', { get: () => /** @type {any} */ (window).away });
}

test('what newly waits is told while nobody looks, leads to its moment, and is taken back when it is answered', async () => {
  const p = producer('told');
  await server.publish(p.start(), p.turn('Ship it'), p.ask('before', 'Bash', { command: 'ls' }));
  const { context, page, quiet } = await visitor(browser);
  await page.addInitScript(play);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await page.goto(`${server.url}/#/inbox`);
  await page.locator('[data-ask=before]').waitFor();
  const shown = () => page.evaluate(() => /** @type {any} */ (window).shown.map((/** @type {any} */ one) => [one.title, one.body, one.closed]));
  await page.evaluate(() => void (/** @type {any} */ (window).away = true));
  await server.publish(p.ask('unasked', 'Bash', { command: 'ls' }));
  await page.locator('[data-ask=unasked]').waitFor();
  assert.deepEqual(await shown(), [], 'nothing is told that nobody asked for');
  await page.getByRole('button', { name: 'Notify me' }).click();
  await page.getByRole('button', { name: 'Notifies you' }).waitFor();
  await server.publish(p.ask('after', 'Write', { file_path: '/x' }, { title: 'Write /x' }));
  await page.locator('[data-ask=after]').waitFor();
  assert.deepEqual(await shown(), [['Write waits for you', 'Write /x · Ship it', false]]);
  await page.evaluate(() => /** @type {any} */ (window).shown[0].onclick());
  await page.waitForURL(/#\/session\/told\?at=\d+$/);
  await server.publish(p.ask('last', 'Edit', {}));
  await page.waitForFunction(() => /** @type {any} */ (window).shown.length === 2);
  await server.publish(p.decide('last', 'approved'));
  await page.waitForFunction(() => /** @type {any} */ (window).shown[1].closed);
  await page.evaluate(() => void (/** @type {any} */ (window).away = false));
  await server.publish(p.ask('looking', 'Edit', {}));
  await page.locator('[data-waiting="4"]').waitFor();
  assert.equal((await shown()).length, 2, 'who looks is not told');
  quiet();
  await context.close();
});
