// The fleet: every agent and session at a glance, first those that need a person.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { money, oneLine } from '../format.js';
import { html } from '../html.js';
import { LiveSessions } from '../live.js';
import { filter, hashOf } from '../route.js';
import { useRowKeys } from '../row-keys.js';
import { RANKS } from '../summary.js';
import { title } from '../title.js';
import { Command, RUN } from './command.js';
import { Failure } from './failure.js';
import { FleetRow } from './fleet-row.js';
import { Top } from './frame.js';

/** The session that was looked at last: the list comes back with it in focus. */
let lastOpened = '';

/** @type {Record<typeof RANKS[number], string>} */
const NAMES = { needs: 'Needs you', wrong: 'Went wrong', working: 'At work', quiet: 'Quiet' };

/** @param {import('../views.js').ViewProps & { notice: string }} props */
export function FleetPage({ session, query, notice }) {
  const live = useMemo(() => new LiveSessions(), []);
  useEffect(() => {
    title.value = 'Turnwire';
    live.open();
    return () => live.close();
  }, []);
  return html`<${Top} live=${live} session=${session} />
    <main class="scroll sessions fleet" tabindex="-1" aria-busy=${!live.ready.value}>
      <h1 class="unseen">Fleet</h1>
      ${notice && html`<p class="notice" role="alert">${notice}</p>`}
      ${live.failure.value
        ? html`<${Failure} error=${live.failure.value} />`
        : live.ready.value
          ? html`<${List} live=${live} query=${query} inbox=${session.inbox} />`
          : html`<${Waiting} />`}
    </main>`;
}

/** Stands in for the list while it is loaded; shown by the style sheet when that takes longer than a moment. */
function Waiting() {
  return html`<ol class="waiting" aria-label="Loading">${[1, 2, 3, 4].map((row) => html`<li key=${row}></li>`)}</ol>`;
}

/** @typedef {import('../summary.js').Summary} Summary */

/** @param {{ live: LiveSessions, query: URLSearchParams, inbox: import('../inbox.js').Inbox }} props */
function List({ live, query, inbox }) {
  const agents = [...inbox.agents.value.values()];
  const { q = '', state = '', agent = '', model = '' } = Object.fromEntries(query);
  const ranked = live.ranked.value;
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list);
  useKeptFocus(list);
  const all = RANKS.flatMap((rank) => ranked[rank]);
  if (all.length === 0 && agents.length === 0) return html`<${Empty} inbox=${inbox} />`;
  const shown = RANKS.map((rank) => ({ rank, summaries: ranked[rank].filter(chosen(q, agent, model)) }));
  const groups = shown.filter(({ rank, summaries }) => summaries.length > 0 && (!state || rank === state));
  const isAlone = !state && shown.every(({ rank, summaries }) => rank === 'quiet' || summaries.length === 0);
  return html`<div ref=${list}>
    <${Agents} agents=${agents} chosen=${agent} query=${query} />
    <${Filters} q=${q} state=${state} agent=${agent} model=${model} shown=${shown} all=${all} />
    ${groups.map(({ rank, summaries }) => html`<${Group} key=${rank} name=${isAlone ? 'Sessions' : NAMES[rank]} summaries=${summaries} asked=${rank === 'needs' ? inbox.approvals.value : []} />`)}
    ${all.length > 0 && groups.length === 0 && html`<p class="told" role="status">No session is like that. <a href="#/">All sessions</a></p>`}
    ${all.length === 0 && html`<${Empty} inbox=${inbox} />`}
    ${live.more.value !== null &&
    html`<button class="more" disabled=${live.loadingMore.value} onClick=${() => live.loadMore()}>Older sessions</button>`}
  </div>`;
}

/** @param {string} q @param {string} agent @param {string} model @returns {(summary: Summary) => boolean} */
function chosen(q, agent, model) {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  return ({ session }) => {
    const s = session.peek();
    if ((agent && s.agent !== agent) || (model && s.model !== model)) return false;
    const text = words.length > 0 ? [s.title, s.id, s.agent, s.source, s.model, s.last_text].join('\n').toLowerCase() : '';
    return words.every((word) => text.includes(word));
  };
}

/** Who is there, each a filter beside the others. @param {{ agents: Wire.Agent[], chosen: string, query: URLSearchParams }} props */
function Agents({ agents, chosen, query }) {
  if (agents.length === 0) return null;
  const sorted = [...agents].sort((a, b) => Number(b.online) - Number(a.online) || (a.name < b.name ? -1 : 1));
  return html`<ul class="crew" aria-label="Agents">
    ${sorted.map(({ name, online, state, login }) => {
      const word = !online ? 'offline' : login && login !== 'ok' ? 'needs login' : oneLine(state ?? 'online').replaceAll('_', ' ');
      return html`<li key=${name}>
        <a href=${hashOf({ query: { ...Object.fromEntries(query), agent: name === chosen ? '' : name } })} aria-current=${name === chosen ? 'true' : undefined} data-online=${online}>
          <span class="state ${online ? 'good' : ''}"><i class="dot" aria-hidden="true"></i></span><bdi>${oneLine(name)}</bdi> <small>${word}</small>
        </a>
      </li>`;
    })}
  </ul>`;
}

