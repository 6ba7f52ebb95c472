// A session's turns and tool calls as bars on a time axis, and the same as a list. A bar leads to its moment in the conversation.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { Axis } from '../axis.js';
import { clock, count, duration, full, now, oneLine } from '../format.js';
import { html } from '../html.js';
import { isShortcut } from '../keys.js';
import { place } from '../lanes.js';
import { LiveSpans } from '../live-spans.js';
import { Around } from './around.js';
import { heightOf } from './chart.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { Facts, Title } from './session.js';
import { sessionHash, Switch } from './switch.js';
import { useChart } from './use-chart.js';

/** @typedef {import('../lanes.js').Placed} Placed */

/** How much one step of a key or button changes: of the zoom, and of what is looked at. */
const [ZOOM, PAN] = [1.6, 0.15];
/** How long after the last move the address says it. */
const TOLD_MS = 300;
/** Bars that are listed at once. */
const LISTED = 200;

/** @param {{ id: string, query: URLSearchParams, session: import('./frame.js').Session }} props */
export function TimelinePage({ id, query, session }) {
  const live = useMemo(() => new LiveSpans(id), [id]);
  useEffect(() => {
    live.open();
    return () => live.close();
  }, [live]);
  const around = useMemo(() => ({ inbox: session.inbox, live, isAsked: () => false }), [session.inbox, live]);
  return html`<${Around.Provider} value=${around}>
    <${Top} live=${live} session=${session}><${Title} live=${live} /><//>
    <${Switch} live=${live} session=${session} view="timeline" />
    ${live.failure.value
      ? html`<main class="scroll"><${Failure} error=${live.failure.value} /></main>`
      : html`<${Facts} live=${live} /><${Bars} live=${live} query=${query} />`}
  <//>`;
}

/** @param {{ live: LiveSpans, query: URLSearchParams }} props */
function Bars({ live, query }) {
  const axis = useMemo(() => new Axis(), [live]);
  const turned = useSignal(0);
  const chosen = useSignal(/** @type {number | null} */ (null));
  const changed = live.changed.value;
  const { placed, lanes } = useMemo(() => place(live.spans.list()), [changed]);
  const present = live.spans.isRunning ? now.value : 0;
  const from = placed[0]?.from ?? 0;
  const newest = useMemo(() => placed.reduce((to, span) => Math.max(to, Number.isFinite(span.to) ? span.to : span.from), from), [placed]);
  if (placed.length > 0) axis.setAll(from, Math.max(newest, present));
  // As the address says, until the reader looks elsewhere: older bars may come yet.
  if (turned.value === 0) axis.look(Number(query.get('from')), Number(query.get('to')));
  useAddress(live.id, axis, turned.value);
  const act = useActions({ live, axis, placed, turned, chosen });
  const chart = useChart({ axis, placed, present: Math.max(newest, present), chosen, turned, open: act.open });
  useTimelineKeys(act);
  const isEmpty = live.ready.value && placed.length === 0;
  return html`<main class="spans" aria-busy=${!live.ready.value}>
    <div class="tools" role="group" aria-label="What is looked at">
      <button class="quiet" title="Zoom in (+)" aria-label="Zoom in" onClick=${() => act.zoom(ZOOM)}>+</button>
      <button class="quiet" title="Zoom out (-)" aria-label="Zoom out" onClick=${() => act.zoom(1 / ZOOM)}>−</button>
      <button class="quiet" title="Everything (0)" aria-pressed=${axis.isWhole} onClick=${act.fit}>Fit</button>
      <${Told} live=${live} placed=${placed} />
    </div>
    <div class="chart" ref=${chart.box} onScroll=${chart.onScroll} tabindex="0" role="group" aria-label="Chart">
      <div class="lanes" style=${{ height: `${heightOf(lanes)}px` }}>
        <canvas ref=${chart.canvas} role="img" aria-label="The bars of the list below, on a time axis" ...${chart.handlers}></canvas>
      </div>
      <div class="paints" aria-hidden="true" ref=${chart.paints}>
        ${chart.NAMES.map((name) => html`<i key=${name} class=${`paint-${name}`}></i>`)}
      </div>
    </div>
    ${isEmpty ? html`<${Nothing} id=${live.id} />` : html`<${List} live=${live} range=${axis.range} placed=${placed} present=${present} chosen=${chosen} />`}
  </main>`;
}

/** Keeps the address at the part that is looked at. @param {string} id @param {Axis} axis @param {number} turned counts the reader's moves */
function useAddress(id, axis, turned) {
  useEffect(() => {
    if (turned === 0) return;
    // Browsers bound how often it may change.
    const timer = setTimeout(() => {
      const { from, to } = axis.range;
      const part = axis.isWhole ? '' : `&from=${Math.round(from)}&to=${Math.round(to)}`;
      history.replaceState(null, '', sessionHash(id, `?view=timeline${part}`));
    }, TOLD_MS);
    return () => clearTimeout(timer);
  }, [turned]);
}

/** @param {{ id: string }} props */
const Nothing = ({ id }) => html`<section class="empty">
  <h2>No turns or tool calls yet</h2>
  <p>They are drawn here as they come. <a href=${sessionHash(id)}>The conversation</a> has everything else.</p>
</section>`;

/** @param {{ live: LiveSpans, placed: Placed[] }} props */
function Told({ live, placed }) {
  const turns = placed.filter(({ kind }) => kind === 'turn').length;
  const failed = placed.filter(({ outcome }) => outcome === 'failed').length;
  const parts = [count(turns, 'turn'), count(placed.length - turns, 'tool call'), failed > 0 && `${failed} failed`];
  return html`<p class="sum">
    ${parts.filter(Boolean).join(' · ')}${live.older.value && ' · reading older ones…'}${live.cut.value && ' · older ones are not shown'}
  </p>`;
}

