// One approval, decided in two places at once.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, visitor } from '../testing/browser.js';
import { producer } from '../testing/events.js';
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

/** What the browser logs by itself of a decision that came second. */
const CONFLICT = /status of 409/;

for (const [name, hash] of [['the inbox', '#/inbox'], ['its session', '#/session/raced']]) {
  test(`two tabs answer one approval at once in ${name}: one answer counts, both show it, and the other one is told so`, async () => {
    const [p, id] = [producer('raced'), `raced in ${name}`];
    await server.publish(p.start(), p.turn('x'), p.ask(id, 'Bash', { command: 'rm -r build' }));
    const { context, page, quiet } = await visitor(browser);
    await page.goto(await server.pairingLink());
    await page.locator('[data-connection=live]').waitFor();
    const tabs = [page, await context.newPage()];
    const card = (/** @type {import('playwright-core').Page} */ tab) => tab.locator(`[data-approval="${id}"]`);
    for (const tab of tabs) {
      await tab.goto(`${server.url}/${hash}`);
      await card(tab).getByRole('button', { name: 'Approve' }).and(tab.locator('[aria-disabled=false]')).waitFor();
    }
    // Neither hears of the other's before it has sent its own.
    const sent = tabs.map(() => 0);
    let go = () => {};
    const both = new Promise((done) => (go = () => sent.every((count) => count > 0) && done(null)));
    for (const [at, tab] of tabs.entries())
      await tab.route('**/decision', async (route) => {
        sent[at] += 1;
        go();
        await both;
        await route.continue();
      });
    await card(tabs[1]).getByRole('button', { name: 'Deny…' }).click();
    const [approved, denied] = await Promise.all([
      answered(tabs[0], () => card(tabs[0]).getByRole('button', { name: 'Approve' }).click()),
      answered(tabs[1], () => card(tabs[1]).getByRole('button', { name: 'Deny', exact: true }).click()),
    ]);
    assert.deepEqual([approved, denied].sort(), [200, 409]);
    const { state } = await server.ask(`/api/approvals/${encodeURIComponent(id)}`);
    assert.equal(state, approved === 200 ? 'approved' : 'denied');
    const decisions = (await server.log('raced')).filter(({ type, data }) => type === 'approval_decision' && data?.approval_id === id);
    assert.deepEqual(decisions.map(({ data }) => data?.decision), [state]);

    const [first, second] = approved === 200 ? tabs : tabs.toReversed();
    await second.getByRole('alert').filter({ hasText: 'your answer came second, and changed nothing' }).waitFor();
    assert.equal(await first.getByRole('alert').filter({ hasText: 'second' }).count(), 0);
    for (const tab of tabs) {
      await card(tab).getByRole('button').first().waitFor({ state: 'detached' });
      if (hash === '#/inbox') await tab.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();
      else await card(tab).getByText(`${state} by `).waitFor();
    }
    quiet(CONFLICT);
    await context.close();
  });
}

/** The status of what the server answers. @param {import('playwright-core').Page} tab @param {() => Promise<void>} press */
async function answered(tab, press) {
  const answer = tab.waitForResponse(/\/decision$/);
  await press();
  return (await answer).status();
}
