import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { AWAY, launch, reconnect, visitor } from '../testing/browser.js';
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

/** @param {string} id @param {import('playwright-core').BrowserContextOptions} [options] */
async function open(id, options) {
  const seen = await visitor(browser, options);
  await seen.page.goto(await server.pairingLink());
  await seen.page.locator('[data-connection]').waitFor();
  await seen.page.goto(`${server.url}/#/session/${encodeURIComponent(id)}`);
  await seen.page.locator('[data-connection=live]').waitFor();
  return seen;
}

/** @param {import('playwright-core').Page} page @param {string} id */
const card = (page, id) => page.locator(`[data-approval="${id}"]`);

/** @param {string} id @returns {Promise<Wire.Approval>} */
const stands = (id) => server.ask(`/api/approvals/${id}`);

test('an approval is shown where it is asked, and approved there', async () => {
  const p = producer('asks');
  await server.publish(p.start(), p.turn('Clean up'));
  const { context, page, quiet } = await open('asks');
  await server.publish(p.ask('ap-1', 'Bash', { command: 'rm -rf build\nls', description: 'Remove the build' }, { title: 'Run a command' }));
  const asked = card(page, 'ap-1');
  await asked.getByText('waits for approval').waitFor();
  assert.equal(await asked.getByRole('group', { name: 'Command' }).locator('span').evaluate((span) => span.textContent), 'rm -rf build\nls');
  for (const text of ['Bash', 'Run a command', 'Remove the build']) await asked.getByText(text, { exact: true }).waitFor();
  await page.locator('.facts [data-state=needs_approval]').waitFor();
  await asked.getByRole('button', { name: 'Approve' }).click();
  await asked.getByText(/^approved by /).waitFor();
  assert.equal(await asked.getByRole('button').count(), 0);
  assert.equal((await stands('ap-1')).state, 'approved');
  quiet();
  await context.close();
});

test('one is denied with a word to the agent, and one approved with other arguments', async () => {
  const p = producer('words');
  await server.publish(p.start(), p.turn('x'), p.ask('w-1', 'Bash', { command: 'ls' }), p.ask('w-2', 'Bash', { command: 'ls /' }));
  const { context, page, quiet } = await open('words');
  await card(page, 'w-1').getByRole('button', { name: 'Deny…' }).click();
  await card(page, 'w-1').getByLabel('What the agent is told').fill('Not <i>now</i>');
  await card(page, 'w-1').getByRole('button', { name: 'Deny', exact: true }).click();
  await card(page, 'w-1').getByText(/^denied by /).waitFor();
  await card(page, 'w-1').getByText('Not <i>now</i>').waitFor();
  assert.equal((await stands('w-1')).message, 'Not <i>now</i>');

  await card(page, 'w-2').getByRole('button', { name: 'Edit…' }).click();
  const field = card(page, 'w-2').getByLabel('Arguments, as JSON');
  assert.deepEqual(JSON.parse(await field.inputValue()), { command: 'ls /' });
  for (const [wrong, said] of [['{ command', 'This is no JSON'], ['[1]', 'Arguments are an object'], [JSON.stringify({ command: 'x'.repeat(70_000) }), 'at most 65536']]) {
    await field.fill(wrong);
    await card(page, 'w-2').getByRole('button', { name: 'Approve with these' }).click();
    await card(page, 'w-2').getByRole('alert').filter({ hasText: said }).waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
  }
  assert.equal((await stands('w-2')).state, 'pending');
  await field.fill('{"command": "ls /tmp"}');
  await card(page, 'w-2').getByRole('button', { name: 'Approve with these' }).click();
  await card(page, 'w-2').getByText('Approved with these arguments instead').waitFor();
  await card(page, 'w-2').getByText('ls /tmp').waitFor();
  assert.deepEqual((await stands('w-2')).updated_arguments, { command: 'ls /tmp' });
  quiet();
  await context.close();
});

test('a tool that is always allowed in a session is not asked about again', async () => {
  const p = producer('always');
  await server.publish(p.start(), p.turn('x'), p.ask('al-1', 'WebFetch', { url: 'https://example.com' }));
  const { context, page, quiet } = await open('always');
  await card(page, 'al-1').getByRole('button', { name: 'Always allow WebFetch in this session' }).click();
  await card(page, 'al-1').getByText(/^approved by .*, and from now on$/).waitFor();
  await server.publish(p.ask('al-2', 'WebFetch', { url: 'https://example.org' }));
  await card(page, 'al-2').getByText('approved by the rule of this session').waitFor();
  quiet();
  await context.close();
});

