// How fast the page is, measured in a real Chromium against a real server, printed as a table:
//
//   TURNWIRE_BIN=… node testing/perf.js [events of the long session] [events that come after it: 1000000 takes some minutes]
//
// A release build is what people have: a debug build reads the page anew for each of its parts. Each row says what it must be; the
// script fails where one is not.

import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { launch, visitor } from './browser.js';
import { producer } from './events.js';
import { Server } from './server.js';

const EVENTS = Number(process.argv[2] ?? 100_000);
const MORE = Number(process.argv[3] ?? 20_000);
const SESSIONS = 200;
const BATCH = 1000;
/** Events a second, and for how long. */
const [RATE, SECONDS] = [2000, 10];

/** @type {{ what: string, measured: string, must: string, ok: boolean }[]} */
const table = [];

/** @param {string} what @param {number} measured @param {string} unit @param {number} most */
function row(what, measured, unit, most) {
  const digits = measured < 100 ? 1 : 0;
  table.push({ what, measured: `${measured.toFixed(digits)} ${unit}`, must: `< ${most} ${unit}`, ok: measured < most });
}

/** A session as agents have them: turns of words, reasoning, calls and their outputs. @param {ReturnType<typeof producer>} p @param {number} at */
function piece(p, at) {
  const turn = Math.floor(at / 40);
  const call = `call-${at - (at % 2)}`;
  if (at % 40 === 0) return p.turn(`Please look into number ${turn}, and say what you find`, `t-${turn}`);
  if (at % 40 === 39) return p.turnEnd();
  if (at % 10 === 9) return p.message(`Step ${at}: **done**, see \`src/file-${at}.rs\`.\n\n- one\n- two\n\nThe next is that the words are of some length.`, `m-${at}`);
  if (at % 10 === 8) return p.event('reasoning', { content: `Thinking about ${at}. `.repeat(12) });
  if (at % 2 === 0) return p.toolStart(call, 'Bash', { command: `cargo test -p crate-${at}`, description: 'Run the tests' });
  return p.toolEnd(call, 'Bash', Array.from({ length: 8 }, (_, line) => `test number ${at}::case_${line} ... \x1b[32mok\x1b[0m`).join('\n'));
}

/** @param {Server} server */
async function fill(server) {
  for (let at = 0; at < SESSIONS; at += 1) {
    const p = producer(`session-${at}`, `agent-${at % 12}`);
    await server.publish(p.start(), ...Array.from({ length: 12 }, (_, step) => piece(p, step)));
  }
  const long = producer('long');
  let middle = 0;
  for (let from = 0; from < EVENTS; from += BATCH) {
    const { first_seq } = await server.publish(...Array.from({ length: Math.min(BATCH, EVENTS - from) }, (_, at) => piece(long, from + at)));
    if (from <= EVENTS / 2) middle = first_seq;
  }
  await server.folded();
  return middle;
}

/** @param {import('playwright-core').Page} page @returns {Promise<number>} */
async function heap(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('HeapProfiler.enable');
  await devtools.send('HeapProfiler.collectGarbage');
  const { usedSize } = await devtools.send('Runtime.getHeapUsage');
  await devtools.detach();
  return usedSize / 1024 / 1024;
}

/** Milliseconds from now until a row of the page matches, with the frame that shows it. @param {import('playwright-core').Page} page @param {string} hash @param {string} css */
const opening = (page, hash, css) =>
  page.evaluate(
    ([to, selector]) => {
      const start = performance.now();
      location.hash = to;
      return new Promise((done) => {
        const look = () => (document.querySelector(selector) ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))) : requestAnimationFrame(look));
        look();
      });
    },
    /** @type {const} */ ([hash, css]),
  );

/** The middle one. @param {number[]} all */
const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];

/** Milliseconds of frames while something is done. @param {import('playwright-core').Page} page @param {() => Promise<unknown>} task */
async function frames(page, task) {
  await page.evaluate(() => {
    /** @type {any} */ (window).frames_ = [];
    let last = performance.now();
    const next = (/** @type {number} */ at) => {
      const all = /** @type {any} */ (window).frames_;
      if (!all) return;
      all.push(at - last);
      last = at;
      requestAnimationFrame(next);
    };
    requestAnimationFrame((at) => ((last = at), requestAnimationFrame(next)));
  });
  await task();
  return page.evaluate(() => {
    const all = /** @type {number[]} */ (/** @type {any} */ (window).frames_);
    /** @type {any} */ (window).frames_ = null;
    return all.sort((a, b) => a - b);
  });
}

