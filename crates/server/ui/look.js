// What of a session is looked at, as its address says it.

import { DELTAS } from './loose.js';

/** Groups of kinds to choose from, and the types of events in each. @type {Record<string, { name: string, types: string[] }>} */
export const GROUPS = {
  messages: { name: 'Messages', types: ['turn_start', 'turn_end', 'message', 'text_delta', 'command', 'command_state'] },
  reasoning: { name: 'Reasoning', types: ['reasoning', 'reasoning_delta'] },
  tools: { name: 'Tools', types: ['tool_call_start', 'tool_call', 'tool_progress'] },
  approvals: { name: 'Approvals', types: ['approval_request', 'approval_decision'] },
  errors: { name: 'Errors', types: ['error'] },
};

/**
 * @typedef {object} Looking
 * @property {number} at the place that is pointed at; 0 for none
 * @property {string[]} kinds groups that are shown; none for all
 * @property {string} tool the tool whose calls alone are shown
 * @property {string} q words that are searched for
 * @property {boolean} raw
 */

/** @param {URLSearchParams} query @returns {Looking} */
export function lookingOf(query) {
  const at = Number(query.get('at'));
  const tool = query.get('tool') ?? '';
  const kinds = (query.get('kind') ?? '').split(',').filter((kind) => Object.hasOwn(GROUPS, kind));
  return {
    at: Number.isSafeInteger(at) && at > 0 ? at : 0,
    kinds: tool ? ['tools'] : kinds,
    tool,
    q: (query.get('q') ?? '').slice(0, 1000),
    raw: query.get('view') === 'raw',
  };
}

/** The types of events that are wanted; null for all. @param {Looking} looking @returns {ReadonlySet<string> | null} */
export const typesOf = ({ kinds }) => (kinds.length === 0 ? null : new Set(kinds.flatMap((kind) => GROUPS[kind].types)));

/** The same without what a search cannot find. @param {Looking} looking */
export const wholeTypes = (looking) => [...(typesOf(looking) ?? [])].filter((type) => !DELTAS.includes(type)).join() || undefined;

/** @param {string} id @param {Partial<Looking>} looking */
export function addressOf(id, { at, kinds = [], tool, q, raw }) {
  const query = new URLSearchParams();
  if (at) query.set('at', String(at));
  if (tool) query.set('tool', tool);
  else if (kinds.length > 0) query.set('kind', kinds.join());
  if (q) query.set('q', q);
  if (raw) query.set('view', 'raw');
  const text = query.toString();
  return `#/session/${encodeURIComponent(id)}${text && `?${text}`}`;
}

/** Changes the address without a step in the browser's history. @param {string} id @param {Partial<Looking>} looking */
export function look(id, looking) {
  history.replaceState(null, '', addressOf(id, looking));
  dispatchEvent(new HashChangeEvent('hashchange'));
}
