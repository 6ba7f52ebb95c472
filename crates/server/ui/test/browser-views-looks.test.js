// Every view: by keys alone, on a telephone and on the widest screen, in the light and in the dark, and for who does not see it.

import assert from 'node:assert/strict';
import test, { after, afterEach, before, beforeEach } from 'node:test';
import { faults } from '../testing/axe.js';
import { launch, visitor } from '../testing/browser.js';
import { look, NOT_IN } from '../testing/look.js';
import { Server } from '../testing/server.js';
import { misfits } from '../testing/shown.js';
import { VIEWS, tabTo } from '../testing/views.js';
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


/** Widths of windows; a telephone's is the one that is looked at most closely. */
const SIZES = [
  { width: 1200, height: 800 },
  { width: 375, height: 740 },
  { width: 2560, height: 1300 },
];

/** In the light and in the dark, at each width: what is cut, and what the check of accessibility finds. @param {import('playwright-core').Page} page @param {string} name */
async function flaws(page, name) {
  /** @type {string[]} */
  const found = [];
  for (const size of SIZES) {
    await page.setViewportSize(size);
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme });
      const how = `${name}, ${size.width} px, ${colorScheme}: `;
      found.push(...(await misfits(page)).map((fault) => how + fault));
      if (size.width < 2000) found.push(...(await faults(page)).map((fault) => how + fault));
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name.replaceAll(/[^a-z]+/g, '-')}-${size.width}-${colorScheme}.png` });
    }
  }
  await page.setViewportSize(SIZES[0]);
  return found;
}

/** Presses Tab until the focus has been all around. What could have had it and did not, and where it is not to be seen. @param {import('playwright-core').Page} page */
async function around(page) {
  await page.evaluate(() => {
    const own = /** @type {any} */ (window);
    own.visited = new Set();
    own.unseen = [];
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute('tabindex');
  });
  for (let steps = 0; steps < 300; steps += 1) {
    await page.keyboard.press('Tab');
    const isOver = await page.evaluate(() => {
      const [own, at] = [/** @type {any} */ (window), document.activeElement];
      if (!at || at === document.body || own.visited.has(at)) return true;
      own.visited.add(at);
      const { outlineStyle, outlineWidth } = getComputedStyle(at);
      const { top, bottom } = at.getBoundingClientRect();
      if (outlineStyle === 'none' || parseFloat(outlineWidth) === 0) own.unseen.push(`no ring around ${at.outerHTML.slice(0, 80)}`);
      if (bottom < 0 || top > innerHeight) own.unseen.push(`out of view: ${at.outerHTML.slice(0, 80)}`);
      return false;
    });
    if (isOver) break;
  }
  return page.evaluate(() => {
    const own = /** @type {any} */ (window);
    const all = [...document.querySelectorAll('a[href], button:not(:disabled), input, select, textarea, summary')].filter(
      (element) => element.checkVisibility({ visibilityProperty: true }) && /** @type {HTMLElement} */ (element).tabIndex >= 0 && !own.visited.has(element),
    );
    return [...own.unseen, ...all.map((element) => `never in focus: ${element.outerHTML.slice(0, 120)}`)];
  });
}

for (const view of VIEWS) {
  test(`${view.name}: its main action by keys alone`, async () => {
    const { context, page, quiet } = await look(browser, world, view);
    await view.keys(page, world);
    quiet(view.isGuest && NOT_IN);
    await context.close();
  });

  test(`${view.name}: in light and dark nothing is cut at any width, and a check of accessibility finds no fault`, async () => {
    const { context, page, quiet } = await look(browser, world, view);
    await view.seen(page);
    assert.deepEqual(await flaws(page, view.name), []);
    assert.deepEqual(await around(page), []);
    quiet(view.isGuest && NOT_IN);
    await context.close();
  });
}

test('the dialogs fit and have no fault either, take the keys, and give the focus back', async () => {
  const { context, page, quiet } = await look(browser, world, VIEWS[0]);
  const { url } = world.server;
  /** Each opened by a button, or by a button of a menu, which then gets the focus back. @type {[string, string, string?][]} */
  const dialogs = [['#/', '?'], ...['Share…', 'Rename…', 'Erase…'].map((text) => /** @type {[string, string, string]} */ (['#/session/waiting', text, 'Session'])), ['#/agents', 'Set model…']];
  for (const [hash, text, menu] of dialogs) {
    await page.goto(`${url}/${hash}`);
    if (menu) {
      await page.locator('summary').filter({ hasText: menu }).waitFor();
      await tabTo(page, 'summary', menu);
      await page.keyboard.press('Enter');
    }
    await page.locator('button').filter({ hasText: text }).first().waitFor();
    await tabTo(page, 'button', text);
    await page.keyboard.press('Enter');
    await page.locator('dialog[open]').waitFor();
    assert.deepEqual(await flaws(page, `a dialog, ${text}`), []);
    await page.keyboard.press('Escape');
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
    await page.waitForFunction((said) => document.activeElement?.textContent?.includes(said), menu ?? text);
  }
  quiet();
  await context.close();
});

test('views that have nothing to show say what to type next, fit, and have no fault', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  for (const { path } of VIEWS.filter(({ path }) => path && /^(inbox|agents|runs|search)$/.test(path)).concat(VIEWS[0])) {
    await page.goto(`${server.url}/#/${path}`);
    await page.locator('.empty code').first().waitFor();
    assert.deepEqual(await flaws(page, `nothing in ${path}`), []);
  }
  quiet();
  await context.close();
});
