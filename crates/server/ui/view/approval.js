// An approval: what is asked, and what became of it or the means to decide it.

import { useEffect, useMemo, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { approvalOf, isPending } from '../approval.js';
import { minute, now, oneLine, whole } from '../format.js';
import { html } from '../html.js';
import { isObject } from '../loose.js';
import { answersOf, questionsOf } from '../question.js';
import { Arguments, Difference, editOf, pretty } from './arguments.js';
import { useAround } from './around.js';
import { Clip, DECIDED } from './clip.js';
import { Prompt } from './prompt.js';

/** @typedef {import('../approval.js').Approval} Approval */

/** @param {{ approval: Approval }} props */
export function ApprovalCard({ approval: asked }) {
  const { inbox, isAsked, isPast } = useAround();
  const open = isPending(asked) && !isPast && isAsked(asked.id);
  const approval = useDecided(asked, isPending(asked) && !open && !isPast && inbox.ready.value);
  const questions = useMemo(() => questionsOf(approval.tool, approval.args), [approval.tool, approval.args]);
  const answers = useMemo(() => answersOf(questions, approval.changed), [questions, approval.changed]);
  const isQuestion = questions.length > 0;
  return html`<div class="card approval" data-approval=${approval.id} data-state=${approval.state}>
    <div class="head">
      <bdi class="tool-name">${oneLine(approval.tool) || 'tool'}</bdi>
      <bdi class="detail">${oneLine(approval.title)}</bdi>
      <span class="outcome">${open ? (isQuestion ? 'waits for an answer' : 'waits for approval') : isPending(approval) ? (isPast ? 'waits at this moment' : 'decided later') : verdict(approval)}</span>
      ${open && html`<${Until} at=${approval.expires} />`}
    </div>
    ${!isQuestion && html`<${Asked} args=${approval.args} bound=${DECIDED} />`}
    ${approval.whole > 0 &&
    html`<p class="label changed">
      This is a part of ${whole(approval.whole)} bytes. <a href=${`#/session/${encodeURIComponent(approval.session)}`}>The session has the whole.</a>
    </p>`}
    ${isQuestion && !open && html`<${Arguments} rest=${answers} bound=${DECIDED} />`}
    ${approval.changed !== undefined &&
    !isQuestion &&
    html`<p class="label changed">Approved with these arguments instead</p>
      <${Asked} args=${approval.changed} bound=${DECIDED} />`}
    ${approval.message && html`<${Clip} class="said" text=${approval.message} ...${DECIDED} />`}
    ${inbox.late.value?.id === approval.id && html`<p class="notice" role="alert">Your answer came second, and changed nothing.</p>`}
    ${open && html`<${Prompt} approval=${approval} inbox=${inbox} />`}
  </div>`;
}

/** It as the server has it, where what became of it is out of the window. @param {Approval} asked @param {boolean} isOut @returns {Approval} */
function useDecided(asked, isOut) {
  const [said, setSaid] = useState(/** @type {Approval | null} */ (null));
  useEffect(() => {
    if (!isOut) return;
    const left = new AbortController();
    api.approval(asked.id, left.signal).then(
      (found) => left.signal.aborted || setSaid(approvalOf(found)),
      (error) => {
        // It is still told that it was decided.
        if (!(error instanceof ApiError) && !left.signal.aborted) throw error;
      },
    );
    return () => left.abort();
  }, [asked.id, isOut]);
  return isOut && said ? said : asked;
}

/** @param {Approval} approval */
export function verdict({ state, by, always }) {
  if (!state) return 'cannot be decided: it has no id';
  const who = by === 'rule' ? ' by the rule of this session' : by ? ` by ${oneLine(by)}` : '';
  return `${oneLine(state)}${who}${always ? ', and from now on' : ''}`;
}

/** How long it may still be decided. @param {{ at: string }} props */
export function Until({ at }) {
  const left = Math.ceil((Date.parse(at) - now.value) / 1000);
  if (Number.isNaN(left)) return null;
  const text = left > 90 ? `until ${minute(at)}` : left > 0 ? `${left} s left` : 'expires';
  return html`<span class="took" title="Until it is decided, the agent waits; then it is denied">${text}</span>`;
}

/** Names of what is run. */
const COMMANDS = ['command', 'cmd'];

/**
 * What would be done: a command as one, an edit as the lines that change, anything else by name.
 * @param {{ args: unknown, bound: { lines: number, chars: number } }} props
 */
export function Asked({ args, bound }) {
  const { command, edit, rest } = useMemo(() => split(args), [args]);
  return html`${command && html`<${Clip} class="output command" label="Command" text=${command} ...${bound} />`}
    <${Arguments} rest=${rest} bound=${bound} />
    ${edit && html`<${Difference} lines=${edit.lines} />`}`;
}

/** @param {unknown} args */
function split(args) {
  const nothing = { command: '', edit: null, rest: /** @type {[string, string][]} */ ([]) };
  if (args === undefined || args === null) return nothing;
  if (!isObject(args)) return { ...nothing, rest: /** @type {[string, string][]} */ ([['', pretty(args)]]) };
  const key = COMMANDS.find((name) => args[name] !== undefined) ?? '';
  const value = args[key];
  const command = Array.isArray(value) ? JSON.stringify(value) : value === undefined ? '' : pretty(value);
  const edit = editOf(args);
  const others = Object.entries(args).filter(([name]) => name !== key && !edit?.keys.includes(name));
  return { command, edit, rest: others.map(([name, other]) => /** @type {[string, string]} */ ([name, pretty(other)])) };
}
