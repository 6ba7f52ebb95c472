// What every view has around it: the name, the state of the connection, help and sign-out.

import { useEffect } from 'preact/hooks';
import { now, whole } from '../format.js';
import { html } from '../html.js';
import { hashOf, route } from '../route.js';
import { help } from './help.js';

/** @typedef {{ path: string, name: string, key: string }} Place a view in the navigation */
/**
 * Who is signed in, and what all views have.
 * @typedef {{ onSignOut: () => void, onSignedOut: (why: string) => void, inbox: import('../inbox.js').Inbox, views: Place[], shared?: string }} Session
 *   `shared`: what is said of a share link, where the page was opened by one
 */
/** @typedef {import('../stream.js').Status} Status */

/** @param {{ live: import('../live.js').Live, session: Session, children?: any }} props */
export function Top({ live, session, children }) {
  const status = live.status.value;
  useEffect(() => {
    if (status.kind === 'signed out') session.onSignedOut(`You are signed out: ${status.why}.`);
  }, [status]);
  return html`<header class="top">
    <a class="brand" href="#/" aria-label="Turnwire: fleet"><${Logo} /><span>turnwire</span></a>
    <div class="crumb">${children}</div>
    ${session.shared ? html`<span class="told-shared">${session.shared}</span>` : html`<nav aria-label="Views">
      ${session.views
        .filter(({ key }) => key)
        .map(
          ({ path, name, key }) =>
            html`<a key=${path} href=${hashOf({ view: path })} aria-current=${path === route.value.view ? 'page' : undefined} title=${`${name} (g ${key})`}>
              ${name}${path === 'inbox' && html` <${Waiting} count=${session.inbox.count.value} />`}
            </a>`,
        )}
    </nav>`}
    <${Connection} status=${status} onNow=${() => live.now()} />
    <button class="quiet" title="Keys (?)" aria-label="Help" onClick=${() => (help.value = true)}>?</button>
    <button class="quiet sign-out" onClick=${session.onSignOut}>${session.shared ? 'Close' : 'Sign out'}</button>
  </header>`;
}

/** How many things wait; it keeps its place when there are none. @param {{ count: number }} props */
function Waiting({ count }) {
  return html`<span class="badge ${count > 0 ? '' : 'none'}" data-waiting=${count}>${count > 99 ? '99+' : count}</span>`;
}

export function Logo() {
  return html`<svg class="logo" viewBox="0 0 32 20" aria-hidden="true">
    <path d="M1 10h7l3-7 5 14 4-10 2 3h9" />
  </svg>`;
}

/** @param {{ status: Status, onNow: () => void }} props */
function Connection({ status, onNow }) {
  const [tone, text] = told(status);
  return html`<div class="connection ${tone}" data-connection=${status.kind}>
    <i class="dot" aria-hidden="true"></i>
    <span role="status" title=${'why' in status ? status.why : undefined}>${text}</span>
    ${status.kind === 'catching up' && status.behind > 0 && html`<span class="wait" aria-hidden="true">${whole(status.behind)} behind</span>`}
    ${status.kind === 'reconnecting' &&
    html`<span class="wait" aria-hidden="true">${wait(status.at)}</span><button class="link" onClick=${onNow}>Try now</button>`}
  </div>`;
}

/** @param {Status} status @returns {[string, string]} */
function told(status) {
  switch (status.kind) {
    case 'connecting':
      return ['wait', 'Connecting'];
    case 'catching up':
      return ['wait', 'Catching up'];
    case 'live':
      return ['good', 'Live'];
    case 'reconnecting':
      return ['bad', 'Reconnecting'];
    case 'paused':
      return ['wait', 'Paused'];
    case 'replay':
      return ['', 'Replay'];
    case 'signed out':
      return ['bad', 'Signed out'];
    case 'failed':
      return ['bad', `Stopped: ${status.why}`];
  }
}

/** @param {number} at */
function wait(at) {
  const seconds = Math.ceil((at - now.value) / 1000);
  return seconds > 0 ? `in ${seconds} s` : '…';
}
