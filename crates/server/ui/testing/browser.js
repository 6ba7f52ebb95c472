// Chromium with an eye on its console: any error there, and any breach of the page's policy, fails the test.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const EXECUTABLE = process.env.CHROMIUM ?? CANDIDATES.find((path) => existsSync(path));

// Without a network of its own: what the page asks for is all that it asks for.
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** How long a condition may take to come true. Not a measure: a machine may be busy. */
export const PATIENCE_MS = 60_000;

export function launch() {
  if (!EXECUTABLE) throw new Error('there is no Chromium here: install it, or set CHROMIUM to its path');
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGS });
}

/**
 * A fresh browser profile with one page, and what the console of any of its pages complained of; a dialog, and a request to any other
 * host, is a complaint as well.
 * @param {import('playwright-core').Browser} browser
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  /** @type {string[]} */
  const complaints = [];
  context.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(`${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  // Of the page itself there are none: they would be somebody else's words at work.
  context.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  context.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (/^(http|ws)s?:$/.test(protocol) && hostname !== '127.0.0.1') complaints.push(`a request to elsewhere: ${request.url().slice(0, 200)}`);
  });
  const page = await context.newPage();
  /** @param {RegExp} [expected] what the browser itself logs of a request that was meant to fail */
  const quiet = (expected) => {
    const left = complaints.filter((text) => !expected?.test(text));
    assert.deepEqual(left, [], 'the console has no complaint');
  };
  return { context, page, quiet };
}

/** What the browser says of requests to a server that is away. */
export const AWAY = /net::ERR_|Failed to fetch/;

/** Has a page that waits to try again do so at once, and waits until it is live. @param {import('playwright-core').Page} page */
export async function reconnect(page) {
  const live = page.locator('[data-connection=live]').waitFor();
  // It may have come back by itself: then there is nothing to click.
  page.getByRole('button', { name: 'Try now' }).click().catch(() => {});
  await live;
}

/**
 * The rows of a session in their order, as a reader sees them who goes to the beginning and reads down to the end: the places of each
 * one's events, and what is said in it, without times of the day.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<{ seqs: number[], text: string }[]>}
 */
export async function read(page) {
  await page.locator('main').evaluate(async (main) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    // A row that has the focus stays in the page: it would be seen before those above it.
    main.focus({ preventScroll: true });
    await frame();
    main.scrollTop = Math.min(main.scrollTop, main.scrollHeight - main.clientHeight - 100);
    while (![...main.querySelectorAll('.edge')].some((edge) => edge.textContent === 'The beginning')) {
      main.scrollTop = 0;
      await frame();
    }
    main.scrollTop = 0;
    await frame();
  });
  return page.locator('main').evaluate(async (main) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const textOf = (/** @type {Element} */ row) => {
      const copy = /** @type {Element} */ (row.cloneNode(true));
      for (const time of copy.querySelectorAll('time')) time.remove();
      return copy.textContent ?? '';
    };
    /** @type {Map<string, { seqs: number[], text: string }>} */
    const rows = new Map();
    for (let still = 0; still < 3; ) {
      await frame();
      /** @type {Map<string, number>} */
      const twice = new Map();
      for (const row of /** @type {NodeListOf<HTMLElement>} */ (main.querySelectorAll('.item'))) {
        // One that is there twice is told twice.
        const key = row.dataset.key ?? '';
        twice.set(key, (twice.get(key) ?? 0) + 1);
        const seqs = (row.dataset.seqs ?? '').split(' ').filter(Boolean).map(Number);
        rows.set(`${key} ${twice.get(key)}`, { seqs, text: textOf(row) });
      }
      const [before, height] = [main.scrollTop, main.scrollHeight];
      main.scrollTop += main.clientHeight / 2;
      await frame();
      still = main.scrollTop === before && main.scrollHeight === height && !main.querySelector('.edge ~ .edge') ? still + 1 : 0;
    }
    return [...rows.values()];
  });
}

/** The places alone. @param {import('playwright-core').Page} page */
export const walk = async (page) => (await read(page)).flatMap(({ seqs }) => seqs);