test('an edit is shown as the lines that change', async () => {
  const p = producer('edits');
  const before = 'one\ntwo\nthree';
  await server.publish(
    p.turn('x'),
    p.ask('e-1', 'Edit', { file_path: '/a.txt', old_string: before, new_string: 'one\n2\nthree' }),
    p.ask('e-2', 'apply_patch', { patch: '@@\n-old\n+new\n' }),
    p.ask('e-3', 'MultiEdit', { file_path: '/b', edits: [{ old_string: 'a', new_string: 'b' }, { old_string: 'c', new_string: 'd' }] }),
    p.ask('e-4', 'Other', ['a', { b: 1 }]),
  );
  const { context, page, quiet } = await open('edits');
  const change = card(page, 'e-1').getByRole('group', { name: 'Change' });
  assert.deepEqual(await change.locator('del').allInnerTexts(), ['two']);
  assert.deepEqual(await change.locator('ins').allInnerTexts(), ['2']);
  await card(page, 'e-1').getByText('/a.txt').waitFor();
  assert.deepEqual(await card(page, 'e-2').locator('ins').allInnerTexts(), ['new']);
  assert.deepEqual(await card(page, 'e-3').locator('del').allInnerTexts(), ['a', 'c']);
  await card(page, 'e-4').getByText('"b": 1').waitFor();
  quiet();
  await context.close();
});

test('a question is answered by what is chosen and typed, and the answers are told', async () => {
  const p = producer('question');
  const options = [{ label: 'SQLite', description: 'One file' }, { label: 'Postgres', description: 'A <b>server</b>' }];
  const questions = [
    { question: 'Which database?', header: 'Store', options, multiSelect: false },
    { question: 'Which tests?', options: [{ label: 'unit' }, { label: 'browser' }, { label: 'fuzz' }], multiSelect: true },
    { question: 'A name?', options: [] },
  ];
  await server.publish(p.start(), p.turn('x'), p.ask('qu-1', 'AskUserQuestion', { questions }), p.state('needs_answer'));
  const { context, page, quiet } = await open('question');
  await card(page, 'qu-1').getByText('waits for an answer').waitFor();
  await card(page, 'qu-1').getByRole('button', { name: 'Answer' }).click();
  await card(page, 'qu-1').getByRole('alert').filter({ hasText: 'Nothing is chosen' }).waitFor();
  assert.equal((await stands('qu-1')).state, 'pending');
  await card(page, 'qu-1').getByRole('group', { name: 'Which database?' }).getByRole('radio', { name: 'Postgres' }).check();
  for (const name of ['unit', 'fuzz']) await card(page, 'qu-1').getByRole('checkbox', { name }).check();
  await card(page, 'qu-1').getByRole('textbox', { name: 'A name?' }).fill('Turnwire');
  await card(page, 'qu-1').getByRole('button', { name: 'Answer' }).click();
  await card(page, 'qu-1').getByText(/^approved by /).waitFor();
  await card(page, 'qu-1').getByText('unit, fuzz').waitFor();
  const answers = { 'Which database?': 'Postgres', 'Which tests?': 'unit, fuzz', 'A name?': 'Turnwire' };
  assert.deepEqual((await server.ask('/api/approvals/qu-1')).updated_arguments, { questions, answers });
  quiet();
  await context.close();
});

test('of two tabs that decide one approval the first wins, and the other says so', async () => {
  const p = producer('two');
  await server.publish(p.start(), p.turn('x'), p.ask('two-1', 'Bash', { command: 'ls' }), p.ask('two-2', 'Bash', { command: 'ls' }));
  const [first, second] = [await open('two'), await open('two')];
  await card(second.page, 'two-1').getByRole('button', { name: 'Approve' }).waitFor();
  await card(first.page, 'two-1').getByRole('button', { name: 'Approve' }).click();
  for (const { page } of [first, second]) await card(page, 'two-1').getByText(/^approved by /).waitFor();
  assert.equal(await card(second.page, 'two-1').getByRole('button').count(), 0);

  // The second tab hears nothing of it, and decides otherwise.
  const stream = /\/events\?/;
  await second.context.route(stream, (route) => route.abort());
  await second.page.route('**/api/approvals/two-2/decision', async (route) => {
    await server.post('/api/approvals/two-2/decision', { decision: 'approve' });
    await route.continue();
  });
  await card(second.page, 'two-2').getByRole('button', { name: 'Deny…' }).click();
  await card(second.page, 'two-2').getByRole('button', { name: 'Deny', exact: true }).click();
  await card(second.page, 'two-2').getByText(/^approved by /).waitFor();
  assert.equal((await stands('two-2')).state, 'approved');
  first.quiet();
  second.quiet(CONFLICT);
  await first.context.close();
  await second.context.close();
});

