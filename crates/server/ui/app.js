// Starts the page: who is signed in, which view the address names, and the keys that work everywhere.

import { render } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { batch, signal } from '@preact/signals';
import * as api from './api.js';
import { startClock } from './format.js';
import { html } from './html.js';
import { Inbox } from './inbox.js';
import { isShortcut } from './keys.js';
import { startNotifying } from './notify.js';
import { arrived, hashOf, route } from './route.js';
import { startTitle } from './title.js';
import { Help, help } from './view/help.js';
import { refusal, SignIn } from './view/sign-in.js';
import { SharedPage } from './view/shared.js';
import { VIEWS, viewOf } from './views.js';

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

/** Where a tab keeps the secret of the share link that it was opened by: it is gone with the tab. */
const SHARE = 'turnwire-share';

/** The secret of a share link, or nothing. */
const shared = signal(sessionStorage.getItem(SHARE) ?? '');

/** Takes a share link's secret out of the address. */
function takeShare() {
  const secret = /^#share=(.+)$/.exec(location.hash)?.[1];
  if (secret) {
    history.replaceState(null, '', `${location.pathname}#/`);
    sessionStorage.setItem(SHARE, secret);
    shared.value = secret;
  }
  api.speak(shared.value);
}

/** Back to what this browser is otherwise. */
function leaveShared() {
  sessionStorage.removeItem(SHARE);
  location.reload();
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
  takeShare();
  const code = takeCode();
  arrived();
  if (shared.value) return;
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
  else if (event.key === '/') toFilter();
  else if (shared.peek()) return;
  else if (event.key === 'i') location.hash = '#/inbox';
  else if (event.key === 'Escape' && location.hash !== '#/') location.hash = '#/';
  else return;
  event.preventDefault();
}

/** The view's own filter or search, else the search of everything. */
function toFilter() {
  const field = document.querySelector('[data-filter]');
  if (field instanceof HTMLInputElement) field.select();
  else if (!shared.peek()) location.hash = '#/search';
}

/** Until when the key after `g` names a view. */
let going = 0;
/** As long as one takes from one key to the next, and no longer: a `g` that was an accident is forgotten. */
const GOING_MS = 1500;

/** `g` and a view's key. Before the view itself sees the second one: it may have a meaning there. @param {KeyboardEvent} event */
function onGo(event) {
  if (!isShortcut(event) || event.key === 'Shift' || shared.peek()) return;
  const view = event.timeStamp < going ? VIEWS.find(({ key }) => key && key === event.key) : undefined;
  going = event.key === 'g' && !view ? event.timeStamp + GOING_MS : 0;
  if (!view) return;
  location.hash = hashOf({ view: view.path });
  event.preventDefault();
  event.stopPropagation();
}

function App() {
  useEffect(() => {
    addEventListener('hashchange', arrive);
    addEventListener('keydown', onGo, { capture: true });
    addEventListener('keydown', onKey);
    return () => {
      removeEventListener('hashchange', arrive);
      removeEventListener('keydown', onGo, { capture: true });
      removeEventListener('keydown', onKey);
    };
  }, []);
  return html`${view()}<${Help} views=${shared.value ? [] : VIEWS} />`;
}

function view() {
  if (shared.value) return html`<${SharedPage} key=${shared.value} query=${route.value.query} leave=${leaveShared} />`;
  if (signedIn.value === 'unknown') return html`<main class="blank" aria-busy="true"></main>`;
  if (signedIn.value === 'out') return html`<${SignIn} notice=${notice.value} onCode=${pair} />`;
  return html`<${SignedIn} />`;
}

/** All that is there for who is signed in, around one inbox. */
function SignedIn() {
  const inbox = useMemo(() => new Inbox(), []);
  useEffect(() => {
    inbox.open();
    const stop = startNotifying(inbox);
    return () => {
      stop();
      inbox.close();
    };
  }, []);
  const session = { onSignOut: signOut, onSignedOut: signedOut, inbox, views: VIEWS };
  const { view: path, id, query } = route.value;
  const view = viewOf(path);
  return html`<${view.page} key=${view.isOne ? `${path}/${id}` : path} id=${id} query=${query} session=${session} notice=${notice.value} />`;
}

const root = document.getElementById('app');
if (root) {
  arrive();
  startClock();
  startTitle();
  render(html`<${App} />`, root);
}
