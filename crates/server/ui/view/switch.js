// The views of one session, each with an address of its own.

import { html } from '../html.js';

/** @typedef {'conversation' | 'timeline' | 'replay'} View */

/** @type {[View, string, string][]} */
const VIEWS = [
  ['conversation', 'Conversation', ''],
  ['timeline', 'Timeline', '?view=timeline'],
  ['replay', 'Replay', '?play=0'],
];

/** @param {URLSearchParams} query @returns {View} */
export function viewOf(query) {
  if (query.has('play')) return 'replay';
  return query.get('view') === 'timeline' ? 'timeline' : 'conversation';
}

/** @param {string} id @param {string} [query] */
export const sessionHash = (id, query = '') => `#/session/${encodeURIComponent(id)}${query}`;

/** @param {{ id: string, view: View }} props */
export function Switch({ id, view }) {
  return html`<nav class="switch" aria-label="Views of this session">
    ${VIEWS.map(
      ([name, title, query]) => html`<a key=${name} href=${sessionHash(id, query)} aria-current=${name === view ? 'page' : undefined}>${title}</a>`,
    )}
  </nav>`;
}
