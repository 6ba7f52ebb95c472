// Search: the words of every event that the reader may see, newest first; each result leads to its moment.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { excerptOf, wordsOf } from '../excerpt.js';
import { ago, count, full, minute, nameOf, now, oneLine } from '../format.js';
import { html } from '../html.js';
import { useLoaded } from '../loaded.js';
import { filter, sessionHash } from '../route.js';
import { useRowKeys } from '../row-keys.js';
import { title } from '../title.js';
import { Top } from './frame.js';

/** Results asked for at once. */
const PAGE = 50;
/** Above every place. */
const END = Number.MAX_SAFE_INTEGER;
/** The shortest time between two looks at what came since, and the longest: not all that is found is told of by the inbox. */
const [LEAST_MS, POLL_MS] = [2000, 8000];

/** How long after the last key it is searched for. */
const REST_MS = 300;

/** What may be searched apart. @type {[string, string][]} */
const KINDS = [
  ['', 'Everything'],
  ['message,turn_start,note', 'Messages'],
  ['reasoning', 'Reasoning'],
  ['tool_call_start,tool_call', 'Tool calls'],
  ['error', 'Errors'],
  ['approval_request,approval_decision', 'Approvals'],
  ['task_start,task_complete,grader_result', 'Runs'],
];

/** @typedef {{ events: Wire.Event[], prev: number | null, busy: boolean, failed: string }} Found */
/** @type {Found} */
const NOTHING = { events: [], prev: null, busy: false, failed: '' };

/** @param {import('../views.js').ViewProps} props */
export function SearchPage({ session, query }) {
  const { q = '', type = '', session: within = '' } = Object.fromEntries(query);
  const [found, setFound] = useState(NOTHING);
  const request = useRef(new AbortController());
  /** What came up to here was looked through; nothing before the first answer. */
  const seen = useRef(0);
  const words = useMemo(() => wordsOf(q), [q]);
  useEffect(() => {
    title.value = q ? `${oneLine(q)} · Search · Turnwire` : 'Search · Turnwire';
  }, [q]);
  const asked = { q, type: type || undefined, session_id: within || undefined };
  /** @param {number} before @param {Wire.Event[]} known */
  const look = async (before, known) => {
    request.current.abort();
    const { signal } = (request.current = new AbortController());
    setFound({ events: known, prev: null, busy: true, failed: '' });
    try {
      const page = await pages({ ...asked, before }, signal);
      if (signal.aborted) return;
      seen.current ||= page.head;
      setFound((now) => ({ events: [...now.events, ...page.events], prev: page.prev, busy: false, failed: '' }));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      setFound({ events: known, prev: null, busy: false, failed: error.message });
    }
  };
  useEffect(() => {
    seen.current = 0;
    if (words.length > 0) look(END, []);
    else setFound({ ...NOTHING, failed: q ? 'A search needs a letter or a digit.' : '' });
    return () => request.current.abort();
  }, [q, type, within]);
  // What comes is found, too.
  const later = async (/** @type {AbortSignal} */ signal) => {
    if (seen.current === 0) return;
    const page = await api.history({ ...asked, after: seen.current, limit: PAGE, deltas: false }, signal);
    if (signal.aborted) return;
    seen.current = page.next ?? page.head;
    if (page.events.length > 0) setFound((before) => ({ ...before, events: [...page.events.reverse(), ...before.events] }));
  };
  useLoaded(later, JSON.stringify(asked), { least: LEAST_MS, beat: session.inbox.beat, poll: POLL_MS });
  return html`<${Top} live=${session.inbox} session=${session}><h1>Search</h1><//>
    <main class="scroll sessions search" tabindex="-1" aria-busy=${found.busy}>
      <div>
        <${Form} q=${q} type=${type} within=${within} titleOf=${(/** @type {string} */ id) => session.inbox.titleOf(id)} />
        ${found.failed && html`<p class="notice" role="alert">${found.failed}</p>`}
        <${Results} found=${found} words=${words} q=${q} titleOf=${(/** @type {string} */ id) => session.inbox.titleOf(id)} />
        ${found.prev !== null && html`<button class="more" disabled=${found.busy} onClick=${() => look(/** @type {number} */ (found.prev), found.events)}>Older results</button>`}
        ${!q && html`<${Hints} />`}
      </div>
    </main>`;
}

/**
 * A page, the newest first. One may be empty where the server looked far for nothing: it says where to go on.
 * @param {Parameters<typeof api.history>[0]} query @param {AbortSignal} signal
 */
