// A button that unfolds what may be done, by mouse and keys alike.

import { useRef } from 'preact/hooks';
import { html } from '../html.js';

/** What it is called, and what it does or where it leads. @typedef {[string, (() => void) | string]} Action */

/** @param {{ name: string, actions: Action[] }} props */
export function Menu({ name, actions }) {
  const root = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  const close = () => root.current?.removeAttribute('open');
  /** @param {FocusEvent} event */
  const left = (event) => root.current?.contains(/** @type {Node | null} */ (event.relatedTarget)) || close();
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.key !== 'Escape' || !root.current?.open) return;
    event.stopPropagation();
    close();
    root.current.querySelector('summary')?.focus();
  };
  const chosen = (/** @type {() => void} */ act) => {
    close();
    root.current?.querySelector('summary')?.focus();
    act();
  };
  return html`<details class="menu" ref=${root} onFocusOut=${left} onKeyDown=${onKey}>
    <summary>${name}</summary>
    <div class="choices">
      ${actions.map(([says, act]) =>
        typeof act === 'string'
          ? html`<a key=${says} href=${act} download onClick=${close}>${says}</a>`
          : html`<button key=${says} type="button" class="quiet" onClick=${() => chosen(act)}>${says}</button>`,
      )}
    </div>
  </details>`;
}
