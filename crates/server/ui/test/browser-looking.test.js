import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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

/** @param {string} address @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(address, options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${address}`);
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** A session with some of each. @param {string} id */
function some(id) {
  const p = producer(id);
  return [
    p.start(),
    p.turn('Find the needle'),
    p.event('reasoning', { content: 'Where may it be?' }),
    p.toolStart('a', 'Bash', { command: 'grep -r hay' }),
    p.toolEnd('a', 'Bash', 'only \x1b[33mhay\x1b[0m'),
    p.toolStart('b', 'Read', { file_path: '/barn' }),
    p.toolEnd('b', 'Read', 'a needle', false),
    p.event('error', { component: 'api', message: 'overloaded' }),
    p.ask('ask-1', 'Bash', { command: 'rm hay' }),
    p.decide('ask-1', 'approved', { by: 'me' }),
    p.message('Here is the **needle**, in `/barn`: [a page](https://example.com).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```'),
    p.turnEnd(),
  ];
}

test('kinds and a tool are chosen, and the address says which', async () => {
  await server.publish(...some('kinds'));
  const { context, page, quiet } = await open('kinds');
  const kinds = () => page.locator('.item').evaluateAll((rows) => rows.map((row) => /** @type {HTMLElement} */ (row).dataset.kind));
  await page.getByRole('button', { name: 'Errors', exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll('.item').length === 1);
  assert.deepEqual([await kinds(), new URL(page.url()).hash], [['error'], '#/session/kinds?kind=errors']);
  await page.getByRole('button', { name: 'Tools', exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll('.item').length === 3);
  await page.getByLabel('Tool', { exact: true }).selectOption('Read');
  await page.waitForFunction(() => document.querySelectorAll('.item').length === 1);
  assert.equal(new URL(page.url()).hash, '#/session/kinds?tool=Read');
  await server.publish(producer('kinds').toolStart('c', 'Read', { file_path: '/live' }), producer('kinds').message('not shown', 'm-9'));
  await page.locator('.item.tool').getByText('/live').waitFor();
  assert.deepEqual(await kinds(), ['tool', 'tool']);
  await page.reload();
  await page.locator('.item.tool').getByText('/live').waitFor();
  assert.deepEqual(await kinds(), ['tool', 'tool']);
  quiet();
  await context.close();
});

test('words are found in all of a session, by keyboard, also in what is not loaded', async () => {
  const p = producer('search');
  await server.publish(...some('search'));
  for (let part = 0; part < 3; part += 1) await server.publish(...Array.from({ length: 400 }, (_, at) => p.event('note', { text: `straw ${part} ${at}` })));
  const { context, page, quiet } = await open('search');
  await page.getByText('straw 2 399', { exact: true }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  await page.getByRole('status').filter({ hasText: '3 finds' }).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.item.marked.message').getByText('needle').waitFor();
  await page.getByRole('status').filter({ hasText: '1 of 3' }).waitFor();
  assert.ok(await page.evaluate(() => (CSS.highlights.get('found')?.size ?? 0) > 0), 'the words are marked');
  await page.keyboard.press('Enter');
  await page.locator('.item.marked.tool').getByText('a needle').waitFor();
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.activeElement?.matches('main'));
  assert.equal(new URL(page.url()).hash, '#/session/search');
  await page.keyboard.press('G');
  await page.getByText('straw 2 399', { exact: true }).waitFor();
  quiet();
  await context.close();
});

test('events are shown as they came, copied, and linked to', async () => {
  await server.publish(...some('raw'));
  const log = await server.log('raw');
  const { context, page, quiet } = await open('raw?view=raw', { permissions: ['clipboard-read', 'clipboard-write'] });
  await page.locator('.item.raw').nth(log.length - 1).waitFor();
  assert.deepEqual(await page.locator('.item.raw .seq').allInnerTexts(), log.map(({ seq }) => String(seq)));
  const row = page.locator('.item.raw').nth(3);
  await row.locator('summary').click();
  assert.deepEqual(JSON.parse(await row.locator('pre').innerText()), log[3]);
  await row.getByRole('button', { name: 'Copy', exact: true }).click();
  await row.getByText('Copied.').waitFor();
  assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), log[3]);
  await row.getByRole('link', { name: `Link to event ${log[3].seq}` }).click();
  await page.locator('.item.marked.tool').getByText('grep -r hay').waitFor();
  quiet();
  await context.close();
});

