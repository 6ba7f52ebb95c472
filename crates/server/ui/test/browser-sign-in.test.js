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

/** What the browser logs by itself of a request that was refused. */
const REFUSED = /status of 4\d\d/;

test('the pairing link signs in, and leaves no code in the address, the history or any storage', async () => {
  const { context, page, quiet } = await visitor(browser);
  const link = await server.pairingLink();
  await page.goto(link);
  await page.getByText('No sessions yet').waitFor();
  assert.equal(page.url(), `${server.url}/#/`);
  const [cookie] = await context.cookies();
  assert.match(cookie.name, /^turnwire_session_[0-9a-f]{8}$/);
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
  const left = await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length, history.length]);
  assert.deepEqual(left.slice(0, 3), ['', 0, 0]);
  const code = link.split('#pair=')[1];
  await page.goBack().catch(() => {});
  assert.ok(!page.url().includes(code));
  await page.goto(`${server.url}/`);
  await page.getByText('No sessions yet').waitFor();
  quiet();
  await context.close();
});

test('a page without sessions says what to type next', async () => {
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.getByText('turnwire run -- claude -p').waitFor();
  await page.getByText('turnwire demo').waitFor();
  quiet();
  await context.close();
});

test('a wrong code is told, and the right one may be typed then', async () => {
  const { context, page, quiet } = await visitor(browser);
  await page.goto(`${server.url}/#pair=0000-0000`);
  const alert = page.getByRole('alert');
  await alert.filter({ hasText: 'This code does not work' }).waitFor();
  assert.ok(!page.url().includes('pair'));
  const code = (await server.pairingLink()).split('#pair=')[1];
  await page.getByLabel('Pairing code').fill(decodeURIComponent(code));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('No sessions yet').waitFor();
  quiet(REFUSED);
  await context.close();
});

test('a link that is opened in a page that is already there signs in as well', async () => {
  const { context, page, quiet } = await visitor(browser);
  await page.goto(server.url);
  await page.getByLabel('Pairing code').waitFor();
  const link = await server.pairingLink();
  await page.evaluate((hash) => (location.hash = hash), new URL(link).hash);
  await page.getByText('No sessions yet').waitFor();
  assert.equal(page.url(), `${server.url}/#/`);
  quiet(REFUSED);
  await context.close();
});

test('signing out ends it', async () => {
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('You are signed out.').waitFor();
  await page.reload();
  await page.getByLabel('Pairing code').waitFor();
  quiet(REFUSED);
  await context.close();
});

test('markup that is made from text is refused by the browser itself', async () => {
  const { context, page } = await visitor(browser);
  await page.goto(server.url);
  await page.getByLabel('Pairing code').waitFor();
  const outcome = await page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML('beforeend', '<i>x</i>');
      return 'made';
    } catch (error) {
      return String(error);
    }
  });
  assert.match(outcome, /TrustedHTML/);
  await context.close();
});
