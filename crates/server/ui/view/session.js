// One session: its events live, following the end like a terminal until the reader scrolls up.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { ago, count, full, money, now, oneLine, whole } from '../format.js';
import { html } from '../html.js';
import { LiveSession } from '../live.js';
import { isShortcut, press } from '../keys.js';
import { usageOf } from '../loose.js';
import { title } from '../title.js';
import { Around } from './around.js';
import { Composer } from './composer.js';
import { Row } from './event.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { State } from './state.js';
import { Switch } from './switch.js';

/** Pixels from the end that still count as the end: less than a line. */
const AT_END = 24;
/** Pixels from either end of the window at which more is asked for: about a screen. */
const NEAR = 900;

/** @param {{ id: string, session: import('./frame.js').Session }} props */
export function SessionPage({ id, session }) {
  const live = useMemo(() => new LiveSession(id), [id]);
  useEffect(() => {
    live.open();
    return () => live.close();
  }, [live]);
  const { inbox } = session;
  // A window that does not reach the end may lack the decision of what it shows as pending.
  const isAsked = (/** @type {string} */ approval) => !live.detached.value || inbox.pending.value.has(approval);
  return html`<${Around.Provider} value=${{ inbox, live, isAsked }}>
    <${Top} live=${live} session=${session}><${Title} live=${live} /><//>
    <${Switch} id=${id} view="conversation" />
    ${live.failure.value
      ? html`<main class="scroll"><${Failure} error=${live.failure.value} /></main>`
      : html`<${Facts} live=${live} /><${Timeline} live=${live} /><${Composer} live=${live} />`}
  <//>`;
}

/** @param {{ live: LiveSession }} props */
export function Title({ live }) {
  const session = live.summary.value?.session.value;
  const name = oneLine(session?.title ?? '') || live.id;
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
  return html`<div class="facts" aria-label="Session">
    <${State} state=${s.state} tool=${summary.tool.value} />
    <bdi>${[s.agent ?? s.source, s.model].filter(Boolean).join(' · ')}</bdi>
    <span>${count(s.turns, 'turn')}</span>
    <span>${count(s.tool_calls, 'tool call')}</span>
    ${s.errors > 0 && html`<span class="errors">${count(s.errors, 'error')}</span>`}
    ${usage && usage.output > 0 && html`<span class="tokens" title="Tokens sent (with those from caches) and made">${tokens}</span>`}
    ${!!s.cost_usd && html`<span class="cost">${money(s.cost_usd)}</span>`}
    <time datetime=${s.last_activity} title=${full(s.last_activity)}>${since(s.last_activity)}</time>
  </div>`;
}

/** @param {string} at */
function since(at) {
  const word = ago(at, now.value);
  return /^\d/.test(word) ? `${word} ago` : word;
}

/** @param {{ live: LiveSession }} props */
export function Timeline({ live }) {
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const follow = useFollow(live, scroller);
  useKeys(scroller, follow.toEnd);
  return html`<div class="stage">
    <main class="scroll session" ref=${scroller} onScroll=${follow.onScroll} tabindex="-1" aria-busy=${!live.ready.value}>
      <${Rows} live=${live} />
    </main>
    ${!follow.atEnd.value &&
    html`<button class="to-end" onClick=${follow.toEnd}>
      <span aria-hidden="true">↓ </span>${live.unseen.value > 0 ? `${whole(live.unseen.value)} new` : 'Latest'}
    </button>`}
  </div>`;
}

/** @param {{ live: LiveSession }} props */
function Rows({ live }) {
  live.timeline.changed.value;
  const { items } = live.timeline;
  return html`<div class="wire">
    ${live.ready.value && html`<p class="edge">${live.older.value ? 'Earlier events…' : items.length > 0 ? 'The beginning' : 'No events yet'}</p>`}
    <ol aria-label="Events">
      ${items.map((item) => html`<${Row} key=${item.key} item=${item} />`)}
    </ol>
    ${live.detached.value && html`<p class="edge">Later events…</p>`}
  </div>`;
}

