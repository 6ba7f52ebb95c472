// What a person has unfolded in a row, kept while the row is out of the page.

import { createContext } from 'preact';
import { useContext, useState } from 'preact/hooks';

/** What a row keeps, by name; null where rows stay in the page. @type {import('preact').Context<Map<string, any> | null>} */
export const Kept = createContext(/** @type {Map<string, any> | null} */ (null));

/**
 * State that outlives its row's leaving the page. @template T @param {string} name @param {T} initial @returns {[T, (value: T) => void]}
 */
export function useKept(name, initial) {
  const kept = useContext(Kept);
  const [value, set] = useState(/** @type {T} */ (kept?.has(name) ? kept.get(name) : initial));
  return [
    value,
    (next) => {
      kept?.set(name, next);
      set(() => next);
    },
  ];
}
