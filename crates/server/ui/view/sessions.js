// The list of sessions: those at work first, each with its state, last words, tokens and cost.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { ago, count, full, money, now, oneLine, short, whole } from '../format.js';
import { html } from '../html.js';
import { LiveSessions } from '../live.js';
import { usageOf } from '../loose.js';
import { useRowKeys } from '../rows.js';
import { title } from '../title.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { State } from './state.js';

/** The session that was looked at last: the list comes back with it in focus. */
let lastOpened = '';

/** @param {{ session: import('./frame.js').Session, notice: string }} props */
export function SessionsPage({ session, notice }) {
  const live = useMemo(() => new LiveSessions(), []);
  useEffect(() => {
    title.value = 'Turnwire';
    live.open();
    return () => live.close();
  }, []);
  return html`<${Top} live=${live} session=${session} />
    <main class="scroll sessions" aria-busy=${!live.ready.value}>
      <h1 class="unseen">Sessions</h1>
      ${notice && html`<p class="notice" role="alert">${notice}</p>`}
      ${live.failure.value ? html`<${Failure} error=${live.failure.value} />` : live.ready.value ? html`<${List} live=${live} />` : html`<${Waiting} />`}
    </main>`;
}

/** Stands in for the list while it is loaded; shown by the style sheet when that takes longer than a moment. */
function Waiting() {
  return html`<ol class="waiting" aria-label="Loading">${[1, 2, 3, 4].map((row) => html`<li key=${row}></li>`)}</ol>`;
}

/** @param {{ live: LiveSessions }} props */
function List({ live }) {
  const [working, quiet] = [live.working.value, live.quiet.value];
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list);
  useKeptFocus(list);
  if (working.length + quiet.length === 0) return html`<${Empty} />`;
  return html`<div ref=${list}>
    ${working.length > 0 && html`<${Group} name="At work" summaries=${working} />`}
    ${quiet.length > 0 && html`<${Group} name=${working.length > 0 ? 'Quiet' : 'Sessions'} summaries=${quiet} />`}
    ${live.more.value !== null &&
    html`<button class="more" disabled=${live.loadingMore.value} onClick=${() => live.loadMore()}>Older sessions</button>`}
  </div>`;
}

/** @param {{ name: string, summaries: import('../summary.js').Summary[] }} props */
function Group({ name, summaries }) {
  return html`<section aria-label=${name}>
    <h2>${name} <span class="count">${summaries.length}</span></h2>
    <ol class="rows">
      ${summaries.map((summary) => html`<${Row} key=${summary.id} summary=${summary} />`)}
    </ol>
  </section>`;
}

/** @param {{ summary: import('../summary.js').Summary }} props */
function Row({ summary }) {
  const s = summary.session.value;
  const name = oneLine(s.title ?? '') || s.id;
  const last = oneLine(s.last_text ?? '');
  return html`<li>
    <a class="row" href=${`#/session/${encodeURIComponent(s.id)}`} data-session=${s.id} onClick=${() => (lastOpened = s.id)}>
      <${State} state=${s.state} tool=${summary.tool.value} />
      <span class="what">
        <bdi class="title">${name}</bdi>
        <bdi class="last">${last === name ? '' : last}</bdi>
      </span>
      <span class="who"><bdi>${s.agent ?? s.source ?? ''}</bdi><bdi class="model">${s.model ?? ''}</bdi></span>
      <${Tokens} usage=${s.usage} />
      <span class="cost">${!!s.cost_usd && html`<span class="unseen">cost </span>${money(s.cost_usd)}`}</span>
      <time class="ago" datetime=${s.last_activity} title=${full(s.last_activity)}>
        <span class="unseen">last activity </span>${ago(s.last_activity, now.value)}
      </time>
      ${s.errors > 0 && html`<span class="errors">${count(s.errors, 'error')}</span>`}
    </a>
  </li>`;
}

/** @param {{ usage: Wire.Usage | undefined }} props */
function Tokens({ usage }) {
  const tokens = usageOf(usage);
  const sent = tokens ? tokens.input + tokens.read + tokens.written : 0;
  if (!tokens || sent + tokens.output === 0) return html`<span class="tokens"></span>`;
  const said = `${whole(tokens.input)} sent, ${whole(tokens.read)} from cache, ${whole(tokens.written)} to cache, ${whole(tokens.output)} made`;
  return html`<span class="tokens" title=${`Tokens: ${said}`}>
    <span class="unseen">tokens in </span>${short(sent)}<span class="arrow" aria-hidden="true"> → </span><span class="unseen"> out </span>${short(tokens.output)}
  </span>`;
}

function Empty() {
  return html`<section class="empty">
    <h2>No sessions yet</h2>
    <p>Record a run of an agent. In the folder it should work in:</p>
    <pre><code>turnwire run -- claude -p "Say hello" --output-format stream-json --verbose</code></pre>
    <p>Or look at recorded ones first:</p>
    <pre><code>turnwire demo</code></pre>
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