/**
 * Keeps the end in view while the reader is there, and else the row that the reader looks at, whatever changes around it. The
 * browser's own anchoring is off: it does nothing at the very top, where older events arrive.
 * @param {LiveSession} live
 * @param {{ current: HTMLElement | null }} scroller
 */
function useFollow(live, scroller) {
  const atEnd = useSignal(true);
  const place = useRef({ top: 0, row: /** @type {Element | null} */ (null), offset: 0 });

  const remember = (/** @type {HTMLElement} */ element) => {
    const row = rowAt(element);
    place.current = { top: element.scrollTop, row, offset: row ? row.getBoundingClientRect().top : 0 };
  };
  const settle = () => {
    const element = scroller.current;
    if (!element) return;
    const { row, offset } = place.current;
    if (live.following) element.scrollTop = element.scrollHeight;
    else if (row?.isConnected) element.scrollTop += row.getBoundingClientRect().top - offset;
    remember(element);
    reach(element);
  };
  const reach = (/** @type {HTMLElement} */ element) => {
    if (!live.ready.value) return;
    const left = element.scrollHeight - element.clientHeight - element.scrollTop;
    if (live.older.value && element.scrollTop < NEAR && !(live.following && element.scrollHeight > element.clientHeight + NEAR)) live.loadOlder();
    else if (live.detached.value && left < NEAR) live.loadNewer();
  };
  const set = (/** @type {boolean} */ following) => {
    live.following = following;
    atEnd.value = following;
    if (following) live.unseen.value = 0;
  };
  const onScroll = () => {
    const element = scroller.current;
    if (!element) return;
    const left = element.scrollHeight - element.clientHeight - element.scrollTop;
    // What grows under the reader also moves the end away: only a move upwards is a wish to stay.
    if (left < AT_END && !live.detached.value) set(true);
    else if (element.scrollTop < place.current.top - 1) set(false);
    remember(element);
    reach(element);
  };
  const toEnd = async () => {
    set(true);
    await live.toEnd();
    settle();
  };
  useLayoutEffect(() => {
    const wire = scroller.current?.firstElementChild;
    if (!wire || !scroller.current) return;
    const observer = new ResizeObserver(settle);
    observer.observe(wire);
    observer.observe(scroller.current);
    // So that the arrow and page keys scroll it at once.
    scroller.current.focus({ preventScroll: true });
    return () => observer.disconnect();
  }, [live]);
  return { atEnd, onScroll, toEnd };
}

/** The first row that is in view, by halving: there may be thousands. @param {HTMLElement} scroller @returns {Element | null} */
function rowAt(scroller) {
  const rows = scroller.querySelector('ol')?.children ?? [];
  const top = scroller.getBoundingClientRect().top;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].getBoundingClientRect().bottom <= top) low = middle + 1;
    else high = middle;
  }
  return rows[low] ?? null;
}

/** `j` and `k` go from row to row, Enter unfolds one, `G` goes to the end. @param {{ current: HTMLElement | null }} scroller @param {() => void} toEnd */
function useKeys(scroller, toEnd) {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      if (!isShortcut(event)) return;
      const step = { j: 1, k: -1 }[event.key];
      if (step) move(scroller.current, step);
      else if (event.key === 'm' && composer()) composer()?.focus();
      else if (event.key === 'G' || event.key === 'End') toEnd();
      else if (event.key === 'Enter' && event.target instanceof Element && event.target.matches('.item')) unfold(event.target);
      else if (!press(document.activeElement?.closest('.item'), event.key)) return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

/** @returns {HTMLElement | null} */
const composer = () => document.querySelector('.composer textarea');

/** @param {HTMLElement | null} scroller @param {number} step */
function move(scroller, step) {
  if (!scroller) return;
  const current = document.activeElement?.closest('.item');
  const rows = scroller.querySelectorAll('.item');
  const start = step > 0 ? rowAt(scroller) : rows[rows.length - 1];
  const next = current ? (step > 0 ? current.nextElementSibling : current.previousElementSibling) : start;
  if (!(next instanceof HTMLElement)) return;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}

/** @param {Element} row */
function unfold(row) {
  const button = row.querySelector('.show-all, .fold > summary, .raw > summary');
  if (button instanceof HTMLElement) button.click();
}
