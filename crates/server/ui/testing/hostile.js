// Text that would do harm if the page took it for anything but text, in every place where an agent has a word.

import { Agent } from './agent.js';
import { producer } from './events.js';
import { Server } from './server.js';

export const HOSTILE = [
  '<img src=x onerror="window.owned=1">',
  '<script>window.owned=1</script>',
  'javascript:alert(1)',
  '\u202Eevil\u0000\u001b[31mred\u001b[0m\u001b]8;;http://x\u0007link\u001b]8;;\u0007',
  'x'.repeat(20_000),
  '</style></title><svg onload="window.owned=1"><style>*{display:none}</style><base href="http://elsewhere.invalid/">',
  '![a](http://elsewhere.invalid/a.png) [b](javascript:window.owned=1) <http://elsewhere.invalid> <iframe src="//elsewhere.invalid">',
  'invoice\u202egpj.exe\u2066 \u200fabc\u2069 \u0085\u009b31m \u0007\u0008\u007f \r\rover',
  'Z\u0351\u036b\u0343'.repeat(300),
  '😀'.repeat(2000),
  '\n'.repeat(3000),
];

/** A word that is in all of it, so that a search finds it. */
const WORD = 'needle';

/** What is shown as it is nowhere: control characters but tabs and ends of lines, and marks that turn the direction of what follows. */
const RAW = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** Nothing of it ran, made an element, leads anywhere, or stands in the page as it came. @param {import('playwright-core').Page} page */
export async function harmless(page) {
  const made = await page.evaluate((raw) => {
    /** @type {string[]} */
    const found = [];
    const bad = new RegExp(raw);
    if ('owned' in window) found.push('it ran');
    if (bad.test(document.title)) found.push('the title has it as it came');
    const own = '.logo, .spark, .context svg, .bars svg';
    for (const one of document.querySelectorAll('#app :is(img, script, style, link, base, iframe, object, embed, video, audio)')) found.push(`made: ${one.outerHTML.slice(0, 100)}`);
    for (const one of document.querySelectorAll('#app svg')) if (!one.matches(own)) found.push(`made: ${one.outerHTML.slice(0, 100)}`);
    for (const one of document.querySelectorAll('#app a')) if (!/^(#|https?:|\/api\/(sessions\/[\w.%~!*'()-]+\/export|blobs\/\w+)(\?|$))/.test(one.getAttribute('href') ?? '')) found.push(`leads: ${one.getAttribute('href')}`);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.nodeType === Node.TEXT_NODE) {
        if (bad.test(node.textContent ?? '')) found.push(`as it came, in ${node.parentElement?.outerHTML.slice(0, 100)}`);
        continue;
      }
      const element = /** @type {Element} */ (node);
      for (const name of ['title', 'aria-label', 'placeholder', 'aria-valuetext', 'alt']) if (bad.test(element.getAttribute(name) ?? '')) found.push(`as it came, in ${name} of ${element.tagName}.${element.className}`);
      if (element instanceof HTMLInputElement && /text|search/.test(element.type) && bad.test(element.value)) found.push(`as it came, in the value of ${element.name}`);
    }
    return [...new Set(found)].slice(0, 20);
  }, RAW.source);
  if (made.length > 0) throw new Error(`foreign text has become more than text: ${made.join('\n')}`);
}

/** Whether the page is wider than its window. @param {import('playwright-core').Page} page */
export const overflow = (page) =>
  page.evaluate(() => {
    const main = document.querySelector('main');
    return Math.max(document.documentElement.scrollWidth - innerWidth, main ? main.scrollWidth - main.clientWidth : 0);
  });

/** Names may have no control characters; all else they may. */
const NAMES = ['<img src=x onerror="window.owned=1">\u202egpj', 'x'.repeat(250), 'a/b?c="<x>&%23'];

/** A server where everything that an agent, a harness or a device may say is meant to do harm; otherwise as the world of recorded runs. */
export class HostileWorld {
  session = NAMES[0];
  played = NAMES[0];
  run = NAMES[1];
  words = WORD;

  /** @param {Server} server */
  constructor(server) {
    this.server = server;
    // Not the one of the session: it falls silent, and what waits for it would be withdrawn.
    this.agent = new Agent(server, `${NAMES[0]} 2`);
  }

