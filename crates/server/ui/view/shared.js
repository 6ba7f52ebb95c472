// What a share link opens: its one session, and nothing around it.

import { useEffect, useMemo } from 'preact/hooks';
import * as api from '../api.js';
import { minute } from '../format.js';
import { html } from '../html.js';
import { Inbox } from '../inbox.js';
import { useLoaded } from '../loaded.js';
import { Logo } from './frame.js';
import { SessionView } from './session-view.js';

/** What a share link's secret allows. */
const SCOPE = /^read:session:(.+)$/s;

/** @param {{ query: URLSearchParams, leave: () => void }} props */
export function SharedPage({ query, leave }) {
  const { value: me, error } = useLoaded(api.me, '', { least: 1000 });
  // Never opened: it would follow what other tabs of this browser, that are signed in, tell each other.
  const inbox = useMemo(() => new Inbox(), []);
  useEffect(() => {
    inbox.me.value = me;
  }, [me]);
  const id = me?.scopes.map((scope) => SCOPE.exec(scope)?.[1]).find(Boolean);
  if (error && !error.retry) return html`<${Over} why=${error.message} leave=${leave} />`;
  if (!me) return html`<main class="blank" aria-busy="true">${error && html`<p class="notice" role="alert">${error.message}</p>`}</main>`;
  if (!id) return html`<${Over} why="it is of no session" leave=${leave} />`;
  const until = me.expires ? `Shared with you, until ${minute(me.expires)}` : 'Shared with you';
  const session = { onSignOut: leave, onSignedOut: () => {}, inbox, views: [], shared: until };
  return html`<${SessionView} key=${id} id=${id} query=${query} session=${session} />`;
}

/** @param {{ why: string, leave: () => void }} props */
function Over({ why, leave }) {
  return html`<main class="sign-in">
    <h1><${Logo} />turnwire</h1>
    <p>This link shows nothing any more: ${why}.</p>
    <p>Ask whoever gave it to you for another one.</p>
    <button class="quiet" onClick=${leave}>Close it</button>
  </main>`;
}
