// One session: its events live, following the end like a terminal until the reader scrolls up.

import { useEffect, useMemo } from 'preact/hooks';
import { ago, count, full, money, nameOf, now, oneLine, whole } from '../format.js';
import { html } from '../html.js';
import { LiveSession } from '../live.js';
import { isShortcut, press } from '../keys.js';
import { usageOf } from '../loose.js';
import { lookingOf, typesOf } from '../look.js';
import { title } from '../title.js';
import { Around } from './around.js';
import { Composer } from './composer.js';
import { Failure } from './failure.js';
import { Filters } from './filters.js';
import { Top } from './frame.js';
import { Rows, usePlace } from './rows.js';
import { State } from './state.js';
import { sessionHash, Switch } from './switch.js';

/** @param {{ id: string, query: URLSearchParams, session: import('./frame.js').Session }} props */
export function SessionPage({ id, query, session }) {
  const looking = lookingOf(query);
  const { at, raw, kinds } = looking;
  const live = useMemo(() => new LiveSession(id, { at, raw, types: typesOf(looking) }), [id, raw, kinds.join()]);
  useEffect(() => {
    if (live.target.peek() !== at) live.goTo(at);
  }, [live, at]);
  useEffect(() => {
    live.open();
    return () => live.close();
  }, [live]);
  const { inbox } = session;
  // A window that does not reach the end may lack the decision of what it shows as pending.
  const isAsked = (/** @type {string} */ approval) => !live.detached.value || inbox.pending.value.has(approval);
  return html`<${Around.Provider} value=${{ inbox, live, isAsked }}>
    <${Top} live=${live} session=${session}><${Title} live=${live} /><//>
    <${Switch} live=${live} session=${session} view="conversation" at=${at} />
    ${live.failure.value
      ? html`<main class="scroll"><${Failure} error=${live.failure.value} /></main>`
      : html`<${Facts} live=${live} /><${Filters} id=${id} looking=${looking} live=${live} /><${Timeline} live=${live} looking=${looking} /><${Composer} live=${live} />`}
  <//>`;
}

/** @param {{ live: LiveSession }} props */
export function Title({ live }) {
  const session = live.summary.value?.session.value;
  const name = nameOf(session?.title, live.id);
  useEffect(() => {
    title.value = `${name} · Turnwire`;
  }, [name]);
  return html`<h1><bdi>${name}</bdi></h1>`;
}

/** What is known of the session as a whole. @param {{ live: LiveSession }} props */
export function Facts({ live }) {
  const summary = live.summary.value;
  if (!summary) return html`<div class="facts"></div>`;
  const s = summary.session.value;
  const usage = usageOf(s.usage);
  const tokens = usage && `${whole(usage.input + usage.read + usage.written)} in · ${whole(usage.output)} out`;
  return html`<section class="facts" aria-label="Session">
    <${State} state=${s.state} tool=${summary.tool.value} />
    <bdi>${[s.agent ?? s.source, s.model].filter(Boolean).map((word) => oneLine(word ?? '')).join(' · ')}</bdi>
    <span>${count(s.turns, 'turn')}</span>
    <span>${count(s.tool_calls, 'tool call')}</span>
    ${s.errors > 0 && html`<span class="errors">${count(s.errors, 'error')}</span>`}
    ${usage && usage.output > 0 && html`<span class="tokens" title="Tokens sent (with those from caches) and made">${tokens}</span>`}
    ${!!s.cost_usd && html`<span class="cost">${money(s.cost_usd)}</span>`}
    <time datetime=${s.last_activity} title=${full(s.last_activity)}>${since(s.last_activity)}</time>
  </section>`;
}

/** @param {string} at */
function since(at) {
  const word = ago(at, now.value);
  return /^\d/.test(word) ? `${word} ago` : word;
}

/** @param {{ live: LiveSession, looking: import('../look.js').Looking }} props */
export function Timeline({ live, looking }) {
  const { tool } = looking;
  const filter = useMemo(() => (tool ? (/** @type {import('../store.js').Item} */ item) => isOf(item, tool) : null), [tool]);
  const follow = usePlace(live);
  const { scroller } = follow;
  useKeys(follow, live.id);
  return html`<div class="stage">
    <main class="scroll session" ref=${scroller} onScroll=${follow.onScroll} tabindex="-1" aria-busy=${!live.ready.value}>
      <${Rows} live=${live} follow=${follow} filter=${filter} isPart=${looking.kinds.length > 0} words=${looking.q} />
    </main>
    ${!follow.atEnd.value &&
    html`<button class="to-end" onClick=${follow.toEnd}>
      <span aria-hidden="true">↓ </span>${live.unseen.value > 0 ? `${whole(live.unseen.value)} new` : 'Latest'}
    </button>`}
  </div>`;
}

/** Whether it is a call of a tool, or an event of one. @param {import('../store.js').Item} item @param {string} tool */
const isOf = (item, tool) => (item.kind === 'tool' ? item.tool : item.kind === 'raw' ? item.events[0]?.data?.tool : '') === tool;

/** `j` and `k` go from row to row, Enter unfolds one, `p` replays from it, `G` goes to the end. @param {ReturnType<typeof usePlace>} follow @param {string} id */
function useKeys({ place, toEnd }, id) {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      if (!isShortcut(event)) return;
      const step = { j: 1, k: -1 }[event.key];
      if (step) move(place, step);
      else if (event.key === 'm' && composer()) composer()?.focus();
      else if (event.key === 'p') replay(id);
      else if (event.key === 'G' || event.key === 'End') toEnd();
      else if (event.key === 'Enter' && event.target instanceof Element && event.target.matches('.item')) unfold(event.target);
      else if (!press(document.activeElement?.closest('.item'), event.key)) return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [place]);
}

/** From the row that has the focus. @param {string} id */
function replay(id) {
  const row = /** @type {HTMLElement | null | undefined} */ (document.activeElement?.closest('.item'));
  const seq = row?.dataset.seqs?.split(' ')[0];
  if (seq) location.hash = sessionHash(id, `?play=${seq}`);
}

/** @returns {HTMLElement | null} */
const composer = () => document.querySelector('.composer textarea');

/** @param {ReturnType<typeof usePlace>['place']} place @param {number} step */
function move(place, step) {
  const current = document.activeElement?.closest('.item');
  const beside = step > 0 ? current?.nextElementSibling : current?.previousElementSibling;
  // From a row that is out of view, or from none: to what is in view.
  const { extent, anchor } = place;
  const start = step > 0 ? anchor.key : (extent.items.at(-1)?.key ?? '');
  const next = beside?.matches('.item') ? beside : current && !beside ? null : (place.row(start) ?? place.row(extent.items[place.from]?.key ?? ''));
  if (!(next instanceof HTMLElement)) return;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}

/** @param {Element} row */
function unfold(row) {
  const button = row.querySelector('.show-all, .fold > summary, .raw > summary');
  if (button instanceof HTMLElement) button.click();
}