  static async begin() {
    const world = new HostileWorld(await Server.start());
    try {
      await world.#fill();
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  async #fill() {
    const { server, agent } = this;
    const all = HOSTILE.map((text) => `${WORD} ${text}`);
    const p = producer(this.session, NAMES[0]);
    await server.publish(p.start(all[0].slice(0, 250)), p.turn(all[5], all[0].slice(0, 100)), ...all.flatMap((text, at) => said(p, text, at)), ...all.flatMap((text, at) => asked(p, text, at)));
    const run = producer(this.run, NAMES[2]);
    await server.publish(run.start(all[3].slice(0, 250)), run.turn(all[3]), ...all.flatMap((text) => graded(run, text)), run.event('task_start', { task: all[5], number: 1, total: 3 }));
    // Without a title: its name is all that there is of it. One that failed, and one that is rate limited.
    for (const [at, state] of ['failed', 'rate_limited', 'needs_answer'].entries()) {
      const bare = producer(`${'\u202e'.repeat(at + 1)}${NAMES[2]}`, NAMES[at]);
      await server.publish(bare.start(), bare.event('turn_start', {}), bare.message(all[7]), bare.state(state));
    }
    await agent.report({ model: all[0].slice(0, 200), version: NAMES[0], state: NAMES[0], login: NAMES[2], sessions: [{ id: NAMES[0] + NAMES[2], state: NAMES[0], model: NAMES[2] }] });
    for (const text of all.slice(0, 8)) {
      await server.post('/api/commands', { agent: agent.name, action: 'set_model', args: { model: text.replaceAll(/\p{Cc}/gu, '').slice(0, 200) } });
      await agent.say((await agent.next()).id, 'failed', { reason: text.slice(0, 500) });
    }
    for (const name of NAMES) await server.post('/api/tokens', { name, scopes: ['read', `read:session:${this.session}`] });
  }

  end() {
    return this.server.stop();
  }
}

/** @param {ReturnType<typeof producer>} p @param {string} text @param {number} at */
const said = (p, text, at) => [
  p.event('reasoning', { content: text }),
  p.message(text, `m-${at}`),
  p.toolStart(`c-${at}`, text.slice(0, 250), { [text.slice(0, 90)]: text, command: text, file_path: text }),
  p.event('tool_progress', { tool_call_id: `c-${at}`, content: text }),
  p.toolEnd(`c-${at}`, text.slice(0, 250), at % 2 ? text : [{ type: 'text', text }], at % 3 > 0),
  p.toolStart(`e-${at}`, 'Edit', { file_path: text, old_string: text, new_string: `${text}!` }),
  p.event('tool_call', { tool: 'Edit', tool_call_id: `e-${at}`, success: false, error: text }),
  p.event('error', { component: text.slice(0, 500), message: text }),
  p.event('note', { text }),
  p.event('usage', { input_tokens: 5, output_tokens: 5, model: text.slice(0, 250) }),
  p.event('model_changed', { model: at === 0 ? text : HOSTILE[4], from: text }),
  p.event('status_changed', { status: text, needs_login: text }),
  p.event('memory', { action: text, query: text, count: 2, source: text }),
  p.event('unheard_of', { html: text, [text.slice(0, 90)]: [text] }),
];

/** @param {ReturnType<typeof producer>} p @param {string} text @param {number} at */
const asked = (p, text, at) => [
  p.ask(`ask-${at}`, text.slice(0, 250), { command: text, description: text, [text.slice(0, 90)]: text }, { title: text, expires_at: text.slice(0, 20), suggestions: [text] }),
  p.ask(`choose-${at}`, 'AskUserQuestion', { questions: [{ question: text, header: text, options: [{ label: text, description: text }, { label: `${text}2` }], multiSelect: at % 2 > 0 }] }),
  p.ask(`over-${at}`, 'Edit', { file_path: text, old_string: text, new_string: `${text}!` }),
  p.decide(`over-${at}`, 'denied', { by: text.slice(0, 250), message: text }),
];

/** @param {ReturnType<typeof producer>} p @param {string} text */
const graded = (p, text) => [
  p.event('task_start', { task: text, number: 1, total: 3 }),
  p.event('grader_result', { grader: text, grader_type: text, passed: false, score: 0.5, message: text }),
  p.event('task_complete', { task: text, outcome: 'error', score: 0.1, error: text }),
];
