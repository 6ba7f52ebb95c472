// What a view shows, as text that can be compared, and how it is laid out.

import { setTimeout as wait } from 'node:timers/promises';
import { PATIENCE_MS, read } from './browser.js';

/** @typedef {import('playwright-core').Page} Page */

/** What tells the time, or how the connection is: that differs from one moment to the next. */
const PASSING = 'time, .for, .connection, canvas, .paints, dialog';

/** What a view says, a line for each piece of text; of a session all rows, also those out of view. @param {Page} page */
export async function shown(page) {
  const isSession = await page.locator('main.session').count();
  const rows = isSession ? (await read(page)).map(({ seqs, text }) => `${seqs}: ${text}`) : [];
  const around = await page.evaluate((passing) => {
    const copy = /** @type {Element} */ (document.querySelector('#app')?.cloneNode(true));
    for (const element of copy.querySelectorAll(`${passing}, main.session, .to-end`)) element.remove();
    const walker = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
    /** @type {string[]} */
    const lines = [];
    while (walker.nextNode()) lines.push((walker.currentNode.textContent ?? '').trim());
    return lines.filter(Boolean);
  }, PASSING);
  return [...around, ...rows];
}

/** Both, as soon as they are the same; as they are when they do not become so. @param {Page} one @param {Page} other */
export async function same(one, other) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const both = [await shown(one), await shown(other)];
    if (JSON.stringify(both[0]) === JSON.stringify(both[1]) || Date.now() > end) return both;
    await wait(50);
  }
}

/**
 * What does not fit the window, a line each: the page or its view being wider, and what one can press or read being cut at a side.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export const misfits = (page) =>
  page.evaluate(() => {
    const name = (/** @type {Element} */ element) => `${element.tagName.toLowerCase()}.${[...element.classList].join('.')} "${(element.textContent ?? '').trim().slice(0, 30)}"`;
    /** Whether a part of the page scrolls by itself, for keys as well, and so may hold what is wider. @param {Element} element */
    const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX) && element.matches('[tabindex="0"]');
    /** @param {Element} element */
    const isIn = (element) => {
      for (let at = element.parentElement; at; at = at.parentElement) if (scrolls(at)) return true;
      return false;
    };
    /** @type {string[]} */
    const found = [];
    const wide = [document.documentElement, ...document.querySelectorAll('#app, header, main, .scroll, footer')];
    for (const element of wide) if (element.scrollWidth > element.clientWidth + 1 && !scrolls(element)) found.push(`${name(element)} is ${element.scrollWidth} wide in ${element.clientWidth}`);
    for (const element of document.querySelectorAll('a, button, input, select, textarea, summary, h1, h2, p, pre, time')) {
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest('.unseen')) continue;
      const { left, right, width } = element.getBoundingClientRect();
      if (width > 1 && (left < -1 || right > innerWidth + 1) && !isIn(element)) found.push(`${name(element)} is from ${Math.round(left)} to ${Math.round(right)} of ${innerWidth}`);
      if (element.matches('button, summary') && element.scrollWidth > element.clientWidth + 1) found.push(`${name(element)} is cut`);
    }
    const view = document.querySelector('main');
    if (view && view.clientHeight < innerHeight / 4) found.push(`the view has ${view.clientHeight} of ${innerHeight} px`);
    const main = document.querySelector('main.sessions');
    const first = main?.querySelector(':scope > :not(.unseen)');
    if (main && first && first.getBoundingClientRect().top - main.getBoundingClientRect().top + main.scrollTop > 120) found.push(`${name(first)} does not begin where the view does`);
    return found;
  });
