// What a tool is called with.

import { useMemo } from 'preact/hooks';
import { HEADS } from '../about.js';
import { difference, patched } from '../diff.js';
import { oneLine, plain, whole } from '../format.js';
import { html } from '../html.js';
import { isObject } from '../loose.js';
import { Clip } from './clip.js';

/** @param {unknown} args @returns {{ head: string, rest: [string, string][] }} */
export function argumentsOf(args) {
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
export const pretty = (value) => (typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? ''));

/**
 * Arguments as a list, each cut to `bound`.
 * @param {{ rest: [string, string][], bound: { lines: number, chars: number } }} props
 */
export function Arguments({ rest, bound }) {
  if (rest.length === 0) return null;
  return html`<dl class="args" aria-label="Arguments">
    ${rest.map(
      ([key, value]) =>
        html`<div key=${key}>
          <dt><bdi>${oneLine(key)}</bdi></dt>
          <dd><${Clip} text=${value} of=${`argument ${key}`} ...${bound} /></dd>
        </div>`,
    )}
  </dl>`;
}

/** Names under which agents give what an edit replaces, and by what. */
const OLD = ['old_string', 'oldString', 'old_str'];
const NEW = ['new_string', 'newString', 'new_str'];
/** Names under which they give a patch. */
const PATCH = ['patch', 'diff'];
/** Lines of a difference that are shown. */
const LINES = 400;

/**
 * What a call would change in a file: the arguments that say so, and the lines. None where it is no edit.
 * @param {unknown} args
 * @returns {{ keys: string[], lines: import('../diff.js').Line[] } | null}
 */
export function editOf(args) {
  if (!isObject(args)) return null;
  const one = replaced(args);
  if (one) return one;
  const patch = PATCH.find((key) => typeof args[key] === 'string');
  if (patch) return { keys: [patch], lines: patched(String(args[patch])) };
  if (!Array.isArray(args.edits) || args.edits.length === 0) return null;
  const all = args.edits.map((edit) => (isObject(edit) ? replaced(edit) : null));
  if (!all.every((edit) => edit !== null)) return null;
  /** @type {import('../diff.js').Line} */
  const between = { sign: '@', text: '⋯' };
  return { keys: ['edits'], lines: all.flatMap((edit, at) => (at > 0 ? [between, ...edit.lines] : edit.lines)) };
}

/** @param {Record<string, unknown>} args */
function replaced(args) {
  const from = OLD.find((key) => typeof args[key] === 'string');
  const to = NEW.find((key) => typeof args[key] === 'string');
  if (!from || !to) return null;
  return { keys: [from, to], lines: difference(String(args[from]), String(args[to])) };
}

/** Lines that go and lines that come. @param {{ lines: import('../diff.js').Line[] }} props */
export function Difference({ lines }) {
  const shown = useMemo(() => lines.slice(0, LINES).map(({ sign, text }) => ({ sign, text: plain(text) })), [lines]);
  return html`<div class="diff" role="group" aria-label="Change">
    ${shown.map(({ sign, text }, at) => line(sign, text, at))}
    ${lines.length > LINES && html`<p class="more-lines">${whole(lines.length - LINES)} lines more: see the raw event.</p>`}
  </div>`;
}

/** @param {string} sign @param {string} text @param {number} at */
function line(sign, text, at) {
  if (sign === '+') return html`<ins key=${at}>${text || ' '}</ins>`;
  if (sign === '-') return html`<del key=${at}>${text || ' '}</del>`;
  return html`<div key=${at} class=${sign === '@' ? 'hunk' : ''}>${text || ' '}</div>`;
}
