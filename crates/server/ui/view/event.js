// One item of a session's timeline. All foreign text passes `plain` and lands in text nodes.

import { useMemo, useState } from 'preact/hooks';
import { clock, count, duration, full, money, now, oneLine, plain, whole } from '../format.js';
import { html } from '../html.js';

/** @typedef {import('../store.js').Item} Item */

/** Lines and characters of an output before it is unfolded: what one can take in at a glance. */
const OUTPUT = { lines: 12, chars: 2000 };
/** The same of one argument. */
const ARGUMENT = { lines: 6, chars: 800 };
/** The same of a message: nearly all are shown whole. */
const MESSAGE = { lines: 400, chars: 20_000 };

/** @param {{ item: Item }} props */
export function Row({ item }) {
  item.rev.value;
  const seqs = item.events.map((event) => event.seq).join(' ');
  const tone = toneOf(item);
  return html`<li class="item ${item.kind} ${tone} ${item.nested ? 'nested' : ''}" data-seqs=${seqs} tabindex="-1">
    <time class="when" datetime=${item.at} title=${item.at && full(item.at)}>${clock(item.at)}</time>
    <i class="node" aria-hidden="true"></i>
    <div class="body">${body(item)}</div>
    ${item.kind !== 'gap' && html`<${Raw} item=${item} count=${item.events.length + item.deltas.length} />`}
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
      return item.decision ? '' : 'wait';
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
      return html`<${Said} who=${item.role} text=${item.text} quiet=${item.role === 'assistant'} />`;
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
      return html`<${Approval} item=${item} />`;
    case 'mark':
      return html`<p class="line"><bdi>${oneLine(item.title)}</bdi>${item.detail && html`<bdi class="detail">${oneLine(item.detail)}</bdi>`}</p>`;
    case 'gap':
      return html`<p class="line">${gapText(item.gap)}</p>`;
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

/** @param {{ who: string, text: string, quiet?: boolean }} props */
function Said({ who, text, quiet }) {
  const name = oneLine(who);
  return html`${name && html`<p class=${quiet ? 'unseen' : 'label'}><bdi>${name}</bdi></p>`}<${Clip} class="text" text=${text} ...${MESSAGE} />`;
}

/** @param {{ item: import('../store.js').ReasoningItem }} props */
function Reasoning({ item }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold" open=${open} onToggle=${toggled(setOpen)}>
    <summary>${item.open ? 'Reasoning…' : 'Reasoning'}<bdi class="detail">${oneLine(item.text.slice(-400)).slice(-160)}</bdi></summary>
    ${open && html`<${Clip} class="text" text=${item.text} ...${MESSAGE} />`}
  </details>`;
}

/** @param {(open: boolean) => void} set */
const toggled = (set) => (/** @type {Event} */ event) => set(/** @type {HTMLDetailsElement} */ (event.currentTarget).open);

/** @type {Record<import('../store.js').ToolState, string>} */
const TOOL_WORDS = { running: 'running', done: 'done', failed: 'failed', unfinished: 'not finished' };

/** @param {{ item: import('../store.js').ToolItem }} props */
function Tool({ item }) {
  const args = item.args ?? (item.draft || undefined);
  const { head, rest } = useMemo(() => argumentsOf(args), [args]);
  const output = useMemo(() => outputText(item.output), [item.output]);
  const shown = item.state === 'running' || item.output === undefined ? item.progress : output;
  return html`<div class="card">
    <div class="head">
      <bdi class="tool-name">${oneLine(item.tool) || 'tool'}</bdi>
      <bdi class="detail">${head}</bdi>
      <span class="outcome">${item.error ? oneLine(item.error).slice(0, 80) : TOOL_WORDS[item.state]}</span>
      <${Took} item=${item} />
    </div>
    ${rest.length > 0 &&
    html`<dl class="args" aria-label="Arguments">
      ${rest.map(
        ([key, value]) =>
          html`<div key=${key}>
            <dt><bdi>${oneLine(key)}</bdi></dt>
            <dd><${Clip} text=${value} ...${ARGUMENT} /></dd>
          </div>`,
      )}
    </dl>`}
    ${shown && html`<${Clip} class="output" label="Output" text=${shown} tail=${item.state === 'running'} ...${OUTPUT} />`}
  </div>`;
}

