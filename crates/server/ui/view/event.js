// One item of a session's timeline. All foreign text passes `plain` and lands in text nodes.

import { useMemo } from 'preact/hooks';
import { isPending } from '../approval.js';
import { isOpen } from '../order.js';
import { clock, count, duration, full, money, now, oneLine, whole } from '../format.js';
import { html } from '../html.js';
import { ApprovalCard } from './approval.js';
import { Arguments, argumentsOf, Difference, editOf, pretty } from './arguments.js';
import { useAround } from './around.js';
import { Blobs } from './blobs.js';
import { ARGUMENT, Clip, MESSAGE, OUTPUT } from './clip.js';
import { useKept } from './kept.js';
import { Given } from './order.js';
import { Json, RawEvent } from './raw.js';

/** @typedef {import('../store.js').Item} Item */

/** @param {{ item: Item, row: import('preact').RefObject<HTMLElement>, marked: boolean, at: number, size: number }} props `at` among so many rows; -1 where nobody knows */
export function Row({ item, row, marked, at, size }) {
  item.rev.value;
  const seqs = item.events.map((event) => event.seq).join(' ');
  const tone = toneOf(item);
  const names = `item ${item.kind} ${tone} ${item.nested ? 'nested' : ''} ${marked ? 'marked' : ''}`;
  return html`<li ref=${row} class=${names} data-key=${item.key} data-kind=${item.kind} data-seqs=${seqs} aria-current=${marked ? 'location' : undefined} aria-posinset=${at} aria-setsize=${size} tabindex="-1">
    <time class="when" datetime=${item.at} title=${item.at && full(item.at)}>${clock(item.at)}</time>
    <i class="node" aria-hidden="true"></i>
    <div class="body">${body(item)}${item.kind !== 'gap' && html`<${Blobs} events=${item.events} />`}</div>
    ${item.kind !== 'gap' && item.kind !== 'raw' && html`<${Raw} item=${item} count=${item.events.length + item.deltas.length} />`}
  </li>`;
}

/** @param {Item} item */
function toneOf(item) {
  switch (item.kind) {
    case 'message':
      return item.role === 'user' ? 'user' : item.open ? 'open' : '';
    case 'reasoning':
      return item.open ? 'open' : '';
    case 'tool':
      return item.state;
    case 'end':
      return item.ok ? 'good' : 'bad';
    case 'mark':
      return item.tone;
    case 'approval':
      return isPending(item.approval) ? 'wait' : '';
    case 'command':
      return isOpen(item.order) ? 'open' : item.order.state === 'done' || item.order.state === 'withdrawn' ? '' : 'bad';
    default:
      return '';
  }
}

/** @param {Item} item */
function body(item) {
  switch (item.kind) {
    case 'turn':
      return html`<${Said} who=${item.from || 'user'} text=${item.text} />`;
    case 'message':
      return html`<${Said} who=${item.role} text=${item.text} quiet=${item.role === 'assistant'} open=${item.open} />`;
    case 'reasoning':
      return html`<${Reasoning} item=${item} />`;
    case 'tool':
      return html`<${Tool} item=${item} />`;
    case 'end':
      return html`<${End} item=${item} />`;
    case 'text':
      return html`<${Clip} class="note" text=${item.text} ...${OUTPUT} />`;
    case 'error':
      return html`<p class="label">Error${item.component && html` in <bdi>${oneLine(item.component)}</bdi>`}</p>
        <${Clip} class="text" text=${item.text} ...${OUTPUT} />`;
    case 'approval':
      return html`<${ApprovalCard} approval=${item.approval} />`;
    case 'command':
      return html`<${Given} order=${item.order} text=${item.text} begun=${item.begun} />`;
    case 'mark':
      return html`<p class="line"><bdi>${oneLine(item.title)}</bdi>${item.detail && html`<bdi class="detail">${oneLine(item.detail)}</bdi>`}</p>`;
    case 'gap':
      return html`<p class="line">${gapText(item.gap)}</p>`;
    case 'raw':
      return html`<${RawEvent} event=${item.events[0] ?? item.deltas[0]} />`;
    case 'other':
      return html`<p class="line">
        <code>${item.title}</code><bdi class="detail">${oneLine(JSON.stringify(item.events[0]?.data ?? {}).slice(0, 300))}</bdi>
      </p>`;
  }
}

/** @param {import('../stream.js').Gap} gap */
function gapText(gap) {
  if (gap.reason === 'unreadable') return `Event ${gap.after + 1} cannot be shown: it is larger than this page takes, or damaged.`;
  const range = `Events ${gap.after + 1} to ${gap.next - 1}`;
  return gap.reason === 'trimmed' ? `${range} are no longer kept.` : `${range} were not sent: ${gap.reason}.`;
}

/** @param {{ who: string, text: string, quiet?: boolean, open?: boolean }} props */
function Said({ who, text, quiet, open = false }) {
  const name = oneLine(who);
  const as = quiet ? 'markdown' : undefined;
  return html`${name && html`<p class=${quiet ? 'unseen' : 'label'}><bdi>${name}</bdi></p>`}<${Clip} class="text" text=${text} as=${as} tail=${open} ...${MESSAGE} />`;
}

