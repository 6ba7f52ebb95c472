// Notifications of the browser: what newly waits for a person is told while nobody looks at the page, where that was asked for.

import { effect, signal } from '@preact/signals-core';
import { nameOf, oneLine } from './format.js';
import { hashOf, sessionHash } from './route.js';

/** Where a browser keeps that they are wanted. */
const KEY = 'turnwire-notify';
/** Told at once; of more than these it is said how many there are. */
const MOST = 3;

/** @typedef {'off' | 'on' | 'blocked' | 'missing'} Notifying */

/** @returns {Notifying} */
function standing() {
  // Not there on a page that came by plain http from afar.
  if (!('Notification' in window) || !isSecureContext) return 'missing';
  if (Notification.permission === 'denied') return 'blocked';
  return Notification.permission === 'granted' && localStorage.getItem(KEY) === 'on' ? 'on' : 'off';
}

/** @type {import('@preact/signals-core').Signal<Notifying>} */
export const notifying = signal(standing());

/** Asked for, or given up, by a click: browsers ask their user only then. */
export async function toggleNotifying() {
  if (notifying.peek() === 'on') localStorage.removeItem(KEY);
  else if ((await Notification.requestPermission()) === 'granted') localStorage.setItem(KEY, 'on');
  notifying.value = standing();
}

/** @typedef {{ id: string, title: string, body: string, hash: string }} Waiting */

/** @param {import('./inbox.js').Inbox} inbox @returns {Waiting[]} */
function waitingIn(inbox) {
  const name = (/** @type {string} */ id) => nameOf(inbox.titleOf(id), id);
  const asks = inbox.approvals.value.map((approval) => ({
    id: approval.id,
    title: `${oneLine(approval.tool) || 'A tool'} waits for you`,
    body: [oneLine(approval.title), name(approval.session)].filter(Boolean).join(' · '),
    hash: sessionHash(approval.session, approval.seq),
  }));
  const sessions = [...inbox.needs.value, ...inbox.trouble.value].map(({ id, session }) => {
    const { state, last_seq, last_text } = session.peek();
    const body = [name(id), oneLine(last_text ?? '')].filter(Boolean).join(' · ');
    return { id: `${id} ${state}`, title: `A session ${WORDS[state] ?? oneLine(state)}`, body, hash: sessionHash(id, last_seq) };
  });
  return [...asks, ...sessions];
}

/** @type {Record<string, string>} */
const WORDS = { needs_answer: 'needs an answer', needs_approval: 'needs approval', rate_limited: 'is rate limited', failed: 'has failed', stalled: 'has stalled' };

/** Tells of what comes from now on, and takes back what was answered. @param {import('./inbox.js').Inbox} inbox @returns {() => void} */
export function startNotifying(inbox) {
  /** What was seen waiting; none before the first snapshot. @type {Set<string> | null} */
  let seen = null;
  /** @type {Map<string, Notification>} */
  const shown = new Map();
  const stop = effect(() => {
    if (!inbox.ready.value) return;
    const all = waitingIn(inbox);
    const ids = new Set(all.map(({ id }) => id));
    const fresh = seen ? all.filter(({ id }) => !seen?.has(id)) : [];
    seen = ids;
    for (const [id, notification] of shown) {
      if (ids.has(id)) continue;
      notification.close();
      shown.delete(id);
    }
    // One tab tells for all of a browser, and none while somebody looks.
    if (notifying.peek() !== 'on' || !document.hidden || !inbox.leads) return;
    const several = { id: 'several', title: `${fresh.length} things wait for you`, body: '', hash: hashOf({ view: 'inbox' }) };
    for (const waiting of fresh.length > MOST ? [several] : fresh) shown.set(waiting.id, tell(waiting));
  });
  return () => {
    stop();
    for (const notification of shown.values()) notification.close();
  };
}

/** @param {Waiting} waiting */
function tell({ id, title, body, hash }) {
  const notification = new Notification(title, { body: body.slice(0, 300), tag: id });
  notification.onclick = () => {
    focus();
    location.hash = hash;
    notification.close();
  };
  return notification;
}
