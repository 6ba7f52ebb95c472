// The rows of a session: just those near the view are in the page, and what the reader looks at stays where it is.
//
// Invariant: the place is kept by a row and its distance from the view's top, never by a number of pixels from the beginning: what is
// above may be guessed, grow, come or go.

import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { isPending } from '../approval.js';
import { Extent } from '../extent.js';
import { html } from '../html.js';
import { Row } from './event.js';
import { highlight } from './highlight.js';
import { Kept } from './kept.js';

/** @typedef {import('../store.js').Item} Item */
/** @typedef {import('../live.js').LiveSession} LiveSession */

/** Pixels from the end that still count as the end: less than a line. */
const AT_END = 24;
/** Pixels from either end of the window at which more is asked for: about a screen. */
const NEAR = 900;
/** Pixels above and below the view that are drawn, and how few of them may be left before more are. */
const [DRAWN, LEFT] = [700, 250];
/** Rows that are kept drawn wherever they are: what waits for a person, who may have begun to write. */
const PINNED = 20;

/** What the reader looks at. */
class Place {
  extent = new Extent();
  /** @type {HTMLElement | null} */ scroller = null;
  /** @type {HTMLOListElement | null} */ list = null;
  /** The row that holds the view, and its distance from the view's top. */ anchor = { key: '', delta: 0 };
  /** Rows that are drawn. */ from = 0;
  to = 0;
  top = 0;
  height = 800;
  /** Pixels before the first row. */ before = 0;
  /** The place that was last gone to. */ target = 0;
  /** The one whose row was given the focus. */ arrived = 0;

  /** @param {number} at */
  put(at, delta = 0) {
    this.anchor = { key: this.extent.items[at]?.key ?? '', delta };
  }

  /** The view's top, from the first row's. @param {boolean} following */
  view(following) {
    const { extent, anchor, height } = this;
    if (following) return Math.max(0, extent.start(extent.items.length) - height);
    const at = extent.indexOf(anchor.key);
    return at < 0 ? this.top - this.before : extent.start(at) - anchor.delta;
  }

  /** Chooses what is drawn. @param {boolean} following */
  choose(following) {
    const top = this.view(following);
    this.from = this.extent.at(top - DRAWN);
    this.to = Math.min(this.extent.items.length, this.extent.at(top + this.height + DRAWN) + 1);
  }

  /** Whether what is drawn is about to run out. */
  get isShort() {
    const { items } = this.extent;
    const [first, last] = [this.row(items[this.from]?.key ?? ''), this.row(items[this.to - 1]?.key ?? '')];
    if (!this.scroller || !first || !last) return items.length > 0;
    const { top, bottom } = this.scroller.getBoundingClientRect();
    const above = this.from > 0 && first.getBoundingClientRect().top > top - LEFT;
    const below = this.to < items.length && last.getBoundingClientRect().bottom < bottom + LEFT;
    return above || below;
  }

  /** Holds on to the first row in view. Where none is drawn, it is the one that the space was drawn for. */
  hold() {
    if (!this.scroller || !this.list) return;
    const top = this.scroller.getBoundingClientRect().top;
    const rows = this.list.children;
    let [low, high] = [0, rows.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].getBoundingClientRect().bottom <= top) low = middle + 1;
      else high = middle;
    }
    const row = /** @type {HTMLElement | undefined} */ (rows[low]);
    if (!row) return;
    const delta = row.getBoundingClientRect().top - top;
    if (row.dataset.key) this.anchor = { key: row.dataset.key, delta };
    else {
      const at = this.extent.within(Number(row.dataset.from), Number(row.dataset.to), -delta / row.offsetHeight);
      this.put(at);
    }
  }

  /** @param {string} key @returns {HTMLElement | null} */
  row(key) {
    return this.list?.querySelector(`:scope > [data-key="${CSS.escape(key)}"]`) ?? null;
  }
}

/**
 * The scrolling of a session: keeps the end in view while the reader is there, and else the row that is looked at.
 * @param {LiveSession} live
 */
