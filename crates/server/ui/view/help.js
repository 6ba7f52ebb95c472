// The keys, in a dialog that `?` opens.

import { useEffect, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import { html } from '../html.js';

/** Whether the dialog is open. */
export const help = signal(false);

/** @type {[string[], string][]} */
const KEYS = [
  [['j', 'k'], 'next or previous session, event or question'],
  [['↓', '↑'], 'the same in the list; a session scrolls'],
  [['Enter'], 'open the session; unfold the event'],
  [['G', 'End'], 'newest event, and follow'],
  [['/'], 'to the filter, or to search; in a session Enter goes to the find before, Shift+Enter to the next'],
  [['a'], 'approve what is in focus, or all that are selected'],
  [['d'], 'deny it, with a word to the agent'],
  [['e'], 'change its arguments, then approve'],
  [['x'], 'select it, in the inbox'],
  [['m'], 'write a message; Enter sends, Shift+Enter begins a line'],
  [['+', '-', '0'], 'timeline: zoom in, out, fit; ← → moves, j k chooses, Enter goes there, p replays from there'],
  [['Space'], 'replay: play, pause'],
  [['←', '→'], 'replay: event before, next; with Shift the turn'],
  [['1', '2', '3'], 'replay: 1×, 4×, 20×'],
  [['i'], 'inbox'],
  [['Esc'], 'back to the fleet; out of a field'],
  [['?'], 'this help'],
];

/** @param {{ views: import('./frame.js').Place[] }} props */
export function Help({ views }) {
  /** @type {[string[], string][]} */
  const going = views.filter(({ key }) => key).map(({ key, name }) => [['g', key], name.toLowerCase()]);
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    if (help.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [help.value]);
  return html`<dialog class="help" ref=${dialog} aria-labelledby="help-title" onClose=${() => (help.value = false)}>
    <h2 id="help-title">Keys</h2>
    <dl>
      ${[...KEYS, ...going].map(
        ([keys, what]) =>
          html`<div>
            <dt>${keys.map((key) => html`<kbd>${key}</kbd>`)}</dt>
            <dd>${what}</dd>
          </div>`,
      )}
    </dl>
    <form method="dialog"><button autofocus>Close</button></form>
  </dialog>`;
}
