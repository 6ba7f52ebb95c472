// Starts the page: who is signed in, which view the address names, and the keys that work everywhere.

import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { batch, signal } from '@preact/signals';
import * as api from './api.js';
import { startClock } from './format.js';
import { html } from './html.js';
import { Help, help } from './view/help.js';
import { SessionPage } from './view/session.js';
import { SessionsPage } from './view/sessions.js';
import { refusal, SignIn } from './view/sign-in.js';

/** @typedef {{ view: 'sessions' } | { view: 'session', id: string }} Route */

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
  const found = /^#\/session\/([^/?]+)/.exec(location.hash);
  try {
    return found ? { view: 'session', id: decodeURIComponent(found[1]) } : { view: 'sessions' };
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
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === '?') help.value = true;
  else if (event.key === 'Escape' && !document.querySelector('dialog[open]') && route.value.view !== 'sessions') location.hash = '#/';
  else return;
  event.preventDefault();
}

/** @param {EventTarget | null} target */
const isTyping = (target) => target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

function App() {
  useEffect(() => {
    addEventListener('hashchange', arrive);
    addEventListener('keydown', onKey);
    return () => {
      removeEventListener('hashchange', arrive);
      removeEventListener('keydown', onKey);
    };
  }, []);
  const session = { onSignOut: signOut, onSignedOut: signedOut };
  return html`${view(session)}<${Help} />`;
}

/** @param {import('./view/frame.js').Session} session */
function view(session) {
  if (signedIn.value === 'unknown') return html`<main class="blank" aria-busy="true"></main>`;
  if (signedIn.value === 'out') return html`<${SignIn} notice=${notice.value} onCode=${pair} />`;
  const at = route.value;
  if (at.view === 'session') return html`<${SessionPage} key=${at.id} id=${at.id} session=${session} />`;
  return html`<${SessionsPage} session=${session} notice=${notice.value} />`;
}

const root = document.getElementById('app');
if (root) {
  arrive();
  startClock();
  render(html`<${App} />`, root);
}