export function usePlace(live) {
  const place = useMemo(() => new Place(), [live]);
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const atEnd = useSignal(live.following);
  /** Counts what has to be drawn anew. */
  const drawn = useSignal(0);

  const reach = (/** @type {HTMLElement} */ element) => {
    if (!live.ready.value) return;
    const left = element.scrollHeight - element.clientHeight - place.top;
    if (live.older.value && place.top < NEAR && !(live.following && element.scrollHeight > element.clientHeight + NEAR)) live.loadOlder();
    else if (live.detached.value && left < NEAR) live.loadNewer();
  };
  /** Puts the view where it belongs, after anything was drawn. */
  const settle = () => {
    const { scroller: element, list } = place;
    if (!element || !list) return;
    place.height = element.clientHeight;
    const top = element.getBoundingClientRect().top;
    place.before = list.getBoundingClientRect().top - top + element.scrollTop;
    const row = place.row(place.anchor.key);
    if (live.following) element.scrollTop = element.scrollHeight;
    else if (row) {
      const moved = row.getBoundingClientRect().top - top - place.anchor.delta;
      if (Math.abs(moved) >= 0.5) element.scrollTop += moved;
    }
    place.top = element.scrollTop;
    reach(element);
  };
  const again = () => {
    if (place.isShort) drawn.value += 1;
  };
  const set = (/** @type {boolean} */ following) => {
    live.following = following;
    atEnd.value = following;
    if (following) live.unseen.value = 0;
  };
  const onScroll = () => {
    const element = place.scroller;
    if (!element) return;
    const before = place.top;
    place.top = element.scrollTop;
    // Of rows that are about to be others nothing follows.
    if (live.loading.peek() === 'end') return;
    const left = element.scrollHeight - element.clientHeight - place.top;
    // What grows under the reader also moves the end away: only a move upwards is a wish to stay.
    if (left < AT_END && !live.detached.value) set(true);
    else if (place.top < before - 1) set(false);
    place.hold();
    again();
    reach(element);
  };
  const toEnd = async () => {
    set(true);
    await live.toEnd();
    drawn.value += 1;
  };
  const observer = useMemo(() => {
    return new ResizeObserver((entries) => {
      for (const { target, borderBoxSize } of entries) {
        const { key, kind } = /** @type {HTMLElement} */ (target).dataset;
        // A row that has left the page has no size.
        if (key && kind && target.isConnected) place.extent.measure(key, kind, borderBoxSize[0].blockSize);
      }
      settle();
      // Not now: what is drawn within an observer's turn may be observed too late.
      if (place.isShort) requestAnimationFrame(again);
    });
  }, [place]);
  useLayoutEffect(() => {
    place.scroller = scroller.current;
    if (!scroller.current) return;
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, [place]);
  // So that the arrow and page keys scroll it at once.
  useLayoutEffect(() => scroller.current?.focus({ preventScroll: true }), []);
  // A link to a place in what is open already.
  useEffect(() => live.target.subscribe(() => (atEnd.value = live.following)), [live]);
  return { place, scroller, atEnd, drawn, observer, settle, onScroll, toEnd };
}

/** @param {{ live: LiveSession, follow: ReturnType<typeof usePlace>, filter: ((item: Item) => boolean) | null, isPart: boolean, words: string }} props */
export function Rows({ live, follow, filter, isPart, words }) {
  const { place, observer } = follow;
  const kept = useMemo(() => /** @type {Map<string, Map<string, any>>} */ (new Map()), [live]);
  const list = useRef(/** @type {HTMLOListElement | null} */ (null));
  live.timeline.changed.value;
  follow.drawn.value;
  const items = filter ? live.timeline.items.filter(filter) : live.timeline.items;
  const marked = point(live, place, items);
  place.choose(live.following);
  useLayoutEffect(() => {
    place.list = list.current;
    follow.settle();
    if (marked && place.arrived !== place.target) arrive(place, marked.key);
    highlight(list.current, words);
    if (place.isShort) requestAnimationFrame(() => place.isShort && (follow.drawn.value += 1));
  });
  useEffect(() => () => highlight(null, ''), []);
  const { from, to, extent } = place;
  /** @type {any[]} */
  const rows = [];
  let end = 0;
  // How many there are is known where the window has all.
  const size = live.older.value || live.detached.value ? -1 : items.length;
  for (const at of chosen(items, from, to)) {
    if (at > end) rows.push(space(extent, end, at));
    rows.push(html`<${Held} key=${items[at].key} item=${items[at]} kept=${kept} observer=${observer} marked=${items[at] === marked} at=${at + 1} size=${size} />`);
    end = at + 1;
  }
  if (end < items.length) rows.push(space(extent, end, items.length));
  return html`<div class="wire">
    ${live.ready.value && html`<p class="edge">${live.older.value ? 'Earlier events…' : items.length > 0 ? 'The beginning' : isPart ? 'Nothing of this kind' : 'No events yet'}</p>`}
    <ol aria-label="Events" ref=${list}>
      ${rows}
    </ol>
    ${live.detached.value && html`<p class="edge">Later events…</p>`}
  </div>`;
}

/** Takes the rows, and the view to the place that is pointed at. @param {LiveSession} live @param {Place} place @param {Item[]} items */
function point(live, place, items) {
  place.extent.set(items);
  const target = live.target.value;
  const marked = target > 0 ? live.timeline.rowOf(target) : undefined;
  // A window that is about to be another one is passed over.
  const isHere = target >= live.timeline.first && target <= live.timeline.last;
  if (live.ready.value && marked && target !== place.target && (isHere || !live.loading.value)) {
    place.target = target;
    const at = items.indexOf(marked);
    if (at >= 0 && !live.following) place.put(at, Math.round(place.height / 3));
  }
  if (!target) place.target = 0;
  return marked;
}

/** The keys go on from what was gone to, where nothing else has them. @param {Place} place @param {string} key */
function arrive(place, key) {
  const { activeElement } = document;
  const row = place.row(key);
  if (!row) return;
  place.arrived = place.target;
  if (activeElement === document.body || activeElement === place.scroller || activeElement?.matches('.item')) row.focus({ preventScroll: true });
}

/** What stands for rows that are not drawn. @param {Extent} extent @param {number} from @param {number} to */
function space(extent, from, to) {
  const height = `${extent.start(to) - extent.start(from)}px`;
  return html`<li key=${from === 0 ? 'before' : `after-${extent.items[from - 1].key}`} class="space" role="presentation" data-from=${from} data-to=${to} style=${{ height }}></li>`;
}

/** The rows that are drawn: those in view, the one that has the focus, and what waits. @param {Item[]} items @param {number} from @param {number} to */
function chosen(items, from, to) {
  const all = new Set(Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at));
  const focused = /** @type {HTMLElement | null | undefined} */ (document.activeElement?.closest('.item'))?.dataset.key;
  let pinned = 0;
  items.forEach((item, at) => {
    if (item.key === focused || (item.kind === 'approval' && isPending(item.approval) && pinned++ < PINNED)) all.add(at);
  });
  return [...all].sort((a, b) => a - b);
}

/** @param {{ item: Item, kept: Map<string, Map<string, any>>, observer: ResizeObserver, marked: boolean, at: number, size: number }} props */
function Held({ item, kept, observer, ...of }) {
  const own = useMemo(() => {
    const found = kept.get(item.key) ?? new Map();
    kept.set(item.key, found);
    return found;
  }, [item.key]);
  // A row in which nobody has unfolded anything leaves nothing behind: rows without number go by.
  useLayoutEffect(() => () => void (own.size === 0 && kept.delete(item.key)), [own]);
  const row = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const element = row.current;
    if (!element) return;
    observer.observe(element);
    return () => observer.unobserve(element);
  }, [observer]);
  return html`<${Kept.Provider} value=${own}><${Row} item=${item} row=${row} ...${of} /><//>`;
}
