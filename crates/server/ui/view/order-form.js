// An order that has arguments: a dialog that asks for them.

import { useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { oneLine } from '../format.js';
import { html } from '../html.js';
import { uuid } from '../id.js';
import { nameOf } from '../order.js';
import { Dialog, shut } from './dialog.js';

/** @typedef {{ name: string, label: string, long?: boolean, required?: boolean, hint?: string }} Argument */

/** @type {Record<string, { says: string, fields: Argument[] }>} */
const FORMS = {
  compact: { says: 'The context is made shorter.', fields: [{ name: 'instructions', label: 'What is to be kept', long: true, hint: 'optional' }] },
  set_model: { says: 'From the next turn on.', fields: [{ name: 'model', label: 'Model, in the vendor’s name of it', required: true }] },
  new_session: {
    says: 'Begins with an empty context.',
    fields: [
      { name: 'prompt', label: 'What it begins with', long: true, hint: 'optional' },
      { name: 'model', label: 'Model', hint: 'optional' },
    ],
  },
};

/**
 * Orders something of an agent, or of one of its sessions. What comes back is why not, for people. A new session begins under an id
 * of this page's, so that it can be looked at before it has begun: the page goes there.
 * @param {string} agent
 * @param {string} action
 * @param {Record<string, unknown>} args
 * @param {string} [session]
 */
export async function ordered(agent, action, args, session) {
  const session_id = action === 'new_session' ? uuid() : session;
  try {
    await api.order({ id: uuid(), agent, session_id, action, args });
    if (action === 'new_session') location.hash = `#/session/${session_id}`;
    return '';
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return `${nameOf(action)} was not ordered: ${error.message}.`;
  }
}

/**
 * @param {{ action: string, agent: string, give: (action: string, args: Record<string, unknown>) => Promise<void>, close: () => void }} props
 */
export function OrderForm({ action, agent, give, close }) {
  const [busy, setBusy] = useState(false);
  const { says, fields } = FORMS[action] ?? { says: '', fields: [] };
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const typed = new FormData(form);
    const args = fields.map(({ name }) => /** @type {const} */ ([name, String(typed.get(name) ?? '').trim()])).filter(([, value]) => value !== '');
    setBusy(true);
    await give(action, Object.fromEntries(args));
    form.closest('dialog')?.close();
  };
  return html`<${Dialog} class="order-form" title=${html`${nameOf(action)}: <bdi>${oneLine(agent)}</bdi>`} close=${close}>
    <p class="label">${says}</p>
    <form onSubmit=${submit}>
      ${fields.map(
        ({ name, label, long, required, hint }, at) =>
          html`<label key=${name}>
            ${label}
            ${long
              ? html`<textarea name=${name} rows="4" placeholder=${hint} autofocus=${at === 0}></textarea>`
              : html`<input name=${name} required=${required} placeholder=${hint} autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="256" autofocus=${at === 0} />`}
          </label>`,
      )}
      <div class="choices">
        <button aria-disabled=${busy}>${nameOf(action)}</button>
        <button type="button" class="quiet" onClick=${shut}>Back</button>
      </div>
    </form>
  <//>`;
}
