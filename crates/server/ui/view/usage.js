// Usage: tokens, money, turns, tool calls, how long they took and what failed, within a day, a week or a month.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { count, duration, full, money, nameOf, oneLine, short, whole } from '../format.js';
import { html } from '../html.js';
import { useLoaded } from '../loaded.js';
import { filter, hashOf, sessionHash } from '../route.js';
import { useRowKeys } from '../row-keys.js';
import { title } from '../title.js';
import { Command, RUN } from './command.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { Plot } from './plot.js';

/** @type {[string, string][]} */
const WINDOWS = [
  ['24h', '24 hours'],
  ['7d', '7 days'],
  ['30d', '30 days'],
];
const BYS = ['agent', 'model', 'session'];
/** The shortest time between two looks. */
const LEAST_MS = 5000;
/** Time goes on without events, too. */
const POLL_MS = 60_000;

/** @typedef {(sums: Wire.Sums) => number} Of */
/** @type {Of} */
const sent = (sums) => sums.input_tokens + sums.cache_read_input_tokens + sums.cache_creation_input_tokens;

/** @type {{ name: string, format: (value: number) => string, series: { name: string, tone: string, of: Of }[] }[]} */
const PLOTS = [
  { name: 'Cost', format: money, series: [{ name: 'Cost', tone: 'green', of: (s) => s.cost_usd }] },
  {
    name: 'Tokens',
    format: short,
    series: [
      { name: 'Sent', tone: 'amber', of: sent },
      { name: 'From cache', tone: 'soft', of: (s) => s.cache_read_input_tokens },
      { name: 'Made', tone: 'violet', of: (s) => s.output_tokens },
    ],
  },
  {
    name: 'Turns and tool calls',
    format: short,
    series: [
      { name: 'Turns', tone: 'violet', of: (s) => s.turns },
      { name: 'Tool calls', tone: 'amber', of: (s) => s.tool_calls },
    ],
  },
  { name: 'Errors', format: short, series: [{ name: 'Errors', tone: 'red', of: (s) => s.errors }] },
];

/** @param {import('../views.js').ViewProps} props */
export function UsagePage({ session, query }) {
  const { agent = '', session: within = '', ...rest } = Object.fromEntries(query);
  const window = WINDOWS.some(([name]) => name === rest.window) ? rest.window : '24h';
  const by = BYS.includes(rest.by) ? rest.by : 'agent';
  useEffect(() => {
    title.value = 'Usage · Turnwire';
  }, []);
  const asked = { window, by, agent: agent || undefined, session_id: within || undefined };
  const { value, error } = useLoaded((signal) => api.usage(asked, signal), JSON.stringify(asked), { least: LEAST_MS, beat: session.inbox.spent, poll: POLL_MS });
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list, 'tbody a');
  return html`<${Top} live=${session.inbox} session=${session}><h1>Usage</h1><//>
    <main class="scroll sessions usage" tabindex="-1" aria-busy=${!value}>
      <div ref=${list}>
        <div class="bar" role="group" aria-label="Filters">
          ${WINDOWS.map(([name, says]) => html`<${Choice} key=${name} name="window" value=${name} says=${says} chosen=${window} />`)}
          <span class="soft">by</span>
          ${BYS.map((name) => html`<${Choice} key=${name} name="by" value=${name} says=${name} chosen=${by} />`)}
          ${agent && html`<button class="quiet" onClick=${() => filter({ agent: '' })}>of <bdi>${oneLine(agent)}</bdi> ×</button>`}
          ${within && html`<button class="quiet" onClick=${() => filter({ session: '' })}>of <bdi>${nameOf(session.inbox.titleOf(within), within)}</bdi> ×</button>`}
        </div>
        ${error && (value ? html`<p class="notice" role="alert">${error.message}</p>` : html`<${Failure} error=${error} />`)}
        ${value && html`<${Told} told=${value} by=${by} window=${window} inbox=${session.inbox} />`}
      </div>
    </main>`;
}

/** @param {{ name: string, value: string, says: string, chosen: string }} props */
const Choice = ({ name, value, says, chosen }) =>
  html`<button class="quiet" aria-pressed=${value === chosen} onClick=${() => filter({ [name]: value })}>${says}</button>`;

/** @param {{ told: Wire.UsageTold, by: string, window: string, inbox: import('../inbox.js').Inbox }} props */
function Told({ told, by, window, inbox }) {
  const { totals } = told;
  const facts = [
    [money(totals.cost_usd), 'cost'],
    [short(sent(totals)), 'tokens sent'],
    [short(totals.output_tokens), 'tokens made'],
    [whole(totals.turns), 'turns'],
    [whole(totals.tool_calls), 'tool calls'],
    [whole(totals.errors), 'errors'],
  ];
  return html`<dl class="totals">${facts.map(([value, name]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${PLOTS.map((plot) => html`<${Over} key=${plot.name} plot=${plot} told=${told} window=${window} />`)}
    ${told.rows.length > 0 ? html`<${Rows} told=${told} by=${by} window=${window} />` : html`<${Empty} inbox=${inbox} />`}
    <${Tools} tools=${told.tools} />`;
}

