// The address: which view, what it is about, and its filters. All that a reader would want to send on, or to find again, is in it.

import { signal } from '@preact/signals-core';

/** `#/VIEW/ID?FILTERS`. @typedef {{ view: string, id: string, query: URLSearchParams }} Route */

/** @param {string} hash @returns {Route} */
export function routeOf(hash) {
  const [, path, query] = /^#?\/?([^?]*)\??(.*)$/s.exec(hash) ?? ['', '', ''];
  const at = path.indexOf('/');
  const [view, id] = at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)];
  return { view: decoded(view), id: decoded(id), query: new URLSearchParams(query) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {{ view?: string, id?: string, query?: Record<string, string> }} route */
export function hashOf({ view = '', id = '', query = {} }) {
  const path = [view, id].filter(Boolean).map(encodeURIComponent).join('/');
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${path}${text ? `?${text}` : ''}`;
}

/** Where the page is. */
export const route = signal(routeOf(location.hash));

/** Takes in the address. */
export function arrived() {
  route.value = routeOf(location.hash);
}

/** Changes filters in place: going back leaves the view instead of undoing one letter after another. @param {Record<string, string>} changes */
export function filter(changes) {
  const { view, id, query } = route.peek();
  const hash = hashOf({ view, id, query: { ...Object.fromEntries(query), ...changes } });
  if (hash === location.hash) return;
  history.replaceState(null, '', hash);
  arrived();
}

/** The address of a session, at one of its events and with the words that were searched for, where they are given. @param {string} id @param {number} [at] */
export const sessionHash = (id, at, q = '') => hashOf({ view: 'session', id, query: { at: String(at ?? ''), q } });
