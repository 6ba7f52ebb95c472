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

/** @param {import('playwright-core').Page} page @param {string} id */
const row = (page, id) => page.locator(`a[data-session="${id}"]`);

/** @param {import('playwright-core').Page} page @param {string} id @param {string} state */
const state = (page, id, state) => row(page, id).locator(`[data-state="${state}"]`).waitFor();

/**
 * What a row says, piece by piece, but for how long ago. Read from the document: a row that the browser has not painted yet has no inner text.
 * @param {import('playwright-core').Page} page @param {string} id
 * @returns {Promise<string[]>}
 */
const fields = (page, id) =>
  row(page, id).evaluate((element) => {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    const pieces = [];
    while (walker.nextNode()) if (!walker.currentNode.parentElement?.closest('.ago, .for')) pieces.push(walker.currentNode.nodeValue ?? '');
    return pieces;
  });

test('the list shows recorded runs, and follows what they do', async () => {
  const [old, live] = [producer('recorded', 'scribe'), producer('live')];
  await server.publish(old.start('model-x'), old.turn('Write a haiku'), old.message('Leaves fall'), old.turnEnd(), old.end());
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await state(page, 'recorded', 'done');
  const text = (await fields(page, 'recorded')).join('\n');
  for (const part of ['Write a haiku', 'Leaves fall', 'scribe', 'model-x', '→', '$0.014']) assert.ok(text.includes(part), `${part} in ${text}`);

  await server.publish(live.start(), live.turn('Run the tests'));
  await state(page, 'live', 'thinking');
  await page.getByRole('region', { name: 'At work' }).waitFor();
  await server.publish(live.message('On it.'), live.toolStart('a', 'Bash', { command: 'cargo test' }));
  await row(page, 'live').getByText('running Bash').waitFor();
  await row(page, 'live').getByText('On it.').waitFor();
  await server.publish(live.toolEnd('a', 'Bash', 'ok'));
  await state(page, 'live', 'thinking');
  await server.publish(live.turnEnd());
  await state(page, 'live', 'idle');
  await row(page, 'live').getByText('$0.014').waitFor();
  await server.publish(live.turn('Again', 't-2'), live.event('error', { component: 'api', message: 'overloaded' }), live.turnEnd(false));
  await state(page, 'live', 'failed');
  await row(page, 'live').getByText('1 error').waitFor();
  await server.publish(live.turn('Once more', 't-3'), live.turnEnd(), live.end(1));
  await state(page, 'live', 'failed');
  await page.reload();
  await state(page, 'live', 'failed');
  quiet();
  await context.close();
});

test('what the list was told live is what the server says when it is asked again', async () => {
  const live = producer('compare');
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await server.publish(live.start(), live.turn('Compare'), live.message('a'), live.toolStart('a', 'Bash', {}), live.usage());
  await server.publish(live.toolEnd('a', 'Bash', 'ok'), live.message('b', 'm-2'), live.turnEnd());
  await state(page, 'compare', 'idle');
  const told = await fields(page, 'compare');
  assert.ok(told.includes('Compare') && told.includes('$0.014'), told.join(', '));
  await page.reload();
  await state(page, 'compare', 'idle');
  assert.deepEqual(await fields(page, 'compare'), told);
  quiet();
  await context.close();
});

test('all can be done with the keys alone', async () => {
  for (const id of ['k1', 'k2', 'k3']) {
    const p = producer(id);
    await server.publish(p.start(), p.turn(`Task ${id}`), p.message(`Answer of ${id}`), p.turnEnd());
  }
  const { context, page, quiet } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await row(page, 'k1').waitFor();
  const focused = () => page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.dataset.session);
  const all = await page.locator('a.row').evaluateAll((links) => links.map((link) => /** @type {HTMLElement} */ (link).dataset.session));
  await page.keyboard.press('j');
  assert.equal(await focused(), all[0]);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  assert.equal(await focused(), all[1]);
  await page.keyboard.press('Enter');
  await page.locator('.item.message').getByText(`Answer of ${all[1]}`).waitFor();
  assert.ok(page.url().endsWith(`#/session/${all[1]}`));
  await page.keyboard.press('j');
  assert.ok(await page.evaluate(() => document.activeElement?.matches('.item')), 'j goes to an event');
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  assert.ok(page.url().includes('#/session/'), 'the first Escape closes the help alone');
  await page.keyboard.press('Escape');
  await row(page, 'k1').waitFor();
  assert.equal(await focused(), all[1], 'the list comes back where it was left');
  quiet();
  await context.close();
});

test('the page is dark where the system is, and light where not', async () => {
  for (const colorScheme of /** @type {const} */ (['dark', 'light'])) {
    const { context, page, quiet } = await visitor(browser, { colorScheme });
    await page.goto(await server.pairingLink());
    await page.locator('a.row').first().waitFor();
    const brightness = await page.evaluate(() => {
      const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
      if (!canvas) throw new Error('no canvas');
      return ['backgroundColor', 'color'].map((name) => {
        canvas.fillStyle = getComputedStyle(document.body)[/** @type {'color'} */ (name)];
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, part) => sum + part) / 3;
      });
    });
    const [ground, text] = colorScheme === 'dark' ? brightness : brightness.reverse();
    assert.ok(ground < 60 && text > 200, `${colorScheme}: ${brightness}`);
    quiet();
    await context.close();
  }
});
