// What of a session is shown: its kinds and tools, the words that are searched for, and events as they are.

import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { count, oneLine } from '../format.js';
import { html } from '../html.js';
import { GROUPS, look, wholeTypes } from '../look.js';

/** Finds that are asked for at once. */
const FINDS = 100;
/** Milliseconds after the last key before it is searched. */
const REST = 250;

/** @param {{ id: string, looking: import('../look.js').Looking, live: import('../live.js').LiveSession }} props */
export function Filters({ id, looking, live }) {
  const to = (/** @type {Partial<import('../look.js').Looking>} */ change) => look(id, { ...looking, ...change });
  const toggle = (/** @type {string} */ kind) => {
    const kinds = looking.kinds.includes(kind) ? looking.kinds.filter((other) => other !== kind) : [...looking.kinds, kind];
    to({ kinds, tool: '', at: 0 });
  };
  return html`<section class="filters" aria-label="What is shown">
    <${Search} id=${id} looking=${looking} to=${to} />
    <div class="kinds">
      ${Object.entries(GROUPS).map(
        ([kind, { name }]) => html`<button key=${kind} class="quiet" aria-pressed=${looking.kinds.includes(kind)} onClick=${() => toggle(kind)}>${name}</button>`,
      )}
      <${Tools} live=${live} looking=${looking} to=${to} />
      <button class="quiet" aria-pressed=${looking.raw} title="Events as they came" onClick=${() => to({ raw: !looking.raw })}>Raw</button>
    </div>
  </section>`;
}

/** Tools that were seen here. @param {{ live: import('../live.js').LiveSession, looking: import('../look.js').Looking, to: (change: object) => void }} props */
function Tools({ live, looking, to }) {
  const seen = useRef(/** @type {Set<string>} */ (new Set()));
  live.timeline.changed.value;
  for (const item of live.timeline.items) if (item.kind === 'tool' && item.tool) seen.current.add(item.tool.slice(0, 80));
  if (looking.tool) seen.current.add(looking.tool);
  return html`<select aria-label="Tool" value=${looking.tool} onChange=${(/** @type {any} */ event) => to({ tool: event.target.value, kinds: [], at: 0 })}>
    <option value="">Any tool</option>
    ${[...seen.current].sort().map((tool) => html`<option key=${tool} value=${tool}>${oneLine(tool)}</option>`)}
  </select>`;
}

/** Words in all of the session, found by the server. @param {{ id: string, looking: import('../look.js').Looking, to: (change: object) => void }} props */
function Search({ id, looking, to }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const { finds, more, told } = useFinds(id, looking);
  const here = finds.indexOf(looking.at);
  /** From the newest to the oldest. */
  const step = (/** @type {number} */ by) => {
    if (finds.length === 0) return;
    const from = here < 0 ? (by < 0 ? finds.length : -1) : here;
    to({ at: finds[(from + by + finds.length) % finds.length] });
  };
  const onInput = (/** @type {any} */ event) => {
    clearTimeout(timer.current);
    const q = event.target.value;
    timer.current = setTimeout(() => to({ q, at: 0 }), REST);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter') step(event.shiftKey ? 1 : -1);
    else if (event.key === 'Escape') {
      if (looking.q) to({ q: '', at: 0 });
      field.current?.blur();
      document.querySelector('main')?.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const place = here < 0 ? count(finds.length, 'find') : `${finds.length - here} of ${finds.length}`;
  return html`<div class="search" role="search">
    <input ref=${field} data-filter type="search" placeholder="Search (/)" aria-label="Search in this session" value=${looking.q} onInput=${onInput} onKeyDown=${onKeyDown} />
    <span role="status">${looking.q && (told || `${place}${more ? '+' : ''}`)}</span>
    ${finds.length > 0 &&
    html`<button class="quiet" aria-label="Older find" onClick=${() => step(-1)}>↑</button><button class="quiet" aria-label="Newer find" onClick=${() => step(1)}>↓</button>`}
  </div>`;
}

/** Places of events that have the words, oldest first. @param {string} id @param {import('../look.js').Looking} looking */
function useFinds(id, looking) {
  const [found, set] = useState(/** @type {{ finds: number[], more: boolean, told: string }} */ ({ finds: [], more: false, told: '' }));
  const type = wholeTypes(looking);
  useEffect(() => {
    if (!looking.q.trim()) return set({ finds: [], more: false, told: '' });
    const ended = new AbortController();
    set((before) => ({ ...before, told: '…' }));
    api
      .history({ session_id: id, q: looking.q, type, before: Number.MAX_SAFE_INTEGER, limit: FINDS }, ended.signal)
      .then((page) => set({ finds: page.events.map(({ seq }) => seq), more: typeof page.prev === 'number', told: '' }))
      .catch((error) => {
        if (ended.signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        set({ finds: [], more: false, told: error.status === 400 ? 'no word to look for' : `not searched: ${error.message}` });
      });
    return () => ended.abort();
  }, [id, looking.q, type]);
  return found;
}