/** One plot, and its table. @param {{ plot: typeof PLOTS[number], told: Wire.UsageTold, window: string }} props */
function Over({ plot, told, window }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const times = useMemo(() => told.buckets.map((bucket) => Date.parse(bucket.at)), [told]);
  const series = useMemo(() => plot.series.map(({ name, tone, of }) => ({ name, tone, values: told.buckets.map(of) })), [told]);
  const shown = told.buckets.map((bucket, place) => ({ bucket, place })).reverse();
  return html`<section class="over" aria-label=${plot.name}>
    <h2>${plot.name}</h2>
    <${Plot} label=${plot.name} times=${times} width=${told.bucket_ms} series=${series} format=${plot.format} onPoint=${setAt} />
    <div class="table" tabindex="0" role="region" aria-label=${`${plot.name}, as a table`}>
      <table>
        <thead><tr><th scope="col">From</th>${series.map(({ name }) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
        <tbody>
          ${shown.map(
            ({ bucket, place }) =>
              html`<tr key=${bucket.at} aria-current=${place === at ? 'true' : undefined}>
                <th scope="row" title=${full(bucket.at)}>${when(times[place], window)}</th>
                ${series.map(({ name, values }) => html`<td key=${name}>${values[place] ? plot.format(values[place]) : '–'}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

const HOUR = new Intl.DateTimeFormat(undefined, { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', month: 'short', day: 'numeric' });

/** @param {number} at @param {string} window */
const when = (at, window) => (window === '30d' ? DAY : HOUR).format(at);

/** @param {{ told: Wire.UsageTold, by: string, window: string }} props */
function Rows({ told, by, window }) {
  return html`<section aria-label=${`By ${by}`}>
    <h2>By ${by}${told.more && html` <span class="count">the dearest ${told.rows.length}</span>`}</h2>
    <div class="table wide" tabindex="0" role="region" aria-label=${`By ${by}, as a table`}>
      <table>
        <thead><tr><th scope="col">${by}</th>${['Cost', 'Sent', 'From cache', 'Made', 'Turns', 'Calls', 'Call p50', 'Call p95', 'Errors'].map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
        <tbody>
          ${told.rows.map(
            (row) =>
              html`<tr key=${row.key}>
                <th scope="row"><${Key} row=${row} by=${by} window=${window} /></th>
                <td>${money(row.cost_usd)}</td><td>${short(sent(row))}</td><td>${short(row.cache_read_input_tokens)}</td><td>${short(row.output_tokens)}</td>
                <td>${whole(row.turns)}</td><td>${whole(row.tool_calls)}</td><td>${took(row.tool_p50_ms)}</td><td>${took(row.tool_p95_ms)}</td>
                <td class=${row.errors > 0 ? 'errors' : ''}>${whole(row.errors)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
const Empty = ({ inbox }) => html`<section class="empty hints">
  <p role="status">Nothing was used in this time. What agents say of their tokens and cost is summed here, as they say it:</p>
  <${Command} text=${RUN} inbox=${inbox} scopes=${['publish']} />
</section>`;

/** @param {number | undefined} ms */
const took = (ms) => (ms === undefined ? '–' : duration(ms));

/** What a row is of, and the way further in. @param {{ row: Wire.UsageTold['rows'][number], by: string, window: string }} props */
function Key({ row, by, window }) {
  const name = oneLine(row.title ?? '') || oneLine(row.key) || 'unknown';
  if (by === 'session') return html`<a href=${sessionHash(row.key)}><bdi>${name}</bdi></a>`;
  if (by === 'model' || !row.key) return html`<bdi>${name}</bdi>`;
  return html`<a href=${hashOf({ view: 'usage', query: { window, by: 'session', agent: row.key } })}><bdi>${name}</bdi></a>`;
}

/** How long calls took: half of them, and all but one in twenty, on one scale. @param {{ tools: Wire.UsageTold['tools'] }} props */
function Tools({ tools }) {
  if (tools.length === 0) return null;
  const most = Math.log1p(Math.max(1, ...tools.map(({ p95_ms }) => p95_ms ?? 0)));
  const part = (/** @type {number | undefined} */ ms) => (100 * Math.log1p(ms ?? 0)) / most;
  return html`<section aria-label="Tools">
    <h2>Tools <span class="count">bars on a logarithmic scale: to p50, and to p95</span></h2>
    <div class="table wide" tabindex="0" role="region" aria-label="Tools, as a table">
      <table>
        <thead><tr><th scope="col">Tool</th><th scope="col">Calls</th><th scope="col">Failed</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col" class="bars"><span class="unseen">Latency</span></th></tr></thead>
        <tbody>
          ${tools.map(
            ({ tool, calls, failures, p50_ms, p95_ms }) =>
              html`<tr key=${tool}>
                <th scope="row"><bdi>${oneLine(tool) || 'unknown'}</bdi></th>
                <td>${whole(calls)}</td><td class=${failures > 0 ? 'errors' : ''}>${whole(failures)}</td><td>${took(p50_ms)}</td><td>${took(p95_ms)}</td>
                <td class="bars">${p95_ms !== undefined && html`<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=${`${count(calls, 'call')}: p50 ${took(p50_ms)}, p95 ${took(p95_ms)}`}><rect class="p95" width=${part(p95_ms)} height="8" /><rect class="p50" width=${part(p50_ms)} height="8" /></svg>`}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}
