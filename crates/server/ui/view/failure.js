// What cannot be shown, and why.

import { html } from '../html.js';

/** @param {{ error: import('../api.js').ApiError, what?: string }} props */
export function Failure({ error, what = 'session' }) {
  const gone = error.status === 404;
  return html`<section class="empty" role="alert">
    <h2>${gone ? `There is no such ${what}` : 'This cannot be shown'}</h2>
    <p>${gone ? 'It may have been erased, or this sign-in may not see it.' : `The server says: ${error.message}.`}</p>
    <p><a href="#/">All sessions</a></p>
  </section>`;
}