test('what was decided elsewhere or has expired is told at once, and a replay shows no open question', async () => {
  const p = producer('elsewhere');
  const soon = new Date(Date.now() + 1500).toISOString();
  await server.publish(p.start(), p.turn('x'), p.ask('el-1', 'Bash', { command: 'ls' }), p.ask('el-2', 'Bash', { command: 'ls' }, { expires_at: soon }));
  const { context, page, quiet } = await open('elsewhere');
  await card(page, 'el-1').getByText('waits for approval').waitFor();
  await server.publish(p.decide('el-1', 'denied', { by: 'terminal', message: 'said there' }));
  await card(page, 'el-1').getByText('denied by terminal').waitFor();
  await card(page, 'el-2').getByText('expired', { exact: true }).waitFor();
  // What comes after the first decision changes nothing; nor does another session, or another word.
  const other = producer('elsewhere-2');
  await server.publish(p.decide('el-1', 'approved'), p.ask('el-3', 'Bash', { command: 'ls' }), p.decide('el-3', 'perhaps'), other.decide('el-3', 'approved'));
  await card(page, 'el-3').getByRole('button', { name: 'Approve' }).waitFor();
  await card(page, 'el-1').getByText('denied by terminal').waitFor();
  await server.publish(p.turnEnd());
  await card(page, 'el-3').getByText('withdrawn').waitFor();

  // Every state of the page while it loads is looked at, not just the last.
  await page.addInitScript(() => {
    const seen = /** @type {any} */ (window);
    seen.opened = 0;
    new MutationObserver(() => (seen.opened += document.querySelectorAll('.decide').length)).observe(document, { subtree: true, childList: true });
  });
  await page.reload();
  await page.locator('[data-connection=live]').waitFor();
  await card(page, 'el-3').getByText('withdrawn').waitFor();
  assert.equal(await page.evaluate(() => /** @type {any} */ (window).opened), 0);
  quiet();
  await context.close();
});

test('a server that is killed and comes back leaves the question open, and it can be answered then', async () => {
  const p = producer('killed');
  await server.publish(p.start(), p.turn('x'), p.ask('k-1', 'Bash', { command: 'ls' }));
  const { context, page, quiet } = await open('killed');
  const approve = card(page, 'k-1').getByRole('button', { name: 'Approve' });
  await approve.waitFor();
  await server.kill();
  await page.locator('[data-connection=reconnecting]').waitFor();
  assert.equal(await approve.getAttribute('aria-disabled'), 'true', 'nothing is decided while nobody hears it');
  await server.up();
  await reconnect(page);
  await approve.click();
  await card(page, 'k-1').getByText(/^approved by /).waitFor();
  quiet(AWAY);
  await context.close();
});

test('hostile arguments are text, in the card, in the inbox and in the field', async () => {
  const p = producer('a/b?c="<x>&%23', '<b>agent</b>');
  const script = `</textarea><script>window.pwned=1</script><img src=x onerror="window.pwned=2">`;
  const hostile = { command: `${script}\u202e\x00\x1b[31m`, [script]: { deep: script }, __proto__: null, old_string: script, new_string: 'x'.repeat(5000) };
  await server.publish(p.start(), p.turn('x'), p.ask('h-1', script.slice(0, 60), hostile, { title: script }));
  await server.publish(p.ask('h-2', 'x', { old_string: script, new_string: `${script}\u2066` }), p.ask('', 'NoId', {}), p.ask('h-3', 'x', 'y'.repeat(100_000)));
  const { context, page, quiet } = await open('a/b?c="<x>&%23', { viewport: { width: 375, height: 800 } });
  await card(page, 'h-1').getByRole('button', { name: 'Edit…' }).click();
  assert.deepEqual(JSON.parse(await card(page, 'h-1').locator('textarea').inputValue()), JSON.parse(JSON.stringify(hostile)));
  await page.getByText('cannot be decided: it has no id').waitFor();
  const looks = async () => {
    const { pwned, foreign, scroll, inner } = await page.evaluate(() => ({
      pwned: 'pwned' in window,
      foreign: document.querySelectorAll('#app script, #app img, #app b').length,
      scroll: document.documentElement.scrollWidth,
      inner: [...document.querySelectorAll('main')].map((main) => main.scrollWidth - main.clientWidth)[0],
    }));
    assert.deepEqual([pwned, foreign, scroll, inner], [false, 0, 375, 0]);
    assert.ok(!/[\x00\u202e\u2066\x1b]/.test(await page.locator('main').innerText()));
  };
  await looks();
  await page.goto(`${server.url}/#/inbox`);
  await card(page, 'h-1').waitFor();
  await looks();
  await card(page, 'h-1').getByRole('button', { name: 'Deny…' }).click();
  await looks();
  quiet();
  await context.close();
});

