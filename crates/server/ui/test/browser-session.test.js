import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, visitor, walk } from '../testing/browser.js';
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

/**
 * @param {string} id
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function open(id, options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${encodeURIComponent(id)}`);
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** Places of the events that the page shows, in its order. @param {import('playwright-core').Page} page */
const shown = (page) =>
  page.locator('.item').evaluateAll((items) =>
    items.flatMap((item) => (/** @type {HTMLElement} */ (item).dataset.seqs ?? '').split(' ').filter(Boolean).map(Number)),
  );

test('text, tool calls and usage come live', async () => {
  const p = producer('live');
  await server.publish(p.start(), p.turn('Say hello'));
  const { context, page, quiet } = await open('live');
  const last = page.locator('.item').last();
  await server.publish(p.delta('Hel'));
  await page.locator('.item.message.open').getByText('Hel', { exact: true }).waitFor();
  await server.publish(p.delta('lo\n   there'));
  await last.getByText('Hello').waitFor();
  assert.equal(await last.locator('.text').evaluate((text) => text.textContent?.trim()), 'Hello\n   there');
  const whiteSpace = await last.locator('.text p').evaluate((text) => getComputedStyle(text).whiteSpace);
  assert.match(whiteSpace, /pre-wrap|break-spaces/);
  await server.publish(p.message('Hello\n   there!'));
  await last.getByText('there!').waitFor();
  assert.equal(await page.locator('.item.message').count(), 1, 'the whole message takes the place of its pieces');

  await server.publish(p.toolStart('a', 'Bash', { command: 'ls -la', timeout: 5 }));
  await last.locator('.outcome').getByText('running').waitFor();
  const tool = await last.innerText();
  for (const part of ['Bash', 'ls -la', 'timeout', '5']) assert.ok(tool.includes(part), part);
  await server.publish(p.event('tool_progress', { tool_call_id: 'a', content: 'first line' }));
  await last.getByText('first line').waitFor();
  await server.publish(p.toolEnd('a', 'Bash', 'total 0'));
  await last.locator('.outcome').getByText('done').waitFor();
  await last.getByText('1.2 s').waitFor();
  await last.getByText('total 0').waitFor();
  await server.publish(p.toolStart('b', 'Read', { file_path: '/x' }), p.toolEnd('b', 'Read', 'no such file', false));
  await page.locator('.item.tool.failed').getByText('no such file').waitFor();
  await server.publish(p.usage(), p.event('error', { component: 'api', message: 'overloaded' }), p.turnEnd());
  await page.locator('.item.error').getByText('overloaded').waitFor();
  const end = page.locator('.item.end');
  await end.getByText('1,515 in · 253 out · 8,848 from cache · 900 to cache · $0.014').waitFor();
  await end.getByText('Turn done in 12 s').waitFor();
  assert.deepEqual([...(await shown(page))].sort((a, b) => a - b), (await server.log('live')).map(({ seq }) => seq));
  quiet();
  await context.close();
});

test('a message that is half said when the page opens is shown from its beginning', async () => {
  const p = producer('half');
  await server.publish(p.turn('x'), p.delta('one '), p.toolStart('a', 'Bash', {}), p.delta('two '), p.toolEnd('a', 'Bash', ''), p.delta('three'));
  const { context, page, quiet } = await open('half');
  await page.getByText('one two three').waitFor();
  await server.publish(p.delta(' four'));
  await page.getByText('one two three four').waitFor();
  quiet();
  await context.close();
});

test('long output is clipped until it is asked for, and raw events are shown on demand', async () => {
  const p = producer('clipped');
  const output = Array.from({ length: 500 }, (_, at) => `line ${at}`).join('\n');
  await server.publish(p.turn('x'), p.event('reasoning', { content: 'Deep\nthought' }), p.toolStart('a', 'Bash', {}), p.toolEnd('a', 'Bash', output));
  const { context, page, quiet } = await open('clipped');
  const tool = page.locator('.item.tool');
  await tool.getByText('line 11').waitFor();
  assert.ok(!(await tool.innerText()).includes('line 12'));
  await tool.getByRole('button', { name: 'Show all 500 lines' }).click();
  await tool.getByText('line 499').waitFor();
  const reasoning = page.locator('.item.reasoning');
  assert.equal(await reasoning.locator('.text').count(), 0, 'reasoning is folded');
  await reasoning.getByText('Reasoning').click();
  await reasoning.locator('.text').getByText('Deep').waitFor();
  await tool.locator('.raw > summary').click();
  await tool.locator('.raw pre').first().getByText('"tool_call_start"').waitFor();
  assert.equal(await tool.locator('.raw pre').count(), 2);
  quiet();
  await context.close();
});

