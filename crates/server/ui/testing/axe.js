// The check of accessibility, as axe-core makes it.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** All rules but what is said to be experimental, and how large a target of a finger is, which is off unless asked for. */
const RULES = { 'target-size': { enabled: true } };

/** What it finds, a line each: the rule, where, and why. @param {import('playwright-core').Page} page @returns {Promise<string[]>} */
export async function faults(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  return page.evaluate(async (rules) => {
    const { violations } = await /** @type {any} */ (window).axe.run(document, { resultTypes: ['violations'], rules });
    return violations.flatMap((/** @type {any} */ rule) =>
      rule.nodes.slice(0, 4).map((/** @type {any} */ node) => `${rule.id}: ${node.target}: ${[...node.any, ...node.all, ...node.none][0]?.message ?? ''}`),
    );
  }, RULES);
}
