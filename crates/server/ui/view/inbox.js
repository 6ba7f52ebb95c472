// The inbox: what waits for a person, over all sessions, to be answered from here.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ago, nameOf, now, oneLine } from '../format.js';
import { html } from '../html.js';
import { isShortcut, press } from '../keys.js';
import { notifying, toggleNotifying } from '../notify.js';
import { questionsOf } from '../question.js';
import { mayControl } from '../rights.js';
import { title } from '../title.js';
import { ApprovalCard, verdict } from './approval.js';
import { Around } from './around.js';
import { Bulk } from './bulk.js';
import { Command } from './command.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { State } from './state.js';

/** @param {{ session: import('./frame.js').Session }} props */
export function InboxPage({ session }) {
  const { inbox } = session;
  useEffect(() => {
    title.value = 'Inbox · Turnwire';
  }, []);
  const around = { inbox, live: inbox, isAsked: (/** @type {string} */ id) => inbox.pending.value.has(id) };
  return html`<${Around.Provider} value=${around}>
    <${Top} live=${inbox} session=${session}><h1>Inbox</h1><${Notify} /><//>
    <main class="scroll sessions inbox" tabindex="-1" aria-busy=${!inbox.ready.value}>
      ${inbox.failure.value ? html`<${Failure} error=${inbox.failure.value} />` : inbox.ready.value && html`<${List} inbox=${inbox} />`}
    </main>
  <//>`;
}

/** Whether the browser tells of what waits while nobody looks. */
function Notify() {
  const standing = notifying.value;
  if (standing === 'missing') return null;
  if (standing === 'blocked') return html`<span class="soft" title="Your browser was told not to let this page notify you">Notifications are blocked</span>`;
  return html`<button class="quiet share" aria-pressed=${standing === 'on'} onClick=${toggleNotifying}>${standing === 'on' ? 'Notifies you' : 'Notify me'}</button>`;
}

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
function List({ inbox }) {
  const [approvals, needs, trouble] = [inbox.approvals.value, inbox.needs.value, inbox.trouble.value];
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => () => void (inbox.late.value = null), []);
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  // Of those that are still there: what was answered elsewhere is not answered again.
  const chosen = approvals.filter(({ id }) => selected.has(id)).map(({ id }) => id);
  const choosable = approvals.filter((approval) => isChoosable(inbox, approval)).map(({ id }) => id);
  const select = (/** @type {string} */ id) => setSelected((before) => toggled(before, id));
  useKeys(list);
  useLeft(list, approvals);
  if (approvals.length + needs.length + trouble.length === 0) return html`<${Late} inbox=${inbox} /><${Empty} inbox=${inbox} />`;
  return html`<div ref=${list}>
    <${Late} inbox=${inbox} />
    ${approvals.length > 0 &&
    html`<section aria-label="Approvals">
      <h2>
        Waits for approval <span class="count">${approvals.length}${inbox.more.value && ', and more'}</span>
        ${choosable.length > 1 && html` <button class="link" data-all onClick=${() => setSelected(new Set(choosable))}>Select all</button>`}
      </h2>
      <ol class="asks">
        ${approvals.map(
          (approval) =>
            html`<${Ask} key=${approval.id} approval=${approval} inbox=${inbox} selected=${selected.has(approval.id)} onSelect=${() => select(approval.id)} />`,
        )}
      </ol>
    </section>`}
    <${Sessions} name="Needs an answer" summaries=${needs} />
    <${Sessions} name="Failed, stalled, rate limited" summaries=${trouble} />
    <${Bulk} inbox=${inbox} ids=${chosen} clear=${() => setSelected(new Set())} />
  </div>`;
}

/** A question has no answer that fits several. @param {import('../inbox.js').Inbox} inbox @param {import('../approval.js').Approval} approval */
const isChoosable = (inbox, { session, tool, args }) => mayControl(inbox.me.value, session) && questionsOf(tool, args).length === 0;

/** What the reader has answered too late has left already: what became of it is said here. @param {{ inbox: import('../inbox.js').Inbox }} props */
function Late({ inbox }) {
  const late = inbox.late.value;
  return late && html`<p class="notice" role="alert"><bdi>${oneLine(late.tool)}</bdi> was <bdi>${verdict(late)}</bdi> before: your answer came second, and changed nothing.</p>`;
}

/** @param {Set<string>} before @param {string} id */
function toggled(before, id) {
  const after = new Set(before);
  if (!after.delete(id)) after.add(id);
  return after;
}

/**
 * @param {{ approval: import('../approval.js').Approval, inbox: import('../inbox.js').Inbox, selected: boolean, onSelect: () => void }} props
 */
