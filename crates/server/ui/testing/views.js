// The views, a row each: where it is, what of the recorded runs is to be seen there, what changes while it is open, and the way
// through its main action by keys. The tests of all views go over this table: a view that is added has to be added here.

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('./world.js').World | import('./hostile.js').HostileWorld} AnyWorld */
/** @typedef {import('./world.js').World} World */
/**
 * @typedef {object} View
 * @property {string} name
 * @property {string} [path] the view in the page's own list that this is a row of
 * @property {(world: AnyWorld) => string | Promise<string>} hash
 * @property {true} [isGuest] who looks is not signed in
 * @property {string} [session] whose events it shows, all of them and each once
 * @property {(page: Page) => Promise<unknown>} seen what is there of the recorded runs
 * @property {(world: World) => Promise<unknown>} [live] something happens that changes it
 * @property {(page: Page) => Promise<unknown>} [changed] and it is seen; where nothing is live: what the reader does there goes on
 * @property {(page: Page, world: World) => Promise<unknown>} keys its main action, by keys alone
 */
import { evaluation } from './world.js';

/** @param {Page} page @param {string} css @param {string | RegExp} [text] */
const there = (page, css, text) => page.locator(css).filter({ hasText: text ?? '' }).first().waitFor();

/** @param {Page} page @param {string} css @param {string | RegExp} [text] */
const gone = (page, css, text) => page.locator(css).filter({ hasText: text ?? '' }).first().waitFor({ state: 'detached' });

/** @param {Page} page @param {...string} keys */
async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key);
}

/** Goes on with Tab until the focus is there. @param {Page} page @param {string} css @param {string} [text] */
export async function tabTo(page, css, text = '') {
  for (let steps = 0; steps < 200; steps += 1) {
    await page.keyboard.press('Tab');
    const isThere = await page.evaluate(([what, said]) => Boolean(document.activeElement?.matches(what) && document.activeElement.textContent?.includes(said)), [css, text]);
    if (isThere) return;
  }
  throw new Error(`Tab does not come to ${css} ${text}`);
}

/** @param {string} id */
const sessionHash = (id) => `#/session/${encodeURIComponent(id)}`;

/** @param {World} world */
const goOn = (world) => world.goOn();
/** @param {World} world */
const goOnWithRun = ({ server }) => server.publish(...evaluation.goOn());
/** @param {World} world */
const reports = ({ agent }) => agent.report({ state: 'thinking', model: 'model-y' });