/** @param {{ item: import('../store.js').ReasoningItem }} props */
function Reasoning({ item }) {
  const [open, setOpen] = useKept('reasoning', false);
  return html`<details class="fold" open=${open} onToggle=${toggled(setOpen)}>
    <summary>${item.open ? 'Reasoning…' : 'Reasoning'}<bdi class="detail">${oneLine(item.text.slice(-400)).slice(-160)}</bdi></summary>
    ${open && html`<${Clip} class="text" text=${item.text} as="markdown" tail=${item.open} ...${MESSAGE} />`}
  </details>`;
}

/** @param {(open: boolean) => void} set */
const toggled = (set) => (/** @type {Event} */ event) => set(/** @type {HTMLDetailsElement} */ (event.currentTarget).open);

/** @type {Record<import('../store.js').ToolState, string>} */
const TOOL_WORDS = { running: 'running', done: 'done', failed: 'failed', unfinished: 'not finished' };

/** What a call is about, and for an edit its lines. @param {unknown} args */
function calledWith(args) {
  const edit = editOf(args);
  const { head, rest } = argumentsOf(args);
  return { head, edit, rest: edit ? rest.filter(([key]) => !edit.keys.includes(key)) : rest };
}

/** @param {{ item: import('../store.js').ToolItem }} props */
function Tool({ item }) {
  // A component that reads a signal is drawn anew for its signals alone.
  item.rev.value;
  const args = item.args ?? (item.draft || undefined);
  const { live } = useAround();
  const { head, rest, edit } = useMemo(() => calledWith(args), [args]);
  // The end of what still ran at the window's end is further down.
  const isOver = item.state === 'running' && 'detached' in live && /** @type {import('../live.js').LiveSession} */ (live).detached.value;
  const output = useMemo(() => outputText(item.output), [item.output]);
  const shown = item.state === 'running' || item.output === undefined ? item.progress : output;
  return html`<div class="card">
    <div class="head">
      <bdi class="tool-name">${oneLine(item.tool) || 'tool'}</bdi>
      <bdi class="detail">${head}</bdi>
      <span class="outcome">${item.error ? oneLine(item.error).slice(0, 80) : isOver ? 'ended later' : TOOL_WORDS[item.state]}</span>
      <${Took} item=${item} />
    </div>
    <${Arguments} rest=${rest} bound=${ARGUMENT} />
    ${edit && html`<${Difference} lines=${edit.lines} />`}
    ${shown && html`<${Clip} class="output" label="Output" as="terminal" text=${shown} tail=${item.state === 'running'} ...${OUTPUT} />`}
  </div>`;
}

/** @param {{ item: import('../store.js').ToolItem }} props */
function Took({ item }) {
  if (item.duration !== null) return html`<span class="took">${duration(item.duration)}</span>`;
  if (item.state !== 'running' || !item.started) return null;
  return html`<span class="took">${duration(Math.max(0, now.value - Date.parse(item.at)))}</span>`;
}

/** What a tool answered: text as it is, a list of text blocks as their text, anything else as JSON. @param {unknown} output */
function outputText(output) {
  if (output === undefined || output === null) return '';
  const texts = Array.isArray(output) ? output.map((block) => (block?.type === 'text' ? block.text : undefined)) : [];
  if (texts.length > 0 && texts.every((text) => typeof text === 'string')) return texts.join('\n');
  return pretty(output);
}

/** @param {{ item: import('../store.js').EndItem }} props */
function End({ item }) {
  const { usage } = item;
  const parts = [
    usage && usage.input > 0 && `${whole(usage.input)} in`,
    usage && usage.output > 0 && `${whole(usage.output)} out`,
    usage && usage.read > 0 && `${whole(usage.read)} from cache`,
    usage && usage.written > 0 && `${whole(usage.written)} to cache`,
    item.cost !== null && money(item.cost),
  ];
  const text = parts.filter(Boolean).join(' · ');
  return html`<p class="line">
      <span class="verdict">${item.ok ? 'Turn done' : 'Turn failed'}${item.duration !== null && ` in ${duration(item.duration)}`}</span>
      ${text && html`<span class="usage">${text}</span>`}
    </p>
    ${item.note && html`<${Clip} class="text" text=${item.note} ...${OUTPUT} />`}`;
}

/** The item's events as they came, on demand. @param {{ item: Item, count: number }} props */
function Raw({ item, count: events }) {
  const [open, setOpen] = useKept('raw', false);
  return html`<details class="raw" open=${open} onToggle=${toggled(setOpen)}>
    <summary title="As it came" aria-label=${`Raw JSON of ${count(events, 'event')}`}>${'{}'}</summary>
    ${open && [...item.events, ...item.deltas].map((event) => html`<${Json} key=${event.seq} event=${event} />`)}
  </details>`;
}