/** @param {{ item: import('../store.js').ToolItem }} props */
function Took({ item }) {
  if (item.duration !== null) return html`<span class="took">${duration(item.duration)}</span>`;
  if (item.state !== 'running' || !item.started) return null;
  return html`<span class="took">${duration(Math.max(0, now.value - Date.parse(item.at)))}</span>`;
}

/** The one argument that says what a call is about, by the names that agents give it, in this order. */
const HEADS = ['command', 'cmd', 'file_path', 'filePath', 'path', 'pattern', 'query', 'url', 'description', 'prompt'];

/** @param {unknown} args @returns {{ head: string, rest: [string, string][] }} */
function argumentsOf(args) {
  if (args === undefined || args === null) return { head: '', rest: [] };
  if (typeof args !== 'object' || Array.isArray(args)) return { head: '', rest: [['', pretty(args)]] };
  /** @type {[string, string][]} */
  const all = Object.entries(args).map(([key, value]) => [key, pretty(value)]);
  const key = HEADS.find((name) => all.some(([other, text]) => other === name && text));
  const found = all.find(([other]) => other === key)?.[1] ?? '';
  const whole = found.length <= 120 && !found.includes('\n');
  return { head: oneLine(found.slice(0, 300)), rest: whole ? all.filter(([other]) => other !== key) : all };
}

/** @param {unknown} value */
const pretty = (value) => (typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? ''));

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

/** @param {{ item: import('../store.js').ApprovalItem }} props */
function Approval({ item }) {
  const { head, rest } = argumentsOf(item.args);
  return html`<div class="card">
    <div class="head">
      <span class="tool-name">${item.decision ? 'Approval' : 'Waits for approval'}</span>
      <bdi class="detail">${oneLine(item.title) || `${oneLine(item.tool)} ${head}`}</bdi>
      <span class="outcome">${item.decision && `${oneLine(item.decision)}${item.by && ` by ${oneLine(item.by)}`}`}</span>
    </div>
    ${rest.map(([key, value]) => html`<${Clip} key=${key} class="output" text=${value} ...${ARGUMENT} />`)}
  </div>`;
}

/**
 * Text that is cut when it is long, with a button for the rest. `tail` keeps the end instead of the start.
 * @param {{ text: string, lines: number, chars: number, class?: string, label?: string, tail?: boolean }} props
 */
function Clip({ text, lines, chars, class: name = '', label, tail = false }) {
  const [all, setAll] = useState(false);
  const cut = useMemo(() => clip(text, lines, chars, tail), [text, lines, chars, tail]);
  const shown = useMemo(() => plain(all ? text : cut).replace(/\n+$/, ''), [all, text, cut]);
  const more = text.length - cut.length;
  return html`<div class="clip ${name}" dir="auto" role=${label && 'group'} aria-label=${label}>
      <span>${shown}</span>
    </div>
    ${more > 0 &&
    html`<button class="link show-all" aria-expanded=${all} onClick=${() => setAll(!all)}>
      ${all ? 'Show less' : `Show all ${count(newlines(text) + 1, 'line')}, ${whole(text.length)} characters`}
    </button>`}`;
}

/** @param {string} text @param {number} lines @param {number} chars @param {boolean} tail */
function clip(text, lines, chars, tail) {
  const part = tail ? text.slice(-chars) : text.slice(0, chars);
  const all = part.split('\n');
  const kept = tail ? all.slice(-lines) : all.slice(0, lines);
  return kept.length === all.length ? part : kept.join('\n');
}

/** @param {string} text */
function newlines(text) {
  let found = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < text.length - 1; at = text.indexOf('\n', at + 1)) found += 1;
  return found;
}

/** The item's events as they came, on demand. @param {{ item: Item, count: number }} props */
function Raw({ item, count: events }) {
  const [open, setOpen] = useState(false);
  return html`<details class="raw" open=${open} onToggle=${toggled(setOpen)}>
    <summary title="As it came" aria-label=${`Raw JSON of ${count(events, 'event')}`}>${'{}'}</summary>
    ${open && [...item.events, ...item.deltas].map((event) => html`<pre key=${event.seq}>${plain(JSON.stringify(event, null, 2))}</pre>`)}
  </details>`;
}
