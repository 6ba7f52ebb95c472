import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { AWAY, launch, visitor } from '../testing/browser.js';
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

/** @param {string} id @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(id, options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${encodeURIComponent(id)}?view=timeline`);
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** What the list says of each bar. @param {import('playwright-core').Page} page */
const listed = (page) =>
  page.locator('.span').evaluateAll((rows) =>
    rows.map((row) => [row.querySelector('bdi')?.textContent, [...row.classList].at(-1), Number(/** @type {HTMLElement} */ (row).dataset.depth)]),
  );

/** Pixels of the canvas that are not the ground. @param {import('playwright-core').Page} page */
const painted = (page) =>
  page.locator('.chart canvas').evaluate((/** @type {HTMLCanvasElement} */ canvas) => {
    const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, at) => at % 4 === 3 && value > 0).length;
  });

/** A frame that is drawn after all before it. @param {import('playwright-core').Page} page */
const frame = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null)))));

/** Timestamps so many seconds after a fixed moment. @param {number} seconds */
const at = (seconds) => ({ timestamp: new Date(Date.parse('2026-01-02T10:00:00Z') + seconds * 1000).toISOString() });

/** @param {string} session */
function run(session) {
  const p = producer(session);
  const inside = { parent_tool_call_id: 'task' };
  return [
    { ...p.start(), ...at(0) },
    { ...p.turn('Build it'), ...at(1) },
    { ...p.toolStart('a', 'Read', { file_path: '/src/main.rs' }), ...at(2) },
    { ...p.toolEnd('a', 'Read', 'x'), ...at(3) },
    { ...p.toolStart('task', 'Task', { description: 'look around' }), ...at(4) },
    { ...p.event('tool_call_start', { tool: 'Grep', tool_call_id: 'in', arguments: { pattern: 'fn' }, ...inside }), ...at(5) },
    { ...p.event('tool_call', { tool: 'Grep', tool_call_id: 'in', success: false, error: 'exit 2', ...inside }), ...at(7) },
    { ...p.toolEnd('task', 'Task', 'done'), ...at(8) },
    { ...p.turnEnd(), ...at(9) },
  ];
}

test('turns and calls are bars and a list, subagents below their call, a failed one told in words', async () => {
  await server.publish(...run('bars'));
  const { context, page, quiet } = await open('bars');
  await page.locator('.span').nth(3).waitFor();
  assert.deepEqual(await listed(page), [
    ['Build it', 'ok', 0],
    ['Read', 'ok', 1],
    ['Task', 'ok', 1],
    ['Grep', 'failed', 2],
  ]);
  await page.locator('.span.failed').getByText('failed: exit 2').waitFor();
  await page.getByText('1 turn · 3 tool calls · 1 failed').waitFor();
  const lanes = await page.locator('.span').evaluateAll((rows) => rows.map((row) => Number(/** @type {HTMLElement} */ (row).dataset.lane)));
  assert.deepEqual(lanes, [0, 1, 1, 2]);
  await frame(page);
  assert.ok((await painted(page)) > 1000, 'the bars are drawn');
  quiet();
  await context.close();
});

test('the timeline follows the stream: a call begins, runs and ends', async () => {
  const p = producer('grows');
  await server.publish(p.start(), p.turn('Go'));
  const { context, page, quiet } = await open('grows');
  await page.locator('.span.turn.running').waitFor();
  await server.publish(p.toolStart('a', 'Bash', { command: 'sleep' }));
  await page.locator('.span.call.running').getByText('Bash').waitFor();
  await server.publish(p.toolEnd('a', 'Bash', 'no', false));
  await page.locator('.span.call.failed').waitFor();
  await server.publish(p.toolStart('b', 'Read', {}), p.turnEnd());
  await page.locator('.span.turn.ok').waitFor();
  await page.locator('.span.call.unfinished').getByText('not finished').waitFor();
  const live = await listed(page);
  await page.reload();
  await page.locator('.span').nth(2).waitFor();
  assert.deepEqual(await listed(page), live, 'what the stream told is what the server lists');
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  await server.up();
  await server.publish(p.turn('Again', 't-2'));
  await page.locator('.span.turn.running').getByText('Again').waitFor();
  assert.equal((await listed(page)).length, 4, 'nothing is there twice');
  quiet(AWAY);
  await context.close();
});

