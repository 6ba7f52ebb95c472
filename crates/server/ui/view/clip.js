// Text that is cut when it is long. All foreign text passes `plain` and lands in text nodes.

import { useMemo } from 'preact/hooks';
import { hasColours } from '../ansi.js';
import { count, plain, whole } from '../format.js';
import { html } from '../html.js';
import { useKept } from './kept.js';
import { Coloured, Markdown } from './text.js';

/** Lines and characters of an output before it is unfolded: what one can take in at a glance. */
export const OUTPUT = { lines: 12, chars: 2000 };
/** The same of one argument. */
export const ARGUMENT = { lines: 6, chars: 800 };
/** The same of what is decided about: one should see what one allows. */
export const DECIDED = { lines: 60, chars: 8000 };
/** The same of a message: nearly all are shown whole. */
export const MESSAGE = { lines: 400, chars: 20_000 };

/** Characters that are read as markdown: what is longer is no message but a document, and shown as it is. */
const MARKED = 200_000;

/**
 * Text that is cut when it is long, with a button for the rest. `tail` keeps the end instead of the start.
 * @param {{ text: string, lines: number, chars: number, class?: string, label?: string, tail?: boolean, of?: string,
 *   as?: 'markdown' | 'terminal' }} props `of` tells it from others in its row, `as` how it is read
 */
export function Clip({ text, lines, chars, class: name = '', label, tail = false, of = label ?? name, as }) {
  const [all, setAll] = useKept(`all ${of}`, false);
  const cut = useMemo(() => clip(text, lines, chars, tail), [text, lines, chars, tail]);
  const shown = useMemo(() => drawn(trimmed(all ? text : cut), as), [all, text, cut, as]);
  const more = text.length - cut.length;
  return html`<div class="clip ${name} ${as ?? ''}" dir="auto" role=${label && 'group'} aria-label=${label}>
      ${shown}
    </div>
    ${more > 0 &&
    html`<button class="link show-all" aria-expanded=${all} onClick=${() => setAll(!all)}>
      ${all ? 'Show less' : `Show all ${count(newlines(text) + 1, 'line')}, ${whole(text.length)} characters`}
    </button>`}`;
}

/** @param {string} text @param {'markdown' | 'terminal' | undefined} as */
function drawn(text, as) {
  if (as === 'markdown' && text.length <= MARKED) return html`<${Markdown} text=${plain(text)} />`;
  if (as === 'terminal' && hasColours(text)) return html`<span><${Coloured} text=${text} /></span>`;
  return html`<span>${plain(text)}</span>`;
}

/** Without the line breaks at its end. @param {string} text */
function trimmed(text) {
  let end = text.length;
  while (end > 0 && text[end - 1] === '\n') end -= 1;
  return text.slice(0, end);
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
