// A link that shows this session, and nothing else, to whoever has it.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { minute } from '../format.js';
import { html } from '../html.js';
import { Copy } from './copy.js';

const DAY_MS = 86_400_000;

/** @param {{ id: string, session: import('./frame.js').Session }} props */
export function Share({ id, session }) {
  const [open, setOpen] = useState(false);
  if (!session.inbox.me.value?.scopes.includes('admin')) return null;
  return html`<button class="quiet share" onClick=${() => setOpen(true)}>Share…</button>${open && html`<${Form} id=${id} close=${() => setOpen(false)} />`}`;
}

/** @param {{ id: string, close: () => void }} props */
function Form({ id, close }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [made, setMade] = useState(/** @type {Wire.Shared | null} */ (null));
  const [failed, setFailed] = useState('');
  useLayoutEffect(() => dialog.current?.showModal(), []);
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    const days = Number(new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get('days'));
    try {
      setFailed('');
      setMade(await api.share(id, days * DAY_MS));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(`There is no link: ${error.message}.`);
    }
  };
  return html`<dialog class="help sharing" ref=${dialog} aria-labelledby="share-title" onClose=${close}>
    <h2 id="share-title">Share this session</h2>
    <p>Whoever has the link sees this session, as it goes on, without signing in: nothing else, and they can change nothing.</p>
    ${made
      ? html`<${Copy} label="Link" text=${made.url} /><p class="hint">Until ${minute(made.expires)}. It is listed under <a href="#/access" onClick=${() => dialog.current?.close()}>Access</a>, where it is taken back.</p>`
      : html`<form class="form" onSubmit=${submit}>
          <label>Ends <select name="days"><option value="1">in a day</option><option value="7" selected>in a week</option><option value="30">in 30 days</option></select></label>
          <button>Make the link</button>
        </form>`}
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    <form method="dialog"><button class="quiet">Close</button></form>
  </dialog>`;
}
