// One order to an agent, and how far it is: folded from a `command` event and the `command_state` events after it.

import { isObject, str } from './loose.js';

/**
 * @typedef {object} Order
 * @property {string} id
 * @property {string} agent
 * @property {string} session empty when it is about the agent
 * @property {string} action
 * @property {Record<string, unknown>} args
 * @property {string} actor who gave it
 * @property {string} issued
 * @property {string} expires until when its agent must have taken it on
 * @property {string} state
 * @property {string} updated
 * @property {string} reason
 * @property {string} by who withdrew it
 */

/** @param {Wire.Event} event @returns {Order} */
export function ordered(event) {
  const data = /** @type {Wire.Loose<Wire.CommandBody>} */ (event.data ?? {});
  return {
    id: str(data.command_id),
    agent: event.agent ?? '',
    session: event.session_id ?? '',
    action: str(data.action),
    args: isObject(data.arguments) ? data.arguments : {},
    actor: str(data.actor),
    issued: event.timestamp,
    expires: str(data.expires_at),
    state: 'queued',
    updated: event.timestamp,
    reason: '',
    by: '',
  };
}

/** What the server says of it. @param {Wire.Command} command @returns {Order} */
export const orderOf = ({ session_id = '', reason = '', by = '', ...rest }) => ({ ...rest, session: session_id, reason, by });

/** It after the next `command_state` event. @param {Order} order @param {Wire.Event} event @returns {Order} */
export function moved(order, event) {
  const data = /** @type {Wire.Loose<Wire.CommandState>} */ (event.data ?? {});
  return { ...order, state: str(data.state) || order.state, updated: event.timestamp, reason: str(data.reason), by: str(data.by) };
}

/** Whether its agent has not taken it on: it may still be withdrawn. @param {Order} order */
export const isWaiting = (order) => order.state === 'queued' || order.state === 'delivered';

/** Whether something comes after it. @param {Order} order */
export const isOpen = (order) => isWaiting(order) || order.state === 'acked';

/** @type {Record<string, string>} */
const NAMES = {
  message: 'Message',
  interrupt: 'Interrupt',
  cancel: 'Cancel',
  hold: 'Hold',
  release: 'Release',
  compact: 'Compact',
  set_model: 'Set model',
  new_session: 'New session',
  set_permission_mode: 'Permission mode',
  stop_task: 'Stop task',
};

/** What it is called, for people. @param {string} action */
export const nameOf = (action) => NAMES[action] ?? action.replaceAll('_', ' ');

/** What it is about, in one of its arguments. @param {Order} order */
export const aboutOf = ({ args }) => str(args.content ?? args.model ?? args.prompt ?? args.instructions ?? args.mode ?? args.reason ?? args.name);
