// What an operator says and orders, below a session: only what its agent says that it can be told.

import { useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { minute, oneLine, whole } from '../format.js';
import { html } from '../html.js';
import { uuid } from '../id.js';
import { nameOf } from '../order.js';
import { mayControl } from '../rights.js';
import { isWorking } from '../summary.js';
import { useAround } from './around.js';
import { Menu } from './menu.js';
import { OrderForm, ordered } from './order-form.js';

/** Bytes of a message, as the server takes them. */
const BYTES = 64 * 1024;

/** What was typed and not sent, by session: it is there again when the session is. @type {Map<string, string>} */
const drafts = new Map();

/** Orders of the menu, and those among them that ask for something first. */
const MENU = ['cancel', 'hold', 'release', 'compact', 'set_model', 'new_session'];
const ASKING = new Set(['compact', 'set_model', 'new_session']);

/** @param {{ live: import('../live.js').LiveSession }} props */
export function Composer({ live }) {
  const { inbox } = useAround();
  const [asking, setAsking] = useState('');
  const [failed, setFailed] = useState('');
  const session = live.summary.value?.session.value;
  const agent = inbox.agents.value.get(session?.agent ?? '');
  if (!agent || !mayControl(inbox.me.value, live.id)) return null;
  const can = (/** @type {string} */ action) => agent.capabilities.includes(action);
  const menu = MENU.filter(can);
  const isBusy = isWorking(session?.state ?? '');
  /** @param {string} action @param {Record<string, unknown>} [args] */
  const give = async (action, args = {}) => setFailed(await ordered(agent.name, action, args, live.id));
  const interrupt = () => isBusy && give('interrupt', live.timeline.turn ? { turn_id: live.timeline.turn } : {});
  const choose = (/** @type {string} */ action) => (ASKING.has(action) ? setAsking(action) : give(action));
  return html`<footer class="composer" aria-label="Tell the agent">
    <div class="aside">
      <${Standing} agent=${agent} />
      ${can('interrupt') && html`<button class="quiet" aria-disabled=${!isBusy} onClick=${interrupt}>Interrupt</button>`}
      ${menu.length > 0 && html`<${Menu} name="More" actions=${menu.map((action) => [`${nameOf(action)}${ASKING.has(action) ? '…' : ''}`, () => choose(action)])} />`}
    </div>
    ${can('message') && html`<${Field} id=${live.id} agent=${agent.name} />`}
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    ${asking && html`<${OrderForm} key=${asking} action=${asking} agent=${agent.name} give=${give} close=${() => setAsking('')} />`}
  </footer>`;
}

/** Who will be told, and whether it is there. @param {{ agent: Wire.Agent }} props */
export function Standing({ agent }) {
  const name = oneLine(agent.name);
  const doing = [agent.state, agent.model].filter(Boolean).map((word) => oneLine(word ?? ''));
  const nothing = agent.capabilities.length === 0 ? `${name} has not said what it can be told.` : '';
  const offline = `${name} is offline${agent.since ? ` since ${minute(agent.since)}` : ''}: what it is told is delivered when it is back.`;
  const login = agent.login && agent.login !== 'ok' ? 'needs login' : '';
  const words = agent.online ? [name, ...doing, login, nothing].filter(Boolean).join(' · ') : [offline, nothing].filter(Boolean).join(' ');
  return html`<p class="standing ${agent.online ? 'good' : 'wait'}" data-online=${agent.online}>
    <i class="dot" aria-hidden="true"></i><span role="status">${agent.online && html`<span class="unseen">online: </span>`}<bdi>${words}</bdi></span>
  </p>`;
}

/** @param {{ id: string, agent: string }} props */
function Field({ id, agent }) {
  const [text, setText] = useState(drafts.get(id) ?? '');
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState('');
  // What was tried last: tried again it is the same order, so that it is not said twice when just the answer was lost.
  const tried = useRef({ content: '', id: '' });
  /** @param {string} next */
  const type = (next) => {
    setText(next);
    if (next) drafts.set(id, next);
    else drafts.delete(id);
  };
  const send = async () => {
    const content = text.trim();
    if (!content || busy) return;
    const bytes = new TextEncoder().encode(content).length;
    if (bytes > BYTES) return setFailed(`This is ${whole(bytes)} bytes; at most ${whole(BYTES)} can be sent.`);
    if (tried.current.content !== content) tried.current = { content, id: uuid() };
    setBusy(true);
    setFailed('');
    try {
      await api.order({ id: tried.current.id, agent, session_id: id, action: 'message', args: { content } });
      tried.current = { content: '', id: '' };
      type('');
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(`Not sent: ${error.message}. It is still here: try again.`);
    } finally {
      setBusy(false);
    }
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send();
    else if (event.key === 'Escape') /** @type {HTMLElement | null} */ (document.querySelector('main'))?.focus({ preventScroll: true });
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<form
      class="field"
      onSubmit=${(/** @type {Event} */ event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        name="message"
        rows="1"
        aria-label=${`Message to ${oneLine(agent)}`}
        placeholder=${`Message to ${oneLine(agent)}`}
        title="Enter sends, Shift+Enter begins a line"
        readonly=${busy}
        value=${text}
        onInput=${(/** @type {any} */ event) => type(event.currentTarget.value)}
        onKeyDown=${onKey}
      ></textarea>
      <button aria-disabled=${busy || !text.trim()}>Send</button>
    </form>
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}`;
}