/** @param {import('playwright-core').Browser} browser @param {Server} server */
async function cold(browser, server) {
  /** @type {number[]} */
  const all = [];
  for (let round = 0; round < 5; round += 1) {
    const { context, page } = await visitor(browser);
    await page.goto(await server.pairingLink());
    await page.locator('a.row, [data-session]').first().waitFor();
    const state = await context.storageState();
    await context.close();
    // Signed in, and with nothing else: no file of the page is in a cache.
    const fresh = await browser.newContext({ storageState: state, viewport: { width: 1200, height: 800 } });
    const tab = await fresh.newPage();
    await tab.addInitScript(() => {
      const look = () => (document.querySelector('a.row, [data-session]') ? setTimeout(() => (/** @type {any} */ (window).shown = performance.now())) : requestAnimationFrame(look));
      requestAnimationFrame(look);
    });
    await tab.goto(`${server.url}/`);
    all.push(await tab.waitForFunction(() => /** @type {any} */ (window).shown).then((handle) => handle.jsonValue()));
    await fresh.close();
  }
  row(`first view, ${SESSIONS} sessions, cold`, median(all), 'ms', 500);
}

/** @param {import('playwright-core').Page} page @param {string} name @param {string} hash @param {string} css */
async function opened(page, name, hash, css) {
  /** @type {number[]} */
  const all = [];
  for (let round = 0; round < 5; round += 1) {
    await page.evaluate(() => (location.hash = '#/'));
    await page.locator('a.row, [data-session]').first().waitFor();
    all.push(/** @type {number} */ (await opening(page, hash, css)));
  }
  row(`open ${EVENTS} events ${name}`, median(all), 'ms', 300);
  row(`heap, ${name}`, await heap(page), 'MB', 60);
}

/** By a link, in a new tab of a browser that knows the page. @param {import('playwright-core').Browser} browser @param {Server} server @param {number} middle */
async function linked(browser, server, middle) {
  const { context, page } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('a.row').first().waitFor();
  for (const [name, hash, css] of [['at the end', '#/session/long', '.item'], ['in the middle', `#/session/long?at=${middle}`, '.item.marked']]) {
    /** @type {number[]} */
    const all = [];
    for (let round = 0; round < 5; round += 1) {
      const tab = await context.newPage();
      await tab.addInitScript((selector) => {
        const look = () => (document.querySelector(selector) ? setTimeout(() => (/** @type {any} */ (window).shown = performance.now())) : requestAnimationFrame(look));
        requestAnimationFrame(look);
      }, css);
      await tab.goto(`${server.url}/${hash}`);
      all.push(await tab.waitForFunction(() => /** @type {any} */ (window).shown).then((handle) => handle.jsonValue()));
      await tab.close();
    }
    row(`the same ${name}, by a link in a new tab`, median(all), 'ms', 300);
  }
  await context.close();
}

/** @param {import('playwright-core').Page} page */
async function scrolled(page) {
  const all = await frames(page, () =>
    page.locator('main').evaluate(async (main) => {
      for (let step = 0; step < 400; step += 1) {
        main.scrollTop -= 90;
        await new Promise((done) => requestAnimationFrame(done));
      }
    }),
  );
  row('scrolling upwards, p95 frame', all[Math.floor(all.length * 0.95)], 'ms', 20);
  row('heap after it', await heap(page), 'MB', 60);
}