test('a click on a bar goes to its moment, and the wheel and a drag change what is in view', async () => {
  const sent = await server.publish(...run('clicked'));
  const { context, page, quiet } = await open('clicked');
  await page.locator('.span').nth(3).waitFor();
  const box = await page.locator('.chart canvas').boundingBox();
  assert.ok(box);
  // From 2 s to 3 s of 1 s to 9 s, in the second lane.
  const x = box.x + box.width * (1.5 / 8);
  const y = box.y + 26 + 24 + 12;
  await page.mouse.move(x, y);
  await page.mouse.wheel(0, -1500);
  await page.waitForFunction(() => document.querySelectorAll('.span').length === 2);
  assert.deepEqual((await listed(page)).map(([name]) => name), ['Build it', 'Read'], 'zoomed to the call under the pointer');
  await page.mouse.down();
  await page.mouse.move(x - box.width * 0.9, y, { steps: 5 });
  await page.mouse.up();
  await frame(page);
  assert.match(page.url(), /view=timeline/, 'a drag is no click');
  await page.getByRole('button', { name: 'Fit' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.span').length === 4);
  await page.mouse.click(x, y);
  await page.waitForURL(`**/#/session/clicked?at=${sent.first_seq + 2}`);
  await page.locator('.item.tool').first().waitFor();
  quiet();
  await context.close();
});

test('the timeline by keyboard alone', async () => {
  const sent = await server.publish(...run('keys'));
  const { context, page, quiet } = await open('keys');
  await page.locator('.span').nth(3).waitFor();
  await page.keyboard.press('j');
  await page.locator('.span.turn[aria-current]').waitFor();
  await page.keyboard.press('j');
  await page.locator('.span[aria-current]').getByText('Read').waitFor();
  for (let times = 0; times < 9; times += 1) await page.keyboard.press('+');
  await page.waitForFunction(() => document.querySelectorAll('.span').length < 4);
  await page.keyboard.press('0');
  await page.waitForFunction(() => document.querySelectorAll('.span').length === 4);
  await page.keyboard.press('p');
  await page.waitForURL(`**/#/session/keys?play=${sent.first_seq + 2}`);
  await page.locator(`[data-place="${sent.first_seq + 2}"]`).waitFor();
  await page.goBack();
  await page.locator('.span').nth(3).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/#/session/keys?at=${sent.first_seq + 1}`);
  quiet();
  await context.close();
});

test('the timeline fits a phone, dark and without motion', async () => {
  await server.publish(...run('phone'));
  for (const colorScheme of /** @type {const} */ (['dark', 'light'])) {
    const { context, page, quiet } = await open('phone', { viewport: { width: 375, height: 740 }, colorScheme, reducedMotion: 'reduce' });
    await page.locator('.span').nth(3).waitFor();
    await frame(page);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
    assert.ok((await painted(page)) > 500);
    assert.equal(await page.locator('.listed').evaluate((list) => list.scrollWidth - list.clientWidth), 0);
    quiet();
    await context.close();
  }
});

test('ten thousand calls come by pages, and just what is in view is in the page', async () => {
  const p = producer('many');
  const calls = (/** @type {number} */ from) =>
    Array.from({ length: 250 }, (_, n) => [
      { ...p.toolStart(`c${from + n}`, 'Bash', { command: `${from + n}` }), ...at(from + n) },
      { ...p.toolEnd(`c${from + n}`, 'Bash', 'ok'), ...at(from + n + 0.5) },
    ]).flat();
  for (let from = 0; from < 10_000; from += 250) await server.publish(...calls(from));
  await server.folded();
  const { context, page, quiet } = await open('many');
  await page.getByText('0 turns · 10,000 tool calls', { exact: true }).waitFor();
  assert.ok((await page.locator('.span').count()) <= 200);
  await page.getByText('200 of 10000 in view').waitFor();
  await page.keyboard.press('+');
  await page.keyboard.press('ArrowRight');
  await frame(page);
  assert.ok((await painted(page)) > 1000);
  quiet();
  await context.close();
});

test('a session without turns says so', async () => {
  const p = producer('bare');
  await server.publish(p.start());
  const { context, page, quiet } = await open('bare');
  await page.getByRole('heading', { name: 'No turns or tool calls yet' }).waitFor();
  await server.publish(p.turn('Now'));
  await page.locator('.span.turn.running').getByText('Now').waitFor();
  quiet();
  await context.close();
});