test('outputs of megabytes, lines without end and a flood of codes are shown in part, at once', async () => {
  const p = producer('heavy');
  const outputs = ['x'.repeat(900_000), '\n'.repeat(450_000), '\x1b[31mr\x1b[32mg'.repeat(40_000), '\u202e'.repeat(200_000), `${'# '.repeat(200_000)}`, '\u0000\u0007'.repeat(60_000)];
  for (const [at, output] of outputs.entries()) await server.publish(p.toolStart(`h-${at}`, 'Bash', {}), p.toolEnd(`h-${at}`, 'Bash', output), p.message(output.slice(0, 400_000), `m-${at}`));
  const { context, page, quiet } = await open('heavy', { viewport: { width: 375, height: 800 } });
  await page.locator('.item.message').last().waitFor();
  for (let step = 0; step < 15; step += 1) {
    const all = page.locator('.item .show-all').first();
    if (step === 3) await all.click();
    await page.locator('main').evaluate((main) => (main.scrollTop -= 500));
    const text = await page.locator('main').innerText();
    assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f\u202e]/);
  }
  assert.deepEqual(await page.evaluate(() => [document.documentElement.scrollWidth, document.querySelectorAll('#app script, #app img').length]), [375, 0]);
  quiet();
  await context.close();
});

test('each row says which it is of how many, where that is known', async () => {
  const p = producer('numbered');
  await server.publish(p.start(), ...Array.from({ length: 120 }, (_, at) => p.event('note', { text: `note ${at}` })));
  const { context, page, quiet } = await open('numbered');
  const placed = () =>
    page.locator('.item').evaluateAll((rows) => rows.map((row) => [row.getAttribute('aria-posinset'), row.getAttribute('aria-setsize'), row.textContent?.match(/note \d+/)?.[0]].join(' ')));
  await page.getByText('note 119', { exact: true }).waitFor();
  assert.deepEqual((await placed()).slice(-2), ['120 121 note 118', '121 121 note 119'], 'also of those that are not drawn');
  await server.publish(...Array.from({ length: 200 }, (_, at) => p.event('note', { text: `note ${120 + at}` })));
  await page.reload();
  await page.getByText('note 319', { exact: true }).waitFor();
  assert.ok((await placed()).every((said) => said.split(' ')[1] === '-1'), 'those before were not read');
  quiet();
  await context.close();
});

test('the help lists the keys of the view that one is in, and not those of others', async () => {
  const p = producer('helped');
  await server.publish(p.start(), p.turn('x'), p.turnEnd());
  const { context, page, quiet } = await open('helped');
  for (const [hash, own, other] of [
    ['#/', 'open it', 'select it, or all'],
    ['#/inbox', 'select it, or all', 'zoom in'],
    ['#/session/helped', 'write a message', 'zoom in'],
    ['#/session/helped?view=timeline', 'zoom in', 'write a message'],
    ['#/session/helped?play=0', 'play, pause', 'zoom in'],
  ]) {
    await page.goto(`${server.url}/${hash}`);
    await page.locator('main').waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByText(own).waitFor();
    await page.getByRole('dialog').getByText('this help').waitFor();
    assert.equal(await page.getByRole('dialog').getByText(other).count(), 0, hash);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  quiet();
  await context.close();
});

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  for (const width of [1200, 375]) {
    test(`a session has no fault that a check of accessibility finds: ${colorScheme}, ${width} px`, async () => {
      const id = `axe-${colorScheme}-${width}`;
      await server.publish(...some(id), producer(id).ask(`open-${id}`, 'Edit', { file_path: '/a', old_string: 'b', new_string: 'c' }));
      const { context, page, quiet } = await open(id, { colorScheme, viewport: { width, height: 800 } });
      await page.locator('.item.approval').last().waitFor();
      for (const view of ['', '?view=raw']) {
        await page.goto(`${server.url}/#/session/${id}${view}`);
        await page.locator(view ? '.item.raw' : '.item.message').last().waitFor();
        await page.evaluate(AXE);
        const faults = await page.evaluate(async () => {
          const { violations } = await /** @type {any} */ (window).axe.run(document, { resultTypes: ['violations'] });
          return violations.map((/** @type {any} */ one) => `${one.id}: ${one.nodes.map((/** @type {any} */ node) => `${node.target} ${node.any[0]?.message ?? ''}`).slice(0, 3).join('; ')}`);
        });
        assert.deepEqual(faults, []);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
      }
      quiet();
      await context.close();
    });
  }
}
