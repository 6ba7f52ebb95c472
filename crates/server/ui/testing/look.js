// A visitor who looks at one of the views of the table, and another one who comes to it fresh.

import { visitor } from './browser.js';

/** It follows the log, or is at a moment of it, or has nobody to show it to. */
const READY = '[data-connection=live], [data-connection=replay], main.sign-in';

/** What the browser itself logs where nobody is signed in. */
export const NOT_IN = /status of 401/;

/**
 * @param {import('playwright-core').Browser} browser
 * @param {import('./views.js').AnyWorld} world
 * @param {import('./views.js').View} view
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function look(browser, world, view, options) {
  const { url } = world.server;
  const seen = await visitor(browser, options);
  if (!view.isGuest) {
    await seen.page.goto(await world.server.pairingLink());
    await seen.page.locator('[data-connection=live]').waitFor();
  }
  const hash = await view.hash(world);
  await seen.page.goto(`${url}/${hash}`);
  await seen.page.locator(READY).waitFor();
  return { ...seen, hash };
}

/** The same view, as one sees it who opens it now in a browser that is signed in and has nothing else. */
export async function lookAgain(/** @type {import('playwright-core').Browser} */ browser, /** @type {Awaited<ReturnType<typeof look>>} */ { context, page, hash }) {
  const fresh = await visitor(browser, { storageState: await context.storageState() });
  await fresh.page.goto(`${new URL(page.url()).origin}/${hash}`);
  await fresh.page.locator(READY).waitFor();
  return fresh;
}
