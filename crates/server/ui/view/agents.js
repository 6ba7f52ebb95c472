// The agents: who is there, what each does, what waits for it, and the orders that are about it and no session.

import { useEffect, useState } from 'preact/hooks';
import { ago, count, full, now, oneLine } from '../format.js';
import { html } from '../html.js';
import { isOpen, nameOf } from '../order.js';
import { mayControl } from '../rights.js';
import { hashOf } from '../route.js';
import { title } from '../title.js';
import { Around } from './around.js';
import { Command } from './command.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { OrderForm, ordered } from './order-form.js';
import { Line } from './order.js';

/** Orders at their end that are shown of each agent. */
const OVER = 3;
/** What is ordered of the agent as a whole; those that ask for something first are marked. */
const ACTIONS = ['hold', 'release', 'set_model', 'new_session'];
const ASKING = new Set(['set_model', 'new_session']);

/** All of them, or one. @param {{ session: import('./frame.js').Session, id: string }} props */
export function AgentsPage({ session, id }) {
  const { inbox } = session;
  useEffect(() => {
    title.value = `${id ? oneLine(id) : 'Agents'} · Turnwire`;
  }, [id]);
  const agents = [...inbox.agents.value.values()].filter(({ name }) => !id || name === id);
  const around = { inbox, live: inbox, isAsked: () => true };
  return html`<${Around.Provider} value=${around}>
    <${Top} live=${inbox} session=${session}><h1>${id ? html`<bdi>${oneLine(id)}</bdi>` : 'Agents'}</h1><//>
    <main class="scroll sessions agents" tabindex="-1" aria-busy=${!inbox.ready.value}>
      ${inbox.failure.value
        ? html`<${Failure} error=${inbox.failure.value} />`
        : inbox.ready.value && (agents.length > 0 ? html`<${List} agents=${agents} inbox=${inbox} />` : html`<${Empty} name=${id} inbox=${inbox} />`)}
      ${id && html`<p class="beside"><a href=${hashOf({ query: { agent: id } })}>Its sessions</a> · <a href="#/agents">All agents</a></p>`}
    </main>
  <//>`;
}

/** @param {{ agents: Wire.Agent[], inbox: import('../inbox.js').Inbox }} props */
function List({ agents, inbox }) {
  const sorted = agents.sort((a, b) => Number(b.online) - Number(a.online) || (a.name < b.name ? -1 : 1));
  return html`<div>
    <ol class="rows" aria-label="Agents">
      ${sorted.map((agent) => html`<${Agent} key=${agent.name} agent=${agent} inbox=${inbox} />`)}
    </ol>
  </div>`;
}

/** @param {{ agent: Wire.Agent, inbox: import('../inbox.js').Inbox }} props */
function Agent({ agent, inbox }) {
  const [asking, setAsking] = useState('');
  const [failed, setFailed] = useState('');
  const all = [...inbox.orders.value.values()].filter((order) => order.agent === agent.name);
  const shown = [...all.filter((order) => !isOpen(order)).slice(-OVER), ...all.filter(isOpen)];
  /** @param {string} action @param {Record<string, unknown>} [args] */
  const give = async (action, args = {}) => setFailed(await ordered(agent.name, action, args));
  const actions = mayControl(inbox.me.value, '') ? ACTIONS.filter((action) => agent.capabilities.includes(action)) : [];
  return html`<li class="agent" data-agent=${agent.name} data-online=${agent.online}>
    <div class="row about">
      <span class="state ${agent.online ? 'good' : ''}"><i class="dot" aria-hidden="true"></i>${agent.online ? 'online' : 'offline'}</span>
      <span class="what">
        <a class="title" href=${hashOf({ view: 'agent', id: agent.name })}><bdi>${oneLine(agent.name)}</bdi></a>
        <bdi class="last">${doing(agent)}</bdi>
      </span>
      <span class="who"><bdi>${oneLine(agent.model ?? '')}</bdi><bdi class="model">${oneLine(agent.version ?? '')}</bdi></span>
      <span class="queue">${queue(agent)}</span>
      <time class="ago" datetime=${agent.since ?? ''} title=${agent.since ? full(agent.since) : 'It was never there'}>
        ${agent.since && html`<span class="unseen">since </span>${ago(agent.since, now.value)}`}
      </time>
    </div>
    ${(actions.length > 0 || agent.sessions.length > 0) &&
    html`<div class="aside">
      ${agent.sessions.map(({ id, state }) => html`<a key=${id} href=${`#/session/${encodeURIComponent(id)}`}><bdi>${oneLine(id).slice(0, 13)}</bdi>${state && ` ${oneLine(state)}`}</a>`)}
      <span class="choices">
        ${actions.map(
          (action) =>
            html`<button key=${action} class="quiet" onClick=${() => (ASKING.has(action) ? setAsking(action) : give(action))}>
              ${nameOf(action)}${ASKING.has(action) && '…'}
            </button>`,
        )}
      </span>
    </div>`}
    ${shown.map((order) => html`<div key=${order.id} class="ordered"><${Line} order=${order} /></div>`)}
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    ${asking && html`<${OrderForm} key=${asking} action=${asking} agent=${agent.name} give=${give} close=${() => setAsking('')} />`}
  </li>`;
}

/** @param {Wire.Agent} agent */
function doing({ state, login }) {
  const signIn = login && login !== 'ok' ? (login === 'in_progress' ? 'signs in' : 'needs login') : '';
  return [state, signIn].filter(Boolean).map((word) => oneLine(word ?? '').replaceAll('_', ' ')).join(' · ');
}

/** @param {Wire.Agent} agent */
function queue({ queue: { queued, delivered, acked } }) {
  const waiting = queued + delivered;
  return [waiting > 0 && `${count(waiting, 'order')} waiting`, acked > 0 && `${acked} taken on`].filter(Boolean).join(', ') || 'no orders';
}

/** @param {{ name: string, inbox: import('../inbox.js').Inbox }} props */
function Empty({ name, inbox }) {
  const wanted = /^[\w.-]+$/.test(name) ? name : 'helper';
  return html`<section class="empty">
    <h2>${name ? html`<bdi>${oneLine(name)}</bdi> was not here yet` : 'No agents yet'}</h2>
    <p>An agent that can be told something keeps a connection open. To run one:</p>
    <${Command} text=${`turnwire agent --name ${wanted} --adapter claude`} inbox=${inbox} scopes=${[`agent:${wanted}`, 'publish']} />
  </section>`;
}
