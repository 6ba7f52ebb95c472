// Starts the page: who is signed in, which view the address names, and the keys that work everywhere.

import { render } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { batch, signal } from '@preact/signals';
import * as api from './api.js';
import { startClock } from './format.js';
import { html } from './html.js';
import { Inbox } from './inbox.js';
import { isShortcut } from './keys.js';
import { startTitle } from './title.js';
import { AgentsPage } from './view/agents.js';
import { Help, help } from './view/help.js';
import { InboxPage } from './view/inbox.js';
import { SessionView } from './view/session-view.js';
import { SessionsPage } from './view/sessions.js';
import { refusal, SignIn } from './view/sign-in.js';

/** @typedef {{ view: 'sessions' } | { view: 'inbox' } | { view: 'agents' } | { view: 'session', id: string, query: URLSearchParams }} Route */

/** @type {import('@preact/signals').Signal<Route>} */
const route = signal(/** @type {Route} */ ({ view: 'sessions' }));

/** `unknown` until the server has said. @type {import('@preact/signals').Signal<'unknown' | 'in' | 'out'>} */
const signedIn = signal(/** @type {'unknown' | 'in' | 'out'} */ ('unknown'));

/** What the sign-in view has to say. */
const notice = signal('');

/** The pairing code of the address, which loses it at once: it must not stay in a history or be sent on with a link. */
function takeCode() {
  const found = /^#pair=(.*)$/.exec(location.hash);
  if (!found) return '';
  history.replaceState(null, '', `${location.pathname}#/`);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

/** @returns {Route} */
function routeOf() {
  if (location.hash === '#/inbox') return { view: 'inbox' };
  if (location.hash === '#/agents') return { view: 'agents' };
  const found = /^#\/session\/([^/?]+)\??(.*)$/.exec(location.hash);
  try {
    return found ? { view: 'session', id: decodeURIComponent(found[1]), query: new URLSearchParams(found[2]) } : { view: 'sessions' };
  } catch {
    return { view: 'sessions' };
  }
}

/** @param {string} code */
async function pair(code) {
  await api.pair(code.trim());
  batch(() => {
    notice.value = '';
    signedIn.value = 'in';
  });
}

/** Takes in a new address: at the start, and whenever it changes. */
async function arrive() {
  const code = takeCode();
  route.value = routeOf();
  if (code) await pair(code).catch(told);
  if (signedIn.value === 'unknown') signedIn.value = await isSignedIn();
}

/** @param {unknown} error */
function told(error) {
  if (!(error instanceof api.ApiError)) throw error;
  notice.value = refusal(error);
}

/** A browser that was signed in before stays so when a link is stale. @returns {Promise<'in' | 'out'>} */
async function isSignedIn() {
  try {
    await api.me();
    return 'in';
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    // That the server is away is told by the view's own connection, which goes on trying.
    return error.retry ? 'in' : 'out';
  }
}

async function signOut() {
  await api.signOut().catch(() => {});
  signedOut('You are signed out.');
}

/** @param {string} why */
function signedOut(why) {
  batch(() => {
    notice.value = why;
    signedIn.value = 'out';
  });
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (!isShortcut(event)) return;
  if (event.key === '?') help.value = true;
  else if (event.key === 'i') location.hash = '#/inbox';
  else if (event.key === 'Escape' && route.value.view !== 'sessions') location.hash = '#/';
  else return;
  event.preventDefault();
}

function App() {
  useEffect(() => {
    addEventListener('hashchange', arrive);
    addEventListener('keydown', onKey);
    return () => {
      removeEventListener('hashchange', arrive);
      removeEventListener('keydown', onKey);
    };
  }, []);
  return html`${view()}<${Help} />`;
}

function view() {
  if (signedIn.value === 'unknown') return html`<main class="blank" aria-busy="true"></main>`;
  if (signedIn.value === 'out') return html`<${SignIn} notice=${notice.value} onCode=${pair} />`;
  return html`<${SignedIn} />`;
}

/** All that is there for who is signed in, around one inbox. */
function SignedIn() {
  const inbox = useMemo(() => new Inbox(), []);
  useEffect(() => {
    inbox.open();
    return () => inbox.close();
  }, []);
  const session = { onSignOut: signOut, onSignedOut: signedOut, inbox };
  const at = route.value;
  if (at.view === 'session') return html`<${SessionView} key=${at.id} id=${at.id} query=${at.query} session=${session} />`;
  if (at.view === 'inbox') return html`<${InboxPage} session=${session} />`;
  if (at.view === 'agents') return html`<${AgentsPage} session=${session} />`;
  return html`<${SessionsPage} session=${session} notice=${notice.value} />`;
}

const root = document.getElementById('app');
if (root) {
  arrive();
  startClock();
  startTitle();
  render(html`<${App} />`, root);
}
