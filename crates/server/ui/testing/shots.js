// Pictures of the page for the documentation, of the recorded runs of `turnwire demo`:
//
//   node testing/shots.js [directory]

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { AWAY, launch, visitor } from './browser.js';
import { BIN } from './server.js';

/** How fast the runs are played: some end and some are at work when the pictures are taken. */
const SPEED = '0.5';

/** The other views: what the picture is called, where it is, and what is there when it can be taken. */
const VIEWS = [
  ['usage', '#/usage', '.plot canvas'],
  ['search', '#/search?q=hello', 'a.result'],
  ['access', '#/access', '.token'],
];

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
    for (const [name, hash, ready] of VIEWS) {
      await page.goto(`${new URL(page.url()).origin}/${hash}`);
      await page.locator(ready).first().waitFor();
      await both(page, join(directory, name));
    }
    quiet(AWAY);
    await context.close();
  } finally {
    await browser.close();
    demo.kill('SIGTERM');
  }
}

/** @param {import('playwright-core').Page} page @param {string} path */
async function both(page, path) {
  for (const colorScheme of /** @type {const} */ (['dark', 'light'])) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${path}-${colorScheme}.png` });
  }
}

await take(process.argv[2] ?? fileURLToPath(new URL('../../../../docs/img', import.meta.url)));
