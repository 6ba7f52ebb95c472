// The views of one session, each with an address of its own.

import { html } from '../html.js';
import { Manage } from './manage.js';

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

/** @param {{ live: Parameters<typeof Manage>[0]['live'], session: import('./frame.js').Session, view: View }} props */
export function Switch({ live, session, view }) {
  return html`<div class="switch">
    <nav aria-label="Views of this session">
      ${VIEWS.map(
        ([name, title, query]) => html`<a key=${name} href=${sessionHash(live.id, query)} aria-current=${name === view ? 'page' : undefined}>${title}</a>`,
      )}
    </nav>
    <${Manage} live=${live} session=${session} />
  </div>`;
}