/** @type {View[]} */
export const VIEWS = [
  {
    name: 'the fleet',
    path: '',
    hash: () => '#/',
    seen: async (page) => {
      await there(page, 'a[data-session=waiting]:has([data-state=needs_approval])', 'builder');
      await there(page, 'a[data-session=tools]', '$0.014');
      for (const session of ['edits', 'asked', 'broken', 'eval']) await there(page, `a[data-session=${session}]`);
    },
    live: goOn,
    changed: (page) => there(page, 'a[data-session=waiting]:has([data-state=done])', 'One was written, the other was refused.'),
    keys: async (page) => {
      await press(page, 'g', 'f', '/');
      await page.keyboard.type('writer');
      await gone(page, 'a[data-session=waiting]');
      await press(page, 'Enter', 'j', 'Enter');
      await page.waitForURL(/#\/session\/edits$/);
    },
  },
  {
    name: 'the inbox',
    path: 'inbox',
    hash: () => '#/inbox',
    seen: (page) => there(page, '.ask:has([data-approval])', 'builder'),
    live: goOn,
    changed: (page) => gone(page, '.ask:has([data-approval])'),
    keys: async (page) => {
      await press(page, 'g', 'i');
      await there(page, '.ask:has([data-approval])');
      await press(page, 'j', 'd');
      await page.keyboard.type('not today');
      await press(page, 'Enter');
      await gone(page, '.ask:has([data-approval])');
    },
  },
  {
    name: 'the agents',
    path: 'agents',
    hash: () => '#/agents',
    seen: (page) => there(page, '[data-agent=helper][data-online=true]', 'idle'),
    live: reports,
    changed: (page) => there(page, '[data-agent=helper]', /thinking[\s\S]*model-y/),
    keys: async (page) => {
      await press(page, 'g', 'a');
      await there(page, '[data-agent=helper]');
      await tabTo(page, 'button', 'Hold');
      await press(page, 'Enter');
      await there(page, '[data-agent=helper] .ordered', 'hold');
    },
  },
  {
    name: 'one agent',
    path: 'agent',
    hash: ({ agent }) => `#/agent/${encodeURIComponent(agent.name)}`,
    seen: (page) => there(page, '[data-agent=helper][data-online=true]', 'idle'),
    live: reports,
    changed: (page) => there(page, '[data-agent=helper]', /thinking[\s\S]*model-y/),
    keys: async (page) => {
      await tabTo(page, 'a', 'Its sessions');
      await press(page, 'Enter');
      await page.waitForURL(/#\/\?agent=helper$/);
    },
  },
  {
    name: 'the runs',
    path: 'runs',
    hash: () => '#/runs',
    seen: (page) => there(page, '[data-run=eval]', /at parse-02[\s\S]*1 of 3/),
    live: goOnWithRun,
    changed: (page) => there(page, '[data-run=eval]', /at parse-03[\s\S]*2 of 3[\s\S]*1 failed/),
    keys: async (page) => {
      await press(page, 'g', 'r');
      await there(page, '[data-run=eval]');
      await press(page, 'j', 'Enter');
      await page.waitForURL(/#\/runs\/eval$/);
    },
  },
  {
    name: 'one run',
    path: 'runs',
    hash: ({ run }) => `#/runs/${encodeURIComponent(run)}`,
    seen: (page) => there(page, '[data-task="parse-01"][data-outcome=passed]', 'all 12 pass'),
    live: goOnWithRun,
    changed: async (page) => {
      await there(page, '[data-task="parse-02"][data-outcome=failed]', '9 of 12 fail');
      await there(page, '[data-task="parse-03"][data-outcome=open]');
    },
    keys: async (page) => {
      await tabTo(page, 'button', 'Passed');
      await press(page, 'Enter');
      await gone(page, '[data-task="parse-02"]');
      await press(page, 'j', 'Tab', 'Enter');
      await page.waitForURL(/#\/session\/eval\?at=\d+$/);
    },
  },
  {
    name: 'the usage',
    path: 'usage',
    hash: () => '#/usage?by=session',
    seen: async (page) => {
      await there(page, '[aria-label="By session"] tr:has(a[href="#/session/tools"])', '$0.014');
      await there(page, '[aria-label=Tools] tr', 'Bash');
    },
    live: goOn,
    changed: (page) => there(page, '[aria-label="By session"] tr:has(a[href="#/session/waiting"])', '$0.0031'),
    keys: async (page) => {
      await press(page, 'g', 'u');
      await tabTo(page, 'button', '7 days');
      await press(page, 'Enter');
      await page.waitForURL(/window=7d/);
      await there(page, '[aria-label="By agent"] a', 'builder');
      await press(page, 'j', 'Enter');
      await page.waitForURL(/by=session&agent=|agent=.*by=session/);
    },
  },
  {
    name: 'the search',
    path: 'search',
    hash: ({ words }) => `#/search?q=${words}`,
    seen: (page) => there(page, 'a.result[href*="/session/tools"]', 'the folder does not exist'),
    keys: async (page, world) => {
      await world.goOn();
      await press(page, 'g', 's');
      await page.locator('[data-filter]:focus').waitFor();
      await page.keyboard.type('refused');
      await press(page, 'Enter');
      await there(page, 'a.result');
      await press(page, 'j', 'Enter');
      await page.waitForURL(/#\/session\/waiting\?(.*&)?at=\d+/);
    },
  },
  {
    name: 'the access',
    path: 'access',
    hash: () => '#/access',
    seen: (page) => there(page, '[aria-label=Tokens] .token', 'ci robot'),
    keys: async (page) => {
      await press(page, 'g', 'x');
      await there(page, '.token', 'ci robot');
      await tabTo(page, '.token[aria-label="ci robot"] button', 'Revoke…');
      await press(page, 'Enter');
      await tabTo(page, 'button', 'Revoke for good');
      await press(page, 'Enter');
      await gone(page, '.token', 'ci robot');
    },
  },
  {
    name: 'a session’s conversation',
    path: 'session',
    hash: ({ session }) => sessionHash(session),
    session: 'waiting',
    seen: (page) => there(page, '[data-approval]', 'waits for approval'),
    live: goOn,
    changed: (page) => there(page, '.item.message', 'One was written, the other was refused.'),
    keys: async (page) => {
      await there(page, '[data-approval]', 'waits for approval');
      // Past the word that the session waits.
      await press(page, 'k', 'k', 'a');
      await there(page, '[data-approval]', 'approved by');
    },
  },
  {
    name: 'a session’s events, raw',
    path: 'session',
    hash: ({ session }) => `${sessionHash(session)}?view=raw`,
    session: 'waiting',
    seen: (page) => there(page, '.item.raw', 'approval_request'),
    live: goOn,
    changed: (page) => there(page, '.item.raw', 'session_end'),
    keys: async (page) => {
      await there(page, '.item.raw', 'approval_request');
      await press(page, 'k', 'Enter');
      await there(page, '.item.raw pre', '"seq"');
      await tabTo(page, '.item.raw a', 'Link to event');
      await press(page, 'Enter');
      await page.waitForURL(/#\/session\/waiting\?(.*&)?at=\d+/);
    },
  },
  {
    name: 'a session’s timeline',
    path: 'session',
    hash: ({ session }) => `${sessionHash(session)}?view=timeline`,
    seen: (page) => there(page, '.span.call.running', 'Write'),
    live: goOn,
    changed: (page) => there(page, '.span.call.failed', 'Write'),
    keys: async (page) => {
      await there(page, '.span.call.running', 'Write');
      await press(page, 'j', 'j', 'Enter');
      await page.waitForURL(/#\/session\/waiting\?(.*&)?at=\d+/);
    },
  },
  {
    name: 'a session’s replay',
    path: 'session',
    hash: async ({ server, played }) => `${sessionHash(played)}?play=${(await server.log(played)).at(-1)?.seq}`,
    session: 'tools',
    seen: (page) => there(page, '.item.tool', 'Bash'),
    changed: async (page) => {
      const place = await page.locator('[data-place]').getAttribute('data-place');
      await press(page, 'ArrowLeft');
      await page.locator(`[data-place]:not([data-place="${place}"])`).waitFor();
      await press(page, 'ArrowRight');
      await page.locator(`[data-place="${place}"]`).waitFor();
    },
    keys: async (page) => {
      await there(page, '.item.tool', 'Bash');
      const place = page.locator('[data-place]');
      const before = await place.getAttribute('data-place');
      await press(page, 'Shift+ArrowLeft');
      await page.locator(`[data-place]:not([data-place="${before}"])`).waitFor();
      await press(page, '3', ' ');
      await there(page, '.moment [role=status]', 'The end so far');
      await page.locator(`[data-place="${before}"]`).waitFor();
    },
  },
  {
    name: 'the sign-in',
    isGuest: true,
    hash: () => '',
    seen: (page) => there(page, 'main.sign-in', 'turnwire pair'),
    keys: async (page, { server }) => {
      await tabTo(page, 'input');
      await page.keyboard.type(decodeURIComponent((await server.pairingLink()).split('#pair=')[1]));
      await press(page, 'Enter');
      await there(page, 'a[data-session=waiting]');
    },
  },
  {
    name: 'a shared session',
    isGuest: true,
    hash: async ({ server, session }) => new URL((await server.post(`/api/sessions/${encodeURIComponent(session)}/share`, {})).url).hash,
    session: 'waiting',
    seen: (page) => there(page, '[data-approval]', 'Write'),
    live: goOn,
    changed: (page) => there(page, '.item.message', 'One was written, the other was refused.'),
    keys: async (page) => {
      await there(page, '[data-approval]');
      await tabTo(page, 'nav a', 'Timeline');
      await press(page, 'Enter');
      await there(page, '.span.call', 'Write');
    },
  },
];
