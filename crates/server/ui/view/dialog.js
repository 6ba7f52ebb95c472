// A dialog above the page: open as long as it is there, and closed by Escape or by what is in it.

import { useLayoutEffect, useRef } from 'preact/hooks';
import { html } from '../html.js';

/** Closes the dialog that the event came from; its `close` is called then. @param {Event} event */
export const shut = (event) => /** @type {Element} */ (event.currentTarget).closest('dialog')?.close();

/** @param {{ title: any, class?: string, close: () => void, children?: any }} props */
export function Dialog({ title, class: name = '', close, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return html`<dialog class="help ${name}" ref=${dialog} aria-labelledby="dialog-title" onClose=${close}>
    <h2 id="dialog-title">${title}</h2>
    ${children}
  </dialog>`;
}
