// Every view, where everything that agents, harnesses and devices may say is meant to do harm.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch } from '../testing/browser.js';
import { HostileWorld, harmless } from '../testing/hostile.js';
import { look } from '../testing/look.js';
import { misfits } from '../testing/shown.js';
import { VIEWS } from '../testing/views.js';

/** @type {HostileWorld} */ let world;
/** @type {import('playwright-core').Browser} */ let browser;

before(async () => {
  browser = await launch();
  world = await HostileWorld.begin();
});
after(async () => {
  await browser?.close();
  await world?.end();
});

/** Looks at all that a view has, from its end to its beginning or the other way around. @param {import('playwright-core').Page} page @param {() => Promise<void>} check */
async function throughout(page, check) {
  const scroll = (/** @type {number} */ way) =>
    page.locator('main').evaluate(async (main, step) => {
      const before = main.scrollTop;
      main.scrollTop += step * main.clientHeight * 0.9;
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      return main.scrollTop !== before;
    }, way);
  const way = (await page.locator('main').evaluate((main) => main.scrollTop > 0)) ? -1 : 1;
  for (let steps = 0; steps < 40; steps += 1) {
    await check();
    if (!(await scroll(way))) return;
  }
}

/** Opens what is folded: of the rows that are here, a few of each. @param {import('playwright-core').Page} page */
const unfold = (page) =>
  page.evaluate(() => {
    for (const what of ['details:not([open]) > summary', 'button.show-all']) [...document.querySelectorAll(`main ${what}`)].slice(0, 4).forEach((one) => /** @type {HTMLElement} */ (one).click());
  });

for (const view of VIEWS.filter(({ name }) => name !== 'the sign-in')) {
  test(`${view.name}: hostile words are words: nothing runs, is asked for, turns or widens the page`, async () => {
    const { context, page, quiet } = await look(browser, world, view, { viewport: { width: 375, height: 740 } });
    await page.waitForFunction(() => /needle|onerror/.test(document.querySelector('main')?.textContent ?? ''), null, { polling: 100 });
    /** @type {string[]} */
    const found = [];
    await throughout(page, async () => {
      await unfold(page);
      await harmless(page);
      found.push(...(await misfits(page)));
    });
    assert.deepEqual([...new Set(found)], []);
    await page.setViewportSize({ width: 1200, height: 800 });
    assert.deepEqual(await misfits(page), []);
    await harmless(page);
    quiet(view.isGuest && /status of 401/);
    await context.close();
  });
}