/** What may be in a text that someone else wrote. */
const HOSTILE = {
  script: `</span><script>window.pwned=1</script><img src=x onerror="window.pwned=2"><svg onload="window.pwned=3">`,
  controls: 'a\x00b\x1b[31mred\x1b[0m\x1b]0;title\x07\x08c',
  direction: 'invoice\u202egpj.exe\u2066',
  huge: 'x'.repeat(300_000),
  zalgo: 'Z\u0351\u036b\u0343'.repeat(200),
  wide: '😀'.repeat(3000),
};

test('hostile content is text and nothing else', async () => {
  const id = 'a/b?c="<x>&%23';
  const p = producer(id, '<b>agent</b>');
  const all = Object.values(HOSTILE);
  await server.publish(p.start('<i>model</i>'), p.turn(HOSTILE.script));
  await server.publish(
    ...all.map((text, at) => p.message(text, `m-${at}`)),
    ...all.map((text) => p.event('error', { component: text.slice(0, 500), message: text })),
    ...all.map((text) => p.event('note', { text })),
    ...all.flatMap((text, at) => [p.toolStart(`${text.slice(0, 40)}${at}`, text.slice(0, 400), { [text.slice(0, 90)]: text }), p.toolEnd(`${text.slice(0, 40)}${at}`, text.slice(0, 400), [{ type: 'text', text }])]),
    ...all.map((text) => p.event('session_end', { reason: text.slice(0, 500) })),
    p.event('message', { role: { toString: 1 }, content: ['not', 'text'] }),
    p.event('unheard_of', { html: HOSTILE.script }),
  );
  const { context, page, quiet } = await open(id, { viewport: { width: 375, height: 800 } });
  await page.locator('.item.other').getByText('unheard_of').waitFor();
  await page.locator('main').evaluate((main) => (main.scrollTop = 0));
  await page.locator('.item.turn').getByText('<script>window.pwned=1</script>').waitFor();
  await page.locator('.item.message').getByText('red').waitFor();
  await page.locator('.item.message').getByText('invoice').waitFor();
  const text = await page.locator('.item.message').allInnerTexts();
  assert.ok(text.some((part) => part.includes('invoice⟨U+202E⟩gpj.exe')));
  assert.ok(text.every((part) => !/[\x00-\x08\x0b-\x1f\u202e]/.test(part)));
  const facts = await page.evaluate(() => ({
    pwned: 'pwned' in window,
    foreign: document.querySelectorAll('#app script, #app img, #app b, #app i:not(.dot, .node), #app svg:not(.logo)').length,
    scroll: document.documentElement.scrollWidth,
  }));
  assert.deepEqual([facts.pwned, facts.foreign, facts.scroll], [false, 0, 375]);
  await page.locator('.item.message .show-all').first().click();
  assert.deepEqual(await page.locator('main').evaluate((main) => main.scrollWidth - main.clientWidth), 0);
  await page.goto(`${server.url}/#/`);
  await page.locator('a.row').first().waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375);
  assert.deepEqual(await page.locator('main').evaluate((main) => main.scrollWidth - main.clientWidth), 0);
  await page.locator(`a.row`).filter({ hasText: '<b>agent</b>' }).click();
  await page.locator('.item.other').waitFor();
  quiet();
  await context.close();
});

