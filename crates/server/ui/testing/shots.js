// Pictures of the page for the documentation: large ones of the recorded runs of `turnwire demo`, and one of each view in the table
// that the tests go over:
//
//   node testing/shots.js [directory]

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { AWAY, launch, visitor } from './browser.js';
import { look, NOT_IN } from './look.js';
import { BIN } from './server.js';
import { VIEWS } from './views.js';
import { World } from './world.js';

/** How fast the runs are played: some end and some are at work when the pictures are taken. */
const SPEED = '0.5';

/** @param {string} directory */
async function take(directory) {
  mkdirSync(directory, { recursive: true });
  const demo = spawn(BIN, ['demo', '--speed', SPEED, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const browser = await launch();
  try {
    const { value: line } = await createInterface({ input: demo.stdout })[Symbol.asyncIterator]().next();
    const { context, page, quiet } = await visitor(browser, { deviceScaleFactor: 2, viewport: { width: 1200, height: 760 } });
    await page.goto(JSON.parse(line).pair);
    await page.locator('a.row:has(.last:not(:empty))').nth(3).waitFor();
    await page.locator('[data-connection=live]').waitFor();
    await both(page, join(directory, 'sessions'));
    await page.setViewportSize({ width: 1200, height: 1080 });
    await page.locator('a.row').filter({ hasText: 'claude' }).first().click();
    await page.locator('.item.tool.failed').first().waitFor();
    await page.locator('.item.end').first().waitFor();
    await page.locator('[data-connection=live]').waitFor();
    await both(page, join(directory, 'session'));
    await page.setViewportSize({ width: 1200, height: 760 });
    await page.goto(`${new URL(page.url()).origin}/#/usage`);
    await page.locator('.plot canvas').first().waitFor();
    await both(page, join(directory, 'usage'));
    quiet(AWAY);
    await context.close();
  } finally {
    await browser.close();
    demo.kill('SIGTERM');
  }
}

/** Each view, small. @param {string} directory */
async function takeViews(directory) {
  mkdirSync(directory, { recursive: true });
  const browser = await launch();
  const world = await World.begin();
  try {
    for (const view of VIEWS) {
      const { context, page, quiet } = await look(browser, world, view);
      await view.seen(page);
      await both(page, join(directory, slug(view.name)));
      quiet(view.isGuest && NOT_IN);
      await context.close();
    }
  } finally {
    await browser.close();
    await world.end();
  }
}

/** What a view's picture is called: `the fleet` is `fleet`. @param {string} name */
const slug = (name) => name.replace(/^(the|a|one) /, '').replace(/[^a-z]+/g, '-');

/** @param {import('playwright-core').Page} page @param {string} path */
async function both(page, path) {
  for (const colorScheme of /** @type {const} */ (['dark', 'light'])) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${path}-${colorScheme}.png` });
  }
}

const directory = process.argv[2] ?? fileURLToPath(new URL('../../../../docs/img', import.meta.url));
await take(directory);
await takeViews(join(directory, 'views'));