/**
 * @param {{ q: string, state: string, agent: string, model: string, shown: { rank: typeof RANKS[number], summaries: Summary[] }[], all: Summary[] }} props
 */
function Filters({ q, state, agent, model, shown, all }) {
  const distinct = (/** @type {'agent' | 'model'} */ what) => [...new Set(all.map(({ session }) => session.peek()[what] ?? ''))].filter(Boolean).sort();
  return html`<div class="bar" role="group" aria-label="Filters">
    <input type="search" data-filter aria-label="Filter sessions" placeholder="Filter" autocomplete="off" value=${q}
      onInput=${(/** @type {InputEvent} */ event) => filter({ q: valueOf(event) })}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => /^(Escape|Enter)$/.test(event.key) && /** @type {HTMLElement} */ (event.currentTarget).blur()} />
    ${shown.map(
      ({ rank, summaries }) =>
        html`<button key=${rank} class="quiet ${summaries.length > 0 ? rank : ''}" aria-pressed=${state === rank} onClick=${() => filter({ state: state === rank ? '' : rank })}>
          ${NAMES[rank]} <span class="count">${summaries.length}</span>
        </button>`,
    )}
    <${Select} name="agent" value=${agent} values=${distinct('agent')} />
    <${Select} name="model" value=${model} values=${distinct('model')} />
    <${Today} all=${all} />
  </div>`;
}

/** @param {Event} event */
const valueOf = (event) => /** @type {HTMLInputElement | HTMLSelectElement} */ (event.currentTarget).value;

/** @param {{ name: 'agent' | 'model', value: string, values: string[] }} props */
function Select({ name, value, values }) {
  if (values.length < 2 && !value) return null;
  const all = value && !values.includes(value) ? [...values, value] : values;
  return html`<select aria-label=${name} value=${value} onChange=${(/** @type {Event} */ event) => filter({ [name]: valueOf(event) })}>
    <option value="">every ${name}</option>
    ${all.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${oneLine(one)}</option>`)}
  </select>`;
}

/** What all of it has cost today. @param {{ all: Summary[] }} props */
function Today({ all }) {
  const cost = all.reduce((sum, { session }) => sum + (session.value.cost_today_usd ?? 0), 0);
  return cost > 0 ? html`<a class="today" href="#/usage">${money(cost)} today</a>` : null;
}

/** @param {{ name: string, summaries: Summary[], asked: import('../approval.js').Approval[] }} props */
function Group({ name, summaries, asked }) {
  return html`<section aria-label=${name}>
    <h2>${name} <span class="count">${summaries.length}</span></h2>
    <ol class="rows">
      ${summaries.map((summary) => html`<${FleetRow} key=${summary.id} summary=${summary} asked=${asked.find(({ session }) => session === summary.id)} onOpen=${opened} />`)}
    </ol>
  </section>`;
}

/** @param {MouseEvent} event */
function opened(event) {
  lastOpened = /** @type {HTMLElement} */ (event.currentTarget).dataset.session ?? '';
}

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
function Empty({ inbox }) {
  return html`<section class="empty">
    <h2>No sessions yet</h2>
    <p>Record a run of an agent. In the folder it should work in:</p>
    <${Command} text=${RUN} inbox=${inbox} scopes=${['publish']} />
    <p>Or look at recorded ones first:</p>
    <${Command} text="turnwire demo" />
    <p>They appear here as they begin.</p>
  </section>`;
}

/** @param {{ current: HTMLElement | null }} list */
const links = (list) => [.../** @type {NodeListOf<HTMLAnchorElement>} */ (list.current?.querySelectorAll('a.row') ?? [])];

/** Moving a row takes the focus from it: it is given back. @param {{ current: HTMLElement | null }} list */
function useKeptFocus(list) {
  const focused = useRef('');
  useLayoutEffect(() => {
    const before = focused.current || lastOpened;
    lastOpened = '';
    if (before && document.activeElement === document.body) links(list).find((link) => link.dataset.session === before)?.focus();
  });
  useEffect(() => {
    /** @param {FocusEvent} event */
    const onFocus = (event) => {
      if (event.target instanceof HTMLElement) focused.current = event.target.dataset.session ?? '';
    };
    addEventListener('focusin', onFocus);
    return () => removeEventListener('focusin', onFocus);
  }, []);
}