/** @param {import('playwright-core').Page} page @param {Server} server */
async function flooded(page, server) {
  const p = producer('long');
  await page.evaluate(() => (location.hash = '#/'));
  await opening(page, '#/session/long', '.item');
  await page.locator('[data-connection=live]').waitFor();
  await page.evaluate(() => {
    const seen = (/** @type {any} */ (window).seen_ = new Set());
    const look = () => {
      for (const row of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.item'))) for (const seq of (row.dataset.seqs ?? '').split(' ')) seen.add(seq);
      if (/** @type {any} */ (window).seen_) requestAnimationFrame(look);
    };
    look();
  });
  const steps = 20;
  let sent = 0;
  const all = await frames(page, async () => {
    const start = Date.now();
    for (let step = 0; step < SECONDS * steps; step += 1) {
      const notes = Array.from({ length: RATE / steps }, () => p.event('note', { text: `note ${(sent += 1)} of a flood that has a line of words` }));
      await server.publish(...notes);
      const wait = start + ((step + 1) * 1000) / steps - Date.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    }
    await page.getByText(`note ${sent} of`).waitFor();
    row(`took ${sent} events in`, (Date.now() - start) / 1000, 's', SECONDS * 1.2);
  });
  row(`worst frame at ${RATE} events/s`, all.at(-1) ?? 0, 'ms', 100);
  row('heap after it', await heap(page), 'MB', 60);
  // Nothing lost: the rows that are still in the page follow one another without a hole,
  const last = await page.locator('main').evaluate(async (main) => {
    /** @type {number[]} */
    const found = [];
    for (let step = 0; step < 60; step += 1) {
      const rows = /** @type {HTMLElement[]} */ ([...main.querySelectorAll('.item.text')]);
      for (const item of rows) found.push(Number(/note (\d+) of/.exec(item.textContent ?? '')?.[1]));
      main.scrollTop -= main.clientHeight * 0.8;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    return [...new Set(found)].sort((a, b) => a - b);
  });
  const holes = last.filter((number, at) => at > 0 && number !== last[at - 1] + 1).length + (last.at(-1) === sent ? 0 : 1);
  row(`holes in the newest ${last.length} of them`, holes, '', 1);
  // and those that come while somebody reads further up are counted.
  for (let step = 0; step < SECONDS * 2; step += 1) await server.publish(...Array.from({ length: RATE / 2 }, () => p.event('note', { text: 'one more' })));
  const more = RATE * SECONDS;
  const counted = await page.waitForFunction((all) => {
    const text = document.querySelector('.to-end')?.textContent ?? '';
    const found = Number(text.replace(/\D/g, ''));
    return found >= all ? found : null;
  }, more);
  row(`of ${more} more, not counted as new`, Math.abs(more - Number(await counted.jsonValue())), '', 1);
}

/** Memory while many more come, as fast as they are taken. @param {import('playwright-core').Page} page @param {Server} server @param {number} events */
async function grown(page, server, events) {
  const p = producer('long');
  await page.evaluate(() => (location.hash = '#/'));
  await opening(page, '#/session/long', '.item');
  await page.locator('[data-connection=live]').waitFor();
  /** @type {number[]} */
  const quarters = [];
  for (let from = 0; from < events; from += BATCH) {
    const last = `the note after ${from}`;
    const notes = Array.from({ length: BATCH - 1 }, (_, at) => p.event('note', { text: `note ${from + at} that has a line of words` }));
    await server.publish(...notes, p.event('note', { text: last }));
    await page.getByText(last, { exact: true }).waitFor();
    if ((from + BATCH) % (events / 4) === 0) quarters.push(await heap(page));
  }
  row(`heap after ${events} more events`, quarters[3], 'MB', 60);
  row('of it grown since the first quarter of them', Math.max(0, quarters[3] - quarters[0]), 'MB', 1);
}

/** All that the server gives out of the page, as it sends it. @param {Server} server */
async function assets(server) {
  const index = await (await fetch(server.url)).text();
  const [prefix] = /\/ui\/\w+\//.exec(index) ?? [''];
  const icons = readdirSync(fileURLToPath(new URL('../icon', import.meta.url)));
  const parts = new Set([...index.matchAll(/"(\/ui\/[^"]+)"/g)].map(([, part]) => part).concat(icons.map((icon) => `${prefix}icon/${icon}`)));
  let size = index.length;
  for (const part of parts) size += await sizeOf(`${server.url}${part}`);
  row(`${parts.size} files of the page, gzipped`, size / 1000, 'kB', 150);
}

/** Bytes of an answer's body as they are sent: what fetch gives is unpacked. @param {string} url @returns {Promise<number>} */
const sizeOf = (url) =>
  new Promise((done, failed) => {
    const ask = get(url, { headers: { 'accept-encoding': 'gzip' } }, async (answer) => {
      let size = 0;
      for await (const piece of answer) size += piece.length;
      if (answer.statusCode === 200) done(size);
      else failed(new Error(`${url}: ${answer.statusCode}`));
    });
    ask.on('error', failed);
  });

const server = await Server.start();
const browser = await launch();
try {
  const middle = await fill(server);
  await cold(browser, server);
  const { context, page } = await visitor(browser);
  await page.goto(await server.pairingLink());
  await page.locator('[data-connection=live]').waitFor();
  await opened(page, 'at the end', '#/session/long', '.item');
  await scrolled(page);
  await opened(page, 'in the middle', `#/session/long?at=${middle}`, '.item.marked');
  await flooded(page, server);
  await grown(page, server, MORE);
  await context.close();
  await linked(browser, server, middle);
  await assets(server);
} finally {
  await browser.close();
  await server.stop();
}
const width = Math.max(...table.map(({ what }) => what.length));
console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}, load ${loadavg().map((load) => load.toFixed(1)).join(' ')}, ${new Date().toISOString().slice(0, 16)}Z\n`);
for (const { what, measured, must, ok } of table) console.log(`${what.padEnd(width)}  ${measured.padStart(9)}  ${must.padStart(9)}  ${ok ? '' : 'NOT MET'}`.trimEnd());
process.exit(table.every(({ ok }) => ok) ? 0 : 1);
