// Events as they came: JSON, to be copied and linked to.

import { useState } from 'preact/hooks';
import { oneLine, plain } from '../format.js';
import { html } from '../html.js';
import { addressOf } from '../look.js';
import { copied } from './copy.js';
import { useKept } from './kept.js';

/** Characters of one event's JSON that are shown; a copy has all. */
const SHOWN = 100_000;
/** Characters of it in one line. */
const LINE = 300;

/** @param {{ event: Wire.Event }} props */
export function Json({ event }) {
  const [told, setTold] = useState('');
  const copy = async (/** @type {string} */ text) => {
    setTold((await copied(text)) ? 'Copied.' : 'This browser does not let the page copy.');
  };
  const address = addressOf(event.session_id ?? '', { at: event.seq });
  const text = JSON.stringify(event, null, 2);
  return html`<div class="json">
    <p class="line">
      <button class="link" onClick=${() => copy(text)}>Copy</button>
      ${event.session_id && html`<a href=${address}>Link to event ${event.seq}</a>`}
      ${event.session_id && html`<a href=${`${addressOf(event.session_id, {})}?play=${event.seq}`}>Replay from here</a>`}
      ${event.session_id && html`<button class="link" onClick=${() => copy(location.origin + location.pathname + address)}>Copy link</button>`}
      <span role="status">${told}</span>
    </p>
    <pre tabindex="0" role="group" aria-label=${`Event ${event.seq}`}>${plain(text.slice(0, SHOWN))}${text.length > SHOWN ? '…' : ''}</pre>
  </div>`;
}

/** A row of the raw view. @param {{ event: Wire.Event }} props */
export function RawEvent({ event }) {
  const [open, setOpen] = useKept('event', false);
  return html`<details class="fold event" open=${open} onToggle=${(/** @type {any} */ toggled) => setOpen(toggled.currentTarget.open)}>
    <summary><span class="seq">${event.seq}</span><code>${oneLine(event.type)}</code><bdi class="detail">${open ? '' : oneLine(lineOf(event))}</bdi></summary>
    ${open && html`<${Json} event=${event} />`}
  </details>`;
}

/** Its body's beginning, without the whole being written out. @param {Wire.Event} event */
function lineOf(event) {
  const short = (/** @type {string} */ _, /** @type {unknown} */ value) => (typeof value === 'string' ? value.slice(0, LINE) : value);
  return (JSON.stringify(event.data ?? {}, short) ?? '').slice(0, LINE);
}
