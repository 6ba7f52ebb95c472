// The keys of the view that one is in, and those that work everywhere, in a dialog that `?` opens.

import { signal } from '@preact/signals';
import { html } from '../html.js';
import { route } from '../route.js';
import { Dialog } from './dialog.js';
import { viewOf } from './switch.js';

/** Whether the dialog is open. */
export const help = signal(false);

/** @typedef {[string[], string][]} Keys */

/** @type {Keys} */
const ROWS = [[['j', 'k'], 'next row, row before; ↓ ↑ do the same'], [['Enter'], 'open it']];
/** @type {Keys} */
const EVENTS = [[['j', 'k'], 'next event, event before; ↓ ↑ scroll'], [['Enter'], 'unfold the event'], [['G', 'End'], 'newest event, and follow']];
/** @type {Keys} */
const DECIDING = [[['a'], 'approve what is in focus'], [['d'], 'deny it, with a word to the agent'], [['e'], 'change its arguments, then approve'], [['w'], 'always allow its tool in this session']];

/** By what is in the address. @type {Record<string, Keys>} */
const KEYS = {
  inbox: [...ROWS, ...DECIDING, [['x', 'X'], 'select it, or all: a and d are for those that are selected']],
  access: [ROWS[0], [['d'], 'revoke it']],
  agents: [],
  agent: [],
  conversation: [
    ...EVENTS,
    [['p'], 'replay from the event'],
    [['m'], 'write a message; Enter sends, Shift+Enter begins a line'],
    ...DECIDING,
    [['/'], 'search; then Enter goes to the find before, Shift+Enter to the next'],
  ],
  timeline: [
    [['+', '-', '0'], 'zoom in, out, fit'],
    [['←', '→'], 'earlier, later'],
    [['j', 'k'], 'next bar, bar before'],
    [['Enter'], 'to its moment'],
    [['p'], 'replay from there'],
  ],
  replay: [[['Space'], 'play, pause'], [['←', '→'], 'event before, next; with Shift the turn'], [['1', '2', '3'], '1×, 4×, 20×'], ...EVENTS],
};

/** @param {{ views: import('./frame.js').Place[] }} props */
export function Help({ views }) {
  if (!help.value) return null;
  const { view, query } = route.value;
  // Without a way to other views it is a share link's one session.
  const isSession = view === 'session' || views.length === 0;
  const here = isSession ? viewOf(query) : view;
  /** @type {Keys} */
  const everywhere = [
    ...(isSession ? [] : /** @type {Keys} */ ([[['/'], 'to the filter, or to search']])),
    ...views.filter(({ key }) => key).map(({ key, name }) => /** @type {Keys[0]} */ ([['g', key], name.toLowerCase()])),
    ...(views.length > 0 ? /** @type {Keys} */ ([[['i'], 'inbox'], [['Esc'], 'back to the fleet; out of a field']]) : []),
    [['?'], 'this help'],
  ];
  return html`<${Dialog} class="keys" title="Keys" close=${() => (help.value = false)}>
    <form method="dialog"><button class="quiet" autofocus>Close</button></form>
    ${[KEYS[here] ?? ROWS, everywhere].map(
      (keys, at) =>
        html`<dl key=${at}>
          ${keys.map(
            ([names, what]) =>
              html`<div>
                <dt>${names.map((key) => html`<kbd>${key}</kbd>`)}</dt>
                <dd>${what}</dd>
              </div>`,
          )}
        </dl>`,
    )}
  <//>`;
}