function Ask({ approval, inbox, selected, onSelect }) {
  const name = nameOf(inbox.titleOf(approval.session), approval.session);
  const tool = oneLine(approval.tool);
  return html`<li class="ask ${selected ? 'selected' : ''}" data-ask=${approval.id} tabindex="-1" aria-label=${`${tool} in ${name}`}>
    <p class="line">
      ${isChoosable(inbox, approval) &&
      html`<input type="checkbox" data-key="x" aria-label=${`Select ${tool} in ${name}`} checked=${selected} onClick=${onSelect} />`}
      <a data-open href=${`#/session/${encodeURIComponent(approval.session)}`}><bdi>${name}</bdi></a>
      <bdi class="detail">${oneLine(approval.agent)}</bdi>
      <time class="ago" datetime=${approval.requested}>${ago(approval.requested, now.value)}</time>
    </p>
    <${ApprovalCard} approval=${approval} />
  </li>`;
}

/** @param {{ name: string, summaries: import('../summary.js').Summary[] }} props */
function Sessions({ name, summaries }) {
  if (summaries.length === 0) return null;
  return html`<section aria-label=${name}>
    <h2>${name} <span class="count">${summaries.length}</span></h2>
    <ol class="rows">
      ${summaries.map((summary) => html`<${Waiting} key=${summary.id} summary=${summary} />`)}
    </ol>
  </section>`;
}

/** @param {{ summary: import('../summary.js').Summary }} props */
function Waiting({ summary }) {
  const s = summary.session.value;
  const name = nameOf(s.title, s.id);
  const last = oneLine(s.last_text ?? '');
  return html`<li class="ask" data-ask=${s.id} tabindex="-1">
    <a class="row brief" data-open tabindex="-1" href=${`#/session/${encodeURIComponent(s.id)}`}>
      <${State} state=${s.state} />
      <span class="what">
        <bdi class="title">${name}</bdi>
        <bdi class="last">${last === name ? '' : last}</bdi>
      </span>
      <time class="ago" datetime=${s.last_activity}>${ago(s.last_activity, now.value)}</time>
    </a>
  </li>`;
}

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
function Empty({ inbox }) {
  return html`<section class="empty" role="status">
    <h2>Nothing waits for you</h2>
    <p>What agents ask before they do it appears here, and sessions that wait, fail or stall. To have an agent ask here, run it behind Turnwire:</p>
    <${Command} text="turnwire agent --name helper --adapter claude" inbox=${inbox} scopes=${['agent:helper', 'publish']} />
    <p>Or let the Claude Code that you start yourself ask here as well:</p>
    <${Command} text="turnwire hooks install" />
  </section>`;
}

/** @param {{ current: HTMLElement | null }} list */
const rowsOf = (list) => [.../** @type {NodeListOf<HTMLElement>} */ (list.current?.querySelectorAll('.ask') ?? [])];

/** `j` and `k` go from one to the next; the letters are those of its buttons. @param {{ current: HTMLElement | null }} list */
function useKeys(list) {
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      if (!isShortcut(event)) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      const row = document.activeElement?.closest('.ask');
      const bulk = list.current?.querySelector('.bulk');
      if (step) move(list, row, step);
      else if (event.key === 'X') /** @type {HTMLElement | null | undefined} */ (list.current?.querySelector('[data-all]'))?.click();
      else if (event.key === 'Enter' && event.target === row) /** @type {HTMLElement | null} */ (row?.querySelector('[data-open]'))?.click();
      // With some chosen, the letters are for all of them.
      else if (!press(bulk, event.key) && !press(row, event.key)) return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

/** @param {{ current: HTMLElement | null }} list @param {Element | null | undefined} row @param {number} step */
function move(list, row, step) {
  const rows = rowsOf(list);
  const at = rows.findIndex((other) => other === row);
  // Where the row was that has left, the next one stands now: `j` goes to it, and not past it.
  const left = Number(list.current?.dataset.left ?? (step > 0 ? 0 : rows.length));
  const next = at >= 0 ? at + step : step > 0 ? left : left - 1;
  const target = rows[Math.min(Math.max(next, 0), rows.length - 1)];
  target?.focus({ preventScroll: true });
  target?.scrollIntoView({ block: 'nearest' });
}

/**
 * The row that had the focus has left: no other takes it by itself, or a key that was meant for the one would answer the next.
 * @param {{ current: HTMLElement | null }} list
 * @param {import('../approval.js').Approval[]} approvals
 */
function useLeft(list, approvals) {
  const focused = useRef(-1);
  useEffect(() => {
    /** @param {FocusEvent} event */
    const onFocus = (event) => {
      if (!(event.target instanceof Element)) return;
      focused.current = rowsOf(list).findIndex((row) => row === /** @type {Element} */ (event.target).closest('.ask'));
      if (focused.current >= 0) delete list.current?.dataset.left;
    };
    addEventListener('focusin', onFocus);
    return () => removeEventListener('focusin', onFocus);
  }, []);
  useEffect(() => {
    if (focused.current < 0 || document.activeElement !== document.body || !list.current) return;
    list.current.dataset.left = String(focused.current);
    focused.current = -1;
  }, [approvals]);
}
