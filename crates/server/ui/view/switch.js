// The views of one session, each with an address of its own.

import { html } from '../html.js';
import { Manage } from './manage.js';

/** @typedef {'conversation' | 'timeline' | 'replay'} View */

/** Each keeps the moment that is looked at. @type {[View, string, (at: number) => string][]} */
const VIEWS = [
  ['conversation', 'Conversation', (at) => (at ? `?at=${at}` : '')],
  ['timeline', 'Timeline', () => '?view=timeline'],
  ['replay', 'Replay', (at) => `?play=${at}`],
];

/** @param {URLSearchParams} query @returns {View} */
export function viewOf(query) {
  if (query.has('play')) return 'replay';
  return query.get('view') === 'timeline' ? 'timeline' : 'conversation';
}

/** @param {string} id @param {string} [query] */
export const sessionHash = (id, query = '') => `#/session/${encodeURIComponent(id)}${query}`;

/** @param {{ live: Parameters<typeof Manage>[0]['live'], session: import('./frame.js').Session, view: View, at?: number }} props */
export function Switch({ live, session, view, at = 0 }) {
  return html`<div class="switch">
    <nav aria-label="Views of this session">
      ${VIEWS.map(
        ([name, title, query]) => html`<a key=${name} href=${sessionHash(live.id, query(at))} aria-current=${name === view ? 'page' : undefined}>${title}</a>`,
      )}
    </nav>
    <${Manage} live=${live} session=${session} />
  </div>`;
}