async function pages(query, signal) {
  for (let [before, head] = [query.before, 0]; ; ) {
    const page = await api.history({ ...query, before, limit: PAGE, deltas: false }, signal);
    const prev = page.prev ?? null;
    head ||= page.head;
    if (page.events.length > 0 || prev === null) return { events: page.events.reverse(), prev, head };
    before = prev;
  }
}

/** @param {{ q: string, type: string, within: string, titleOf: (id: string) => string }} props */
function Form({ q, type, within, titleOf }) {
  const [text, setText] = useState(q);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const resting = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const search = (/** @type {string} */ words) => {
    clearTimeout(resting.current);
    filter({ q: words.trim() });
  };
  const typed = (/** @type {InputEvent} */ event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.currentTarget);
    setText(value);
    clearTimeout(resting.current);
    resting.current = setTimeout(() => search(value), REST_MS);
  };
  useEffect(() => () => clearTimeout(resting.current), []);
  useEffect(() => {
    // What is being typed stays as it is.
    setText((before) => (before.trim() === q ? before : q));
    if (!q) field.current?.focus();
  }, [q]);
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    search(text);
    field.current?.blur();
  };
  const onKey = (/** @type {KeyboardEvent} */ event) => event.key === 'Escape' && field.current?.blur();
  return html`<form class="bar" role="search" onSubmit=${submit}>
    <input ref=${field} type="search" data-filter aria-label="Search for" placeholder=${'Words, "a phrase", begin*'} maxlength="1000" autocomplete="off"
      value=${text} onInput=${typed} onKeyDown=${onKey} />
    <select aria-label="Kinds" value=${type} onChange=${(/** @type {Event} */ event) => filter({ type: /** @type {HTMLSelectElement} */ (event.currentTarget).value })}>
      ${KINDS.map(([kinds, name]) => html`<option key=${kinds} value=${kinds} selected=${kinds === type}>${name}</option>`)}
    </select>
    <button>Search</button>
    ${within && html`<button type="button" class="quiet" onClick=${() => filter({ session: '' })}>in <bdi>${nameOf(titleOf(within), within)}</bdi> ×</button>`}
  </form>`;
}

/** @param {{ found: Found, words: string[], q: string, titleOf: (id: string) => string }} props */
function Results({ found, words, q, titleOf }) {
  const list = useRef(/** @type {HTMLOListElement | null} */ (null));
  useRowKeys(list);
  if (words.length === 0) return null;
  if (found.events.length === 0) return found.busy || found.failed ? null : html`<p class="told" role="status">Nothing that you may see has these words.</p>`;
  // An older page is looked for: there may be more.
  const all = count(found.events.length, 'result');
  return html`<p class="told" role="status">${found.prev === null && !found.busy ? all : `The newest ${all}; there are older ones`}</p>
    <ol class="rows results" ref=${list} aria-label="Results">
      ${found.events.map((event) => html`<${Result} key=${event.seq} event=${event} words=${words} q=${q} titleOf=${titleOf} />`)}
    </ol>`;
}

/** @param {{ event: Wire.Event, words: string[], q: string, titleOf: (id: string) => string }} props */
function Result({ event, words, q, titleOf }) {
  const pieces = useMemo(() => excerptOf(event.data, words), [event, words]);
  const id = event.session_id;
  const name = id ? nameOf(titleOf(id), id) : 'no session';
  const inside = html`<span class="kind">${event.type.replaceAll('_', ' ')}</span>
    <span class="what">
      <bdi class="title">${name}</bdi>
      <bdi class="found">${pieces.map(({ text, hit }) => (hit ? html`<mark>${oneLine(text)}</mark>` : spaced(text)))}</bdi>
    </span>
    <bdi class="who">${oneLine(event.agent ?? event.source)}</bdi>
    <time class="ago" datetime=${event.timestamp} title=${full(event.timestamp)}>${minute(event.timestamp)} <span class="unseen">${ago(event.timestamp, now.peek())} ago</span></time>`;
  // What is of no session has no moment to go to.
  if (!id) return html`<li><div class="row result">${inside}</div></li>`;
  return html`<li><a class="row result" data-seq=${event.seq} href=${sessionHash(id, event.seq, q)}>${inside}</a></li>`;
}

/** One line, with the spaces at its ends. @param {string} text */
const spaced = (text) => `${/^\s/.test(text) ? ' ' : ''}${oneLine(text)}${/\s$/.test(text) ? ' ' : ''}`;

function Hints() {
  return html`<section class="empty hints">
    <h2>Search all that was said and done</h2>
    <p>Every word must be there, in whatever case: <code>overloaded api</code></p>
    <p>Words in quotes stand together: <code>"cargo test"</code></p>
    <p>A last star is any ending: <code>migrat*</code></p>
  </section>`;
}
