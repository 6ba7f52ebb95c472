// Text that is cut when it is long. All foreign text passes `plain` and lands in text nodes.

import { useMemo } from 'preact/hooks';
import { count, plain, whole } from '../format.js';
import { html } from '../html.js';
import { useKept } from './kept.js';

/** Lines and characters of an output before it is unfolded: what one can take in at a glance. */
export const OUTPUT = { lines: 12, chars: 2000 };
/** The same of one argument. */
export const ARGUMENT = { lines: 6, chars: 800 };
/** The same of what is decided about: one should see what one allows. */
export const DECIDED = { lines: 60, chars: 8000 };
/** The same of a message: nearly all are shown whole. */
export const MESSAGE = { lines: 400, chars: 20_000 };

/**
 * Text that is cut when it is long, with a button for the rest. `tail` keeps the end instead of the start.
 * @param {{ text: string, lines: number, chars: number, class?: string, label?: string, tail?: boolean, of?: string }} props `of` tells it from others in its row
 */
export function Clip({ text, lines, chars, class: name = '', label, tail = false, of = label ?? name }) {
  const [all, setAll] = useKept(`all ${of}`, false);
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
