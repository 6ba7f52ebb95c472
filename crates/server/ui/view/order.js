// An order as it stands in a session: what was said or told, and how far it is.

import { useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { minute, oneLine } from '../format.js';
import { html } from '../html.js';
import { aboutOf, isWaiting, nameOf } from '../order.js';
import { mayControl } from '../rights.js';
import { useAround } from './around.js';
import { Clip, MESSAGE } from './clip.js';

/** @typedef {import('../order.js').Order} Order */

/** @param {{ order: Order, text: string, begun: boolean }} props */
export function Given({ order, text, begun }) {
  // A turn that began later says the text itself.
  if (!text || begun) return html`<${Line} order=${order} />`;
  return html`<p class="label"><bdi>${oneLine(order.actor) || 'user'}</bdi></p>
    <${Clip} class="text" text=${text} ...${MESSAGE} />
    <${Progress} order=${order} />`;
}

/** An order in one line. @param {{ order: Order }} props */
export function Line({ order }) {
  return html`<p class="line">
      <bdi>${oneLine(nameOf(order.action))}</bdi>
      <bdi class="detail">${oneLine(aboutOf(order)).slice(0, 160)}</bdi>
      <bdi class="detail">${order.actor && `by ${oneLine(order.actor)}`}</bdi>
    </p>
    <${Progress} order=${order} />`;
}

/** How far it is. Always one line, so that nothing moves as it goes on. @param {{ order: Order }} props */
export function Progress({ order }) {
  const { inbox, isPast } = useAround();
  const [failed, setFailed] = useState('');
  const agent = inbox.agents.value.get(order.agent);
  const withdraw = async () => {
    try {
      await api.withdraw(order.id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // What became of it instead comes with the stream.
      setFailed(error.code === 'conflict' ? 'Too late to withdraw it.' : `Not withdrawn: ${error.message}.`);
    }
  };
  return html`<p class="progress" data-order=${order.state}>
    <span role="status">${isPast && isWaiting(order) ? order.state : told(order, agent)}</span>
    ${isWaiting(order) && !isPast && mayControl(inbox.me.value, order.session) && html`<button class="link" onClick=${withdraw}>Withdraw</button>`}
    ${failed && html`<span class="failed" role="alert">${failed}</span>`}
  </p>`;
}

/** @param {Order} order @param {Wire.Agent | undefined} agent */
function told({ state, agent: name, expires, reason, by }, agent) {
  const who = oneLine(name);
  const why = oneLine(reason);
  switch (state) {
    case 'queued':
    case 'delivered':
      if (agent?.online) return state;
      return `${state}: ${who} is offline; it ${state === 'queued' ? 'will be delivered' : 'may take it on'} when it is back, until ${minute(expires)}`;
    case 'acked':
      return 'acked: taken on';
    case 'failed':
      return why === 'no_result' ? 'failed: no result came' : `failed${why && `: ${why}`}`;
    case 'expired':
      return `expired: ${who} did not take it on by ${minute(expires)}`;
    case 'withdrawn':
      return by ? `withdrawn by ${oneLine(by)}` : why === 'superseded' ? 'withdrawn: a newer order took its place' : `withdrawn${why && `: ${why}`}`;
    default:
      return oneLine(state);
  }
}