/** What keys, buttons and bars do. @param {{ live: LiveSpans, axis: Axis, placed: Placed[], turned: { value: number }, chosen: { value: number | null } }} of */
function useActions({ live, axis, placed, turned, chosen }) {
  const own = useRef({ placed });
  own.current = { placed };
  return useMemo(() => {
    const again = () => (turned.value += 1);
    const choose = (/** @type {number} */ step) => {
      const all = own.current.placed;
      const at = all.findIndex(({ seq }) => seq === chosen.value);
      const { from, to } = axis.range;
      const inView = all.findIndex((span) => span.to >= from && span.from <= to);
      const next = all[at < 0 ? Math.max(0, inView) : Math.min(Math.max(0, at + step), all.length - 1)];
      if (!next) return;
      chosen.value = next.seq;
      axis.show(next.from, next.to);
      again();
    };
    return {
      zoom: (/** @type {number} */ factor) => (axis.zoom(factor), again()),
      pan: (/** @type {number} */ share) => (axis.pan((axis.range.to - axis.range.from) * share), again()),
      fit: () => (axis.fit(), again()),
      choose,
      open: (/** @type {number | null} */ seq) => seq !== null && (location.hash = sessionHash(live.id, `?at=${seq}`)),
      replay: (/** @type {number | null} */ seq) => seq !== null && (location.hash = sessionHash(live.id, `?play=${seq}`)),
      chosen: () => chosen.value,
    };
  }, [live]);
}

/** @param {ReturnType<typeof useActions>} act */
function useTimelineKeys(act) {
  useEffect(() => {
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ArrowLeft: () => act.pan(-PAN),
      ArrowRight: () => act.pan(PAN),
      '+': () => act.zoom(ZOOM),
      '=': () => act.zoom(ZOOM),
      '-': () => act.zoom(1 / ZOOM),
      0: act.fit,
      j: () => act.choose(1),
      k: () => act.choose(-1),
      p: () => act.replay(act.chosen()),
    };
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      if (!isShortcut(event)) return;
      const isOnControl = event.target instanceof Element && event.target.matches('a, button, summary');
      if (event.key === 'Enter' && !isOnControl) act.open(act.chosen());
      else if (Object.hasOwn(keys, event.key)) keys[event.key]();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [act]);
}

/** @type {Record<import('../spans.js').Outcome, string>} */
const WORDS = { running: 'running', ok: 'done', failed: 'failed', unfinished: 'not finished' };

/**
 * The bars in view as a list: what the canvas shows, for those who do not see it.
 * @param {{ live: LiveSpans, range: { from: number, to: number }, placed: Placed[], present: number, chosen: { value: number | null } }} props
 */
function List({ live, range: { from, to }, placed, present, chosen }) {
  const inView = placed.filter((span) => span.to >= from && span.from <= to);
  const at = inView.findIndex(({ seq }) => seq === chosen.value);
  const first = Math.max(0, Math.min(at - LISTED / 2, inView.length - LISTED));
  const listed = inView.slice(first, first + LISTED);
  const list = useRef(/** @type {HTMLOListElement | null} */ (null));
  useLayoutEffect(() => {
    list.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen.value]);
  return html`<div class="scroll listed" tabindex="-1">
    <ol ref=${list} aria-label="Turns and tool calls in view">
      ${listed.map((span, place) => html`<${Entry} key=${span.seq} at=${first + place + 1} size=${inView.length} id=${live.id} span=${span} present=${present} isChosen=${span.seq === chosen.value} />`)}
    </ol>
    ${inView.length > listed.length && html`<p class="edge">${listed.length} of ${inView.length} in view: zoom in for the others.</p>`}
  </div>`;
}

/** @param {{ id: string, span: Placed, present: number, isChosen: boolean, at: number, size: number }} props `at` among so many */
function Entry({ id, span, present, isChosen, at: place, size }) {
  const at = new Date(span.from).toISOString();
  const end = Number.isFinite(span.to) ? span.to : Math.max(present, span.from);
  const name = oneLine(span.name) || (span.kind === 'turn' ? 'Turn' : 'tool');
  return html`<li class="span ${span.kind} ${span.outcome}" data-seq=${span.seq} data-lane=${span.lane} data-depth=${Math.min(span.depth, 6)} aria-current=${isChosen ? 'true' : undefined} aria-posinset=${place} aria-setsize=${size}>
    <time datetime=${at} title=${full(at)}>${clock(at)}</time>
    <a href=${sessionHash(id, `?at=${span.seq}`)}>
      <span class="unseen">${span.kind === 'turn' ? 'Turn: ' : span.depth > 1 ? 'A subagent’s call: ' : 'Call: '}</span><bdi class="tool-name">${name}</bdi>
      ${span.about && html` <bdi class="detail">${oneLine(span.about)}</bdi>`}
    </a>
    <span class="outcome">${span.outcome === 'failed' && html`<span aria-hidden="true">✕ </span>`}${span.error && span.outcome === 'failed' ? `failed: ${oneLine(span.error).slice(0, 80)}` : WORDS[span.outcome]}</span>
    <span class="took">${duration(end - span.from)}</span>
    <a class="again" href=${sessionHash(id, `?play=${span.seq}`)} aria-label=${`Replay from ${name}`}>Replay</a>
  </li>`;
}
