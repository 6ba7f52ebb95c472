// Keys of a list of links: `j` and `k`, or the arrows, move the focus through it; Enter is the link's own.

import { useEffect } from 'preact/hooks';
import { isShortcut } from './keys.js';

/** @param {{ current: HTMLElement | null }} list @param {string} [what] selects what takes the focus */
export function useRowKeys(list, what = 'a.row') {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      if (!isShortcut(event)) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const all = [.../** @type {NodeListOf<HTMLElement>} */ (list.current?.querySelectorAll(what) ?? [])];
      if (!step || all.length === 0) return;
      const at = all.findIndex((link) => link === document.activeElement);
      const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
      all[next].focus();
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}
