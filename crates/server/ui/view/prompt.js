// The means to decide one approval: approve, always, edit, deny.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { oneLine, plain } from '../format.js';
import { html } from '../html.js';
import { isObject } from '../loose.js';
import { questionsOf } from '../question.js';
import { mayControl } from '../rights.js';
import { useAround } from './around.js';
import { Questions } from './question.js';

/** Bytes of what is said or changed, as the server takes them. */
const BYTES = 64 * 1024;

/** @typedef {import('../approval.js').Approval} Approval */
/** @typedef {(decision: Wire.Decision) => Promise<void>} Decide */

/** @param {{ approval: Approval, inbox: import('../inbox.js').Inbox }} props */
export function Prompt({ approval, inbox }) {
  const { live } = useAround();
  const [form, setForm] = useState(/** @type {'' | 'deny' | 'edit'} */ (''));
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState('');
  const root = useRef(/** @type {HTMLDivElement | null} */ (null));
  // What has the focus here goes away with the question, whoever has answered it: the keys go on from its row.
  useLayoutEffect(
    () => () => {
      // Looked up when it goes: at the first drawing it was not yet known who may decide, and there was nothing here.
      const row = root.current?.closest('.item, .ask');
      if (row instanceof HTMLElement && root.current?.contains(document.activeElement)) row.focus({ preventScroll: true });
    },
    [],
  );
  // Not yet known who asks.
  if (!inbox.me.value) return null;
  if (!mayControl(inbox.me.value, approval.session)) return html`<p class="label decide">Somebody else has to decide this: your sign-in may not.</p>`;
  // While the connection catches up it may have been decided already.
  const idle = busy || live.status.value.kind !== 'live';
  const toRow = () => /** @type {HTMLElement | null | undefined} */ (root.current?.closest('.item, .ask'))?.focus({ preventScroll: true });
  const back = () => {
    setForm('');
    toRow();
  };
  /** @type {Decide} */
  const decide = async (decision) => {
    if (idle) return;
    setBusy(true);
    setFailed('');
    inbox.late.value = null;
    try {
      inbox.settle(await api.decide(approval.id, decision));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(refused(error, inbox));
    } finally {
      setBusy(false);
    }
  };
  const questions = questionsOf(approval.tool, approval.args);
  return html`<div class="decide" ref=${root} aria-busy=${busy}>
    ${questions.length > 0 && html`<${Questions} tool=${approval.tool} args=${approval.args} questions=${questions} idle=${idle} decide=${decide} />`}
    <div class="choices">
      ${questions.length === 0 && html`<${Choice} name="Approve" letter="a" idle=${idle} onClick=${() => decide({ decision: 'approve' })} main />`}
      <${Choice} name="Deny…" letter="d" idle=${idle} open=${form === 'deny'} onClick=${() => setForm(form === 'deny' ? '' : 'deny')} />
      ${approval.whole === 0 &&
      html`<${Choice} name="Edit…" letter="e" idle=${idle} open=${form === 'edit'} onClick=${() => setForm(form === 'edit' ? '' : 'edit')} />`}
      ${questions.length === 0 &&
      html`<${Choice} letter="w" name=${`Always allow ${oneLine(approval.tool) || 'this tool'} in this session`} idle=${idle} onClick=${() => decide({ decision: 'approve', always: true })} />`}
    </div>
    ${form === 'deny' && html`<${Deny} idle=${idle} decide=${decide} back=${back} />`}
    ${form === 'edit' && html`<${Edit} args=${approval.args} idle=${idle} decide=${decide} back=${back} />`}
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
  </div>`;
}

/** @param {ApiError} error @param {import('../inbox.js').Inbox} inbox */
function refused(error, inbox) {
  const found = isObject(error.details.approval) ? error.details.approval : error.details;
  if (error.code === 'conflict' && typeof found.id === 'string') {
    // Told where it is shown: what decides it has left by then.
    inbox.lost(/** @type {Wire.Approval} */ (/** @type {unknown} */ (found)));
    return '';
  }
  return `Not decided: ${error.message}.`;
}

/**
 * It keeps its focus while it is idle, so that the keys go on where they were.
 * @param {{ name: string, letter?: string, idle: boolean, open?: boolean, main?: boolean, onClick: () => void }} props
 */
function Choice({ name, letter, idle, open, main = false, onClick }) {
  return html`<button
    class=${main ? '' : 'quiet'}
    data-key=${letter}
    title=${letter && `Key: ${letter}`}
    aria-disabled=${idle}
    aria-expanded=${open}
    onClick=${() => idle || onClick()}
  >
    ${name}
  </button>`;
}

/** @param {{ idle: boolean, decide: Decide, back: () => void }} props */
function Deny({ idle, decide, back }) {
  const field = useFocus();
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    const message = field.current?.value.trim();
    decide({ decision: 'deny', ...(message ? { message } : {}) });
  };
  return html`<form class="answer" onSubmit=${submit} onKeyDown=${escaped(back)}>
    <label>What the agent is told <input ref=${field} name="message" maxlength="4000" autocomplete="off" placeholder="optional" /></label>
    <button class="danger" aria-disabled=${idle}>Deny</button>
    <button type="button" class="quiet" onClick=${back}>Back</button>
  </form>`;
}

/** @param {{ args: unknown, idle: boolean, decide: Decide, back: () => void }} props */
function Edit({ args, idle, decide, back }) {
  const field = useFocus();
  const [wrong, setWrong] = useState('');
  // What stands there first: nothing in it may be hidden from who changes it, or lost.
  const [before] = useState(() => JSON.stringify(args ?? {}, null, 2));
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    const read = readArguments(field.current?.value ?? '');
    setWrong(typeof read === 'string' ? read : '');
    if (typeof read === 'string') field.current?.focus();
    else decide({ decision: 'approve', arguments: read });
  };
  return html`<form class="answer edit" onSubmit=${submit} onKeyDown=${escaped(back)}>
    <label>Arguments, as JSON
      <textarea ref=${field} name="arguments" spellcheck="false" rows="6" aria-invalid=${wrong !== ''} aria-describedby="wrong" defaultValue=${before}></textarea>
    </label>
    <p id="wrong" class="notice" role="alert">${wrong}</p>
    <button aria-disabled=${idle}>Approve with these</button>
    <button type="button" class="quiet" onClick=${back}>Back</button>
  </form>`;
}

/** Arguments that were typed, or what is wrong with them. @param {string} text @returns {Record<string, unknown> | string} */
export function readArguments(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch (error) {
    return `This is no JSON: ${plain(error instanceof Error ? error.message : '')}.`;
  }
  if (!isObject(read)) return 'Arguments are an object: { … }.';
  const bytes = new TextEncoder().encode(JSON.stringify(read)).length;
  return bytes > BYTES ? `These are ${bytes} bytes; at most ${BYTES} can be sent.` : read;
}

/** A field that has the focus from the start. */
function useFocus() {
  const field = useRef(/** @type {any} */ (null));
  // Before the next key comes.
  useLayoutEffect(() => field.current?.focus(), []);
  return field;
}

/** @param {() => void} back */
const escaped = (back) => (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Escape') return;
  event.preventDefault();
  event.stopPropagation();
  back();
};
