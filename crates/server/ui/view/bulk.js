// Several approvals that were chosen, answered together.

import { useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { count } from '../format.js';
import { html } from '../html.js';

/** Approvals in one request, as the server takes them. */
const MOST = 1000;

/** @param {{ inbox: import('../inbox.js').Inbox, ids: string[], clear: () => void }} props */
export function Bulk({ inbox, ids, clear }) {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState('');
  const [denying, setDenying] = useState(false);
  const idle = busy || inbox.status.value.kind !== 'live';
  /** @param {'approve' | 'deny'} decision @param {string} [message] */
  const decide = async (decision, message) => {
    if (idle) return;
    setBusy(true);
    setSaid('');
    try {
      const { results } = await api.decideAll({ ids: ids.slice(0, MOST), decision, ...(message ? { message } : {}) });
      for (const { approval } of results) if (approval) inbox.settle(approval);
      setSaid(outcome(decision, results));
      setDenying(false);
      clear();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setSaid(`Not decided: ${error.message}.`);
    } finally {
      setBusy(false);
    }
  };
  /** @param {SubmitEvent} event */
  const deny = (event) => {
    event.preventDefault();
    const message = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get('message');
    decide('deny', typeof message === 'string' ? message.trim() : '');
  };
  return html`<div class=${ids.length > 0 ? 'bulk' : 'told'} role="group" aria-label="Those that are selected">
    <span role="status">${ids.length > 0 ? `${ids.length} selected` : said}</span>
    ${ids.length > 0 &&
    html`<button data-key="a" aria-disabled=${idle} onClick=${() => decide('approve')}>Approve ${ids.length}</button>
      ${denying
        ? html`<form class="answer" onSubmit=${deny}>
            <input name="message" aria-label="What the agents are told" placeholder="What the agents are told: optional" autocomplete="off" maxlength="4000" autofocus />
            <button class="danger" aria-disabled=${idle}>Deny ${ids.length}</button>
          </form>`
        : html`<button class="quiet" data-key="d" aria-disabled=${idle} onClick=${() => setDenying(true)}>Deny…</button>`}
      <button class="quiet" onClick=${clear}>Select none</button>
      ${said && html`<span class="failed" role="alert">${said}</span>`}`}
  </div>`;
}

/** @param {'approve' | 'deny'} decision @param {Wire.Decided[]} results */
function outcome(decision, results) {
  const failed = results.filter(({ error }) => error);
  const done = `${decision === 'approve' ? 'Approved' : 'Denied'} ${results.length - failed.length}.`;
  if (failed.length === 0) return done;
  return `${done} ${count(failed.length, 'other')} not: ${[...new Set(failed.map(({ error }) => error?.message))].slice(0, 3).join('; ')}.`;
}
