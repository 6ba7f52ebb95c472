// Every view: it loads from recorded runs, goes on while it is open, and outlives its server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after, afterEach, before, beforeEach } from 'node:test';
import { AWAY, launch, read, reconnect } from '../testing/browser.js';
import { look, lookAgain, NOT_IN } from '../testing/look.js';
import { same } from '../testing/shown.js';
import { VIEWS } from '../testing/views.js';
import { World } from '../testing/world.js';

/** @type {World} */ let world;
/** @type {import('playwright-core').Browser} */ let browser;

before(async () => {
  browser = await launch();
});
beforeEach(async () => {
  world = await World.begin();
});
afterEach(() => world?.end());
after(() => browser?.close());


test('every view that the page has is in the table that the tests of all views go over', async () => {
  const { context, page, quiet } = await look(browser, world, VIEWS[0]);
  const source = readFileSync(new URL('../views.js', import.meta.url), 'utf8');
  const paths = [...source.matchAll(/^ *\{ path: '([^']*)'/gm)].map(([, path]) => path);
  assert.ok(paths.length > 5);
  assert.deepEqual(paths.filter((path) => !VIEWS.some((view) => view.path === path)), []);
  await page.goto(`${world.server.url}/#/session/waiting`);
  const within = page.getByRole('navigation', { name: 'Views of this session' }).getByRole('link');
  await within.first().waitFor();
  const queries = (/** @type {string} */ hash) => [...new URLSearchParams(hash.split('?')[1] ?? '').keys(), new URLSearchParams(hash.split('?')[1]).get('view')].join();
  const hashes = await Promise.all(VIEWS.filter(({ path }) => path === 'session').map(({ hash }) => hash(world)));
  for (const link of await within.all()) {
    const href = (await link.getAttribute('href')) ?? '';
    assert.ok(hashes.some((hash) => queries(hash) === queries(href)), href);
  }
  quiet();
  await context.close();
});

for (const view of VIEWS) {
  test(`${view.name}: shows what was recorded${view.live ? ', and goes on while it is open' : ''}`, async () => {
    const one = await look(browser, world, view);
    await view.seen(one.page);
    await view.live?.(world);
    await view.changed?.(one.page);
    one.quiet(view.isGuest && NOT_IN);
    await one.context.close();
  });

  test(`${view.name}: after its server was killed and started again it says what one says that is opened then, each thing once`, async () => {
    const { server } = world;
    const one = await look(browser, world, view);
    await view.seen(one.page);
    const connection = await one.page.locator('[data-connection=live]').count();
    await server.kill();
    // What was recorded goes on while the server is away: its publisher keeps it.
    world.play();
    if (connection) await one.page.locator('[data-connection=reconnecting]').waitFor();
    await server.up();
    await view.live?.(world);
    if (connection) await reconnect(one.page);
    await view.changed?.(one.page);
    const other = await lookAgain(browser, one);
    const [then, now] = await same(one.page, other.page);
    assert.deepEqual(then, now);
    assert.ok(now.length > 3, String(now));
    if (view.session) {
      const places = (await read(one.page)).flatMap(({ seqs }) => seqs).sort((a, b) => a - b);
      assert.deepEqual(places, (await server.log(view.session)).map(({ seq }) => seq));
    }
    other.quiet(view.isGuest && NOT_IN);
    one.quiet(view.isGuest ? new RegExp(`${AWAY.source}|${NOT_IN.source}`) : AWAY);
    await Promise.all([one.context.close(), other.context.close()]);
  });
}
