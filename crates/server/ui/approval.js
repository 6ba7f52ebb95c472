// One question that an agent waits on, and what became of it: folded from its request and the decisions after it.
//
// Invariant: the first decision in the log's order counts, whoever made it and whatever comes after it.

import { str } from './loose.js';

/**
 * @typedef {object} Approval
 * @property {string} id
 * @property {number} seq
 * @property {string} session
 * @property {string} agent
 * @property {string} tool
 * @property {string} title
 * @property {unknown} args
 * @property {number} whole bytes that the arguments have, where `args` is a part of them; else 0
 * @property {string} requested
 * @property {string} expires empty where that is not known
 * @property {string} state `pending`, `approved`, `denied`, `expired`, `withdrawn`; empty for a request that nobody can answer
 * @property {string} by who decided
 * @property {string} message what the agent is told
 * @property {unknown} changed what the tool is called with instead
 * @property {boolean} always
 */

/** What ends one; another word changes nothing. */
const ENDS = new Set(['approved', 'denied', 'expired', 'withdrawn']);

/** @param {Wire.Event} event @returns {Approval} */
export function asked(event) {
  const data = /** @type {Wire.Loose<Wire.ApprovalRequest>} */ (event.data ?? {});
  return {
    id: str(data.approval_id),
    seq: event.seq,
    session: event.session_id ?? '',
    agent: event.agent ?? '',
    tool: str(data.tool),
    title: str(data.title),
    args: data.arguments,
    whole: 0,
    requested: event.timestamp,
    expires: str(data.expires_at),
    state: str(data.approval_id) && event.session_id ? 'pending' : '',
    by: '',
    message: '',
    changed: undefined,
    always: false,
  };
}

/** It after a decision; itself when that changes nothing. @param {Approval} approval @param {Wire.Event} event @returns {Approval} */
export function decided(approval, event) {
  const data = /** @type {Wire.Loose<Wire.ApprovalDecision>} */ (event.data ?? {});
  const state = str(data.decision);
  if (approval.state !== 'pending' || event.session_id !== approval.session || !ENDS.has(state)) return approval;
  return {
    ...approval,
    state,
    by: str(data.by),
    message: str(data.message),
    changed: data.arguments ?? undefined,
    always: data.always === true,
  };
}

/** What the server says of it. @param {Wire.Approval} said @returns {Approval} */
export const approvalOf = (said) => ({
  id: said.id,
  seq: said.seq,
  session: said.session_id,
  agent: said.agent ?? '',
  tool: said.tool,
  title: said.title ?? '',
  args: said.arguments,
  whole: said.arguments_bytes ?? 0,
  requested: said.requested,
  expires: said.expires_at ?? '',
  state: said.state,
  by: said.by ?? '',
  message: said.message ?? '',
  changed: said.updated_arguments ?? undefined,
  always: said.always ?? false,
});

/** Whether nobody has decided. @param {Approval} approval */
export const isPending = (approval) => approval.state === 'pending';