test('a long session opens at its end, loads older events on the way up, and stays bounded', async () => {
  const p = producer('long');
  const notes = (/** @type {number} */ from, /** @type {number} */ to) =>
    Array.from({ length: to - from }, (_, at) => p.event('note', { text: `note ${from + at}` }));
  await server.publish(...notes(0, 1000));
  const { context, page, quiet } = await open('long');
  await page.getByText('note 999', { exact: true }).waitFor();
  assert.ok((await page.locator('.item').count()) < 100, 'just what is in view is drawn');
  const main = page.locator('main');
  const scrolled = () => main.evaluate((element) => element.scrollHeight - element.clientHeight - element.scrollTop);
  assert.ok((await scrolled()) < 5);
  await server.publish(...notes(1000, 1010));
  await page.getByText('note 1009', { exact: true }).waitFor();
  await page.waitForFunction(() => {
    const element = document.querySelector('main');
    return element && element.scrollHeight - element.clientHeight - element.scrollTop < 5;
  });

  // Up: what is looked at stays where it is while older events come in above, and new ones below.
  await main.hover();
  await page.mouse.wheel(0, -600);
  await page.getByRole('button', { name: 'Latest' }).waitFor();
  const watched = page.getByText('note 990', { exact: true });
  const before = await watched.boundingBox();
  await server.publish(...notes(1010, 1030));
  await page.getByRole('button', { name: '20 new' }).waitFor();
  assert.deepEqual(await watched.boundingBox(), before);
  const moved = await main.evaluate(async (element) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const rows = element.getElementsByClassName('item');
    const height = element.scrollHeight;
    element.scrollTop = 500;
    await frame();
    const row = [...rows].find((item) => item.getBoundingClientRect().top > 300);
    const top = row?.getBoundingClientRect().top ?? 0;
    while (element.scrollHeight < height + 1000) await frame();
    await frame();
    return (row?.getBoundingClientRect().top ?? NaN) - top;
  });
  assert.ok(Math.abs(moved) < 2, `moved by ${moved} px when older events came`);
  const log = (await server.log('long')).map(({ seq }) => seq);
  assert.deepEqual(await walk(page), log);
  await page.getByText('note 1029', { exact: true }).waitFor();
  await page.keyboard.press('G');
  await page.waitForFunction(() => !document.querySelector('.to-end'));
  assert.ok((await scrolled()) < 5);

  // Far more than is kept in the page.
  for (let from = 1030; from < 5030; from += 500) await server.publish(...notes(from, from + 500));
  await page.getByText('note 5029', { exact: true }).waitFor();
  assert.ok((await page.locator('.item').count()) < 100);
  quiet();
  await context.close();
});

test('a reader who stays above the end is not flooded, and comes back to it without a hole', async () => {
  const p = producer('flood');
  const notes = (/** @type {number} */ from, /** @type {number} */ count) =>
    Array.from({ length: count }, (_, at) => p.event('note', { text: `note ${from + at}` }));
  await server.publish(...notes(0, 300));
  const { context, page, quiet } = await open('flood');
  await page.locator('main').hover();
  await page.mouse.wheel(0, -600);
  await page.getByRole('button', { name: 'Latest' }).waitFor();
  for (let from = 300; from < 4800; from += 500) await server.publish(...notes(from, 500));
  await page.getByText('Later events…').waitFor();
  assert.deepEqual(await walk(page), (await server.log('flood')).map(({ seq }) => seq));
  await page.getByText('note 4799', { exact: true }).waitFor();
  await server.publish(...notes(4800, 3));
  await page.getByText('note 4802', { exact: true }).waitFor();
  quiet();
  await context.close();
});

