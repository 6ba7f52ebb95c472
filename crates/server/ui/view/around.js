// What views have around them, wherever they stand in the page.

import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

/**
 * @typedef {object} Around
 * @property {import('../inbox.js').Inbox} inbox
 * @property {import('../live.js').Live} live what the view shows: it says whether that is current
 * @property {(id: string) => boolean} isAsked whether an approval that looks pending may be so: its decision may be out of view
 * @property {boolean} [isPast] whether it is a replay: nothing in it may be decided or ordered
 */

export const Around = createContext(/** @type {Around} */ (/** @type {unknown} */ (null)));

/** @returns {Around} */
export const useAround = () => useContext(Around);
