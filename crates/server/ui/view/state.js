// A session's state: a word, and a mark that shows from afar whether it moves.

import { oneLine } from '../format.js';
import { html } from '../html.js';

/** @type {Record<string, string>} */
const TONES = {
  thinking: 'busy',
  running_tool: 'busy',
  compacting: 'busy',
  rate_limited: 'wait',
  needs_approval: 'wait',
  needs_answer: 'wait',
  failed: 'bad',
  done: 'good',
};

/** @type {Record<string, string>} */
const WORDS = { running_tool: 'running tool', needs_approval: 'needs approval', needs_answer: 'needs answer', rate_limited: 'rate limited' };

/** @param {{ state: string, tool?: string }} props */
export function State({ state, tool }) {
  const word = state === 'running_tool' && tool ? `running ${tool}` : (WORDS[state] ?? state);
  return html`<span class="state ${TONES[state] ?? ''}" data-state=${state}><i class="dot" aria-hidden="true"></i><bdi>${oneLine(word)}</bdi></span>`;
}