test('a session that is not there is told as such', async () => {
  const seen = await visitor(browser);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/nobody`);
  await seen.page.getByRole('heading', { name: 'There is no such session' }).waitFor();
  seen.quiet(/status of 404/);
  await seen.context.close();
});

test('a link opens the moment that it names, marked, with pages on both sides when they are wanted', async () => {
  const p = producer('linked');
  const notes = Array.from({ length: 3000 }, (_, at) => p.event('note', { text: `note ${at}` }));
  for (let from = 0; from < 3000; from += 500) await server.publish(...notes.slice(from, from + 500));
  const log = (await server.log('linked')).map(({ seq }) => seq);
  const { context, page, quiet } = await open('linked');
  await page.goto(`${server.url}/#/session/linked?at=${log[1500]}`);
  await page.locator('.item.marked').getByText('note 1500', { exact: true }).waitFor();
  const box = await page.locator('.item.marked').boundingBox();
  assert.ok(box && box.y > 100 && box.y < 700, 'it is in view');
  assert.ok((await page.locator('main').evaluate((main) => main.scrollHeight)) < 30_000, 'just its surroundings are here');
  // What comes meanwhile does not move it, and the end is one step away.
  await server.publish(p.event('note', { text: 'the newest' }));
  await page.getByRole('button', { name: '1 new' }).waitFor();
  assert.deepEqual(await page.locator('.item.marked').boundingBox(), box);
  assert.deepEqual(await walk(page), (await server.log('linked')).map(({ seq }) => seq));
  await page.goto(`${server.url}/#/session/linked?at=${log[2]}`);
  await page.locator('.item.marked').getByText('note 2', { exact: true }).waitFor();
  await page.keyboard.press('G');
  await page.getByText('the newest', { exact: true }).waitFor();
  quiet();
  await context.close();
});

test('what came of a question, an order and a call reaches their rows when the window ends before it', async () => {
  const p = producer('late');
  const notes = (/** @type {number} */ count) => Array.from({ length: count }, (_, at) => p.event('note', { text: `filler ${at}` }));
  const { last_seq } = await server.publish(p.turn('x'), p.ask('late-1', 'Bash', { command: 'ls' }), p.toolStart('call-1', 'Read', {}));
  await server.publish(...notes(900));
  const { context, page, quiet } = await open('late');
  await page.goto(`${server.url}/#/session/late?at=${last_seq}`);
  await page.locator('.item.marked.tool').waitFor();
  await page.locator('[data-approval="late-1"]').getByRole('button', { name: 'Approve' }).waitFor();
  await server.publish(p.decide('late-1', 'denied', { by: 'somebody' }), p.toolEnd('call-1', 'Read', 'the whole file'));
  await page.locator('[data-approval="late-1"]').getByText('denied by somebody').waitFor();
  await page.locator('.item.marked.tool.done').getByText('the whole file').waitFor();
  assert.equal(await page.locator('.edge').last().innerText(), 'Later events…');
  quiet();
  await context.close();
});

test('what an agent says has its looks, and its links lead out alone', async () => {
  const p = producer('looks');
  const said = '# Done\n\nSee **this** and `that`: [the page](https://example.com/x), not [this](javascript:alert(1)).\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |';
  await server.publish(
    p.turn('**as it was written**'),
    p.message(said),
    p.toolStart('a', 'Edit', { file_path: '/a.txt', old_string: 'one\ntwo', new_string: 'one\n2' }),
    p.toolEnd('a', 'Edit', 'ok'),
    p.toolStart('b', 'Bash', { command: 'test' }),
    p.toolEnd('b', 'Bash', 'it \x1b[32mpassed\x1b[0m \x1b]0;title\x07\x1b[2J\x1b[1;31mand failed\x1b[m'),
  );
  const { context, page, quiet } = await open('looks');
  const message = page.locator('.item.message');
  await message.getByRole('listitem').nth(1).waitFor();
  assert.deepEqual(await message.locator('strong').allInnerTexts(), ['Done', 'this']);
  const links = await message.locator('a').evaluateAll((all) => all.map((a) => [a.getAttribute('href'), a.getAttribute('rel'), a.getAttribute('target')]));
  assert.deepEqual(links, [['https://example.com/x', 'noopener noreferrer', '_blank']]);
  await message.getByText('[this](javascript:alert(1))').waitFor();
  await message.getByRole('cell', { name: '2' }).waitFor();
  await page.locator('.item.turn').getByText('**as it was written**').waitFor();
  const edit = page.locator('.item.tool').first().getByRole('group', { name: 'Change' });
  assert.deepEqual([await edit.locator('del').allInnerTexts(), await edit.locator('ins').allInnerTexts()], [['two'], ['2']]);
  const output = page.locator('.item.tool').last().locator('.output');
  assert.equal((await output.innerText()).trim(), 'it passed and failed');
  assert.deepEqual(await output.locator('.fg-2, .fg-1.bold').allInnerTexts(), ['passed', 'and failed']);
  quiet();
  await context.close();
});