test('the focus goes to the row of a question that has left, also where it was known late who asks', async () => {
  const p = producer('late');
  await server.publish(p.start(), p.turn('x'), p.ask('l-1', 'Bash', { command: 'ls' }));
  const { context, page, quiet } = await visitor(browser);
  /** @type {() => void} */ let tell = () => {};
  const told = new Promise((resolve) => (tell = () => resolve(undefined)));
  await page.route('**/api/state*', async (route) => {
    await told;
    await route.continue();
  });
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection]').waitFor();
  await page.goto(`${server.url}/#/session/late`);
  await card(page, 'l-1').waitFor();
  assert.equal(await card(page, 'l-1').getByText('Somebody else has to decide').count(), 0, 'nobody has said so');
  tell();
  await card(page, 'l-1').getByRole('button', { name: 'Approve' }).focus();
  await page.keyboard.press('Enter');
  await card(page, 'l-1').getByText(/^approved by /).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.classList.contains('item')), true);
  quiet();
  await context.close();
});

test('a question is answered with the keys alone, in the dark', async () => {
  const p = producer('keys');
  await server.publish(p.start(), p.turn('x'), ...['y-1', 'y-2', 'y-3'].map((id) => p.ask(id, 'Bash', { command: `echo ${id}` })));
  const { context, page, quiet } = await open('keys', { colorScheme: 'dark' });
  await card(page, 'y-3').getByRole('button', { name: 'Approve' }).waitFor();
  await page.keyboard.press('k');
  const inFocus = () => page.evaluate(() => document.activeElement?.closest('.item')?.querySelector('[data-approval]')?.getAttribute('data-approval'));
  assert.equal(await inFocus(), 'y-3');
  await page.keyboard.press('a');
  await card(page, 'y-3').getByText(/^approved by /).waitFor();
  await page.keyboard.press('k');
  await page.keyboard.press('d');
  await page.keyboard.type('no: j k a');
  await page.keyboard.press('Enter');
  await card(page, 'y-2').getByText('no: j k a').waitFor();
  assert.equal(await inFocus(), 'y-2', 'the focus stays where it was');
  await page.keyboard.press('k');
  await page.keyboard.press('e');
  await page.keyboard.press('Escape');
  assert.equal(await inFocus(), 'y-1', 'Escape gives the focus back');
  await page.keyboard.press('e');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await card(page, 'y-1').getByText(/^approved by /).waitFor();
  assert.deepEqual((await stands('y-1')).updated_arguments, { command: 'echo y-1' });
  quiet();
  await context.close();
});

test('the link of a notification opens what is asked, in focus, wherever in the session it is; one that was answered, too', async () => {
  const p = producer('told');
  const notes = (/** @type {number} */ count) => Array.from({ length: count }, (_, n) => p.event('note', { text: `note ${n}` }));
  await server.publish(p.start(), ...notes(300), p.ask('told-1', 'Bash', { command: 'make deploy' }), ...notes(300));
  const { context, page, quiet } = await open('told');
  await page.goto(`${server.url}/#/session/told?approval=told-1`);
  const card = page.locator('[data-approval=told-1]');
  await page.waitForFunction(() => document.activeElement?.matches('.item.approval.marked'));
  const box = await card.boundingBox();
  assert.ok(box && box.y > 100 && box.y + box.height < 800, JSON.stringify(box));
  assert.match(page.url(), /told\?at=\d+$/, 'the address is that of the place');
  await page.locator('[data-connection=live]').waitFor();
  await page.keyboard.press('a');
  await card.and(page.locator('[data-state=approved]')).waitFor();
  await page.goto(`${server.url}/#/`);
  await page.goto(`${server.url}/#/session/told?approval=told-1`);
  await card.getByText(/^approved by /).waitFor();
  await page.goto(`${server.url}/#/session/told?approval=nothing`);
  await page.getByText('note 299').last().waitFor();
  quiet(/status of 404/);
  await context.close();
});
