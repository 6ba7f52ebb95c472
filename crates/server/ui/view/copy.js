// Something to take along: shown whole, and copied by a button.

import { useRef, useState } from 'preact/hooks';
import { html } from '../html.js';

/** @param {{ label: string, text: string }} props */
export function Copy({ label, text }) {
  const [said, setSaid] = useState('');
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copy = async () => {
    field.current?.select();
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Not there on a page that came by plain http from afar: what is selected can be copied by hand.
      setSaid('Selected: copy it by hand');
    }
  };
  return html`<div class="copy">
    <input ref=${field} readonly aria-label=${label} value=${text} onFocus=${() => field.current?.select()} />
    <button type="button" onClick=${copy}>Copy</button>
    <span role="status">${said}</span>
  </div>`;
}
