// Something to take along: shown whole, and copied by a button.

import { useRef, useState } from 'preact/hooks';
import { html } from '../html.js';

/** Whether it is on the clipboard: there is none on a page that came by plain http from afar. @param {string} text @returns {Promise<boolean>} */
export const copied = async (text) => Boolean(await navigator.clipboard?.writeText(text).then(() => true, () => false));

/** @param {{ label: string, text: string }} props */
export function Copy({ label, text }) {
  const [said, setSaid] = useState('');
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copy = async () => {
    field.current?.select();
    // What is selected can be copied by hand.
    setSaid((await copied(text)) ? 'Copied' : 'Selected: copy it by hand');
  };
  return html`<div class="copy">
    <input ref=${field} readonly aria-label=${label} value=${text} onFocus=${() => field.current?.select()} />
    <button type="button" onClick=${copy}>Copy</button>
    <span role="status">${said}</span>
  </div>`;
}
