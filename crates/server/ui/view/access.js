// Access: which browsers, programs and links may do what, until when; to give more of it, and to take it away.

import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { ago, full, minute, now, oneLine } from '../format.js';
import { html } from '../html.js';
import { useLoaded } from '../loaded.js';
import { useRowKeys } from '../row-keys.js';
import { title } from '../title.js';
import { Copy } from './copy.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { ScopeFields, Scopes, scopesOf } from './scopes.js';

/** Last uses change without an event: how often they are looked at. */
const POLL_MS = 15_000;
const DAY_MS = 86_400_000;

/** @type {[string, (kind: string) => boolean][]} */
const GROUPS = [
  ['Devices', (kind) => kind === 'browser'],
  ['Share links', (kind) => kind === 'share'],
  ['Tokens', (kind) => kind !== 'browser' && kind !== 'share'],
];

/** @param {import('../views.js').ViewProps} props */
export function AccessPage({ session }) {
  const me = session.inbox.me.value;
  useEffect(() => {
    title.value = 'Access · Turnwire';
  }, []);
  return html`<${Top} live=${session.inbox} session=${session}><h1>Access</h1><//>
    <main class="scroll sessions access" tabindex="-1" aria-busy=${!me}>
      ${me && (me.scopes.includes('admin') ? html`<${Administration} />` : html`<${Own} me=${me} />`)}
    </main>`;
}

/** What is told to who may change nothing here. @param {{ me: Wire.Me }} props */
function Own({ me }) {
  return html`<section class="empty">
    <h2>You are <bdi>${oneLine(me.name)}</bdi></h2>
    <p>You may: <${Scopes} scopes=${me.scopes} /></p>
    <p>${me.expires ? `Until ${minute(me.expires)}.` : 'Until somebody takes it away.'} Who else may what is for those with the scope <code>admin</code> to see.</p>
  </section>`;
}

function Administration() {
  const { value: tokens, error, again } = useLoaded(api.tokens, '', { least: 500, poll: POLL_MS });
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list, '.token');
  if (!tokens) return error && html`<${Failure} error=${error} />`;
  return html`<div ref=${list}>
    <div class="forms">
      <${Give} name="Pair another device" submit="Make a link" again=${again} make=${pair} fields=${html`<${PairFields} />`} />
      <${Give} name="Make a token" submit="Make it" again=${again} make=${mint} fields=${html`<${TokenFields} />`} />
    </div>
    ${error && html`<p class="notice" role="alert">${error.message}</p>`}
    ${GROUPS.map(([name, belongs]) => html`<${Group} key=${name} name=${name} tokens=${tokens.filter(({ kind }) => belongs(kind))} again=${again} />`)}
  </div>`;
}

/** @typedef {{ label: string, text: string, says: string }} Given */

/** @param {FormData} typed @returns {Promise<Given[]>} */
async function pair(typed) {
  const name = String(typed.get('name') ?? '').trim();
  const scopes = scopesOf(typed);
  const { url, code, expires } = await api.pairingCode({ name: name || undefined, scopes: scopes.length > 0 ? scopes : undefined });
  return [
    { label: 'Link', text: url, says: `Open it on the other device, or type the code there. It works once, until ${minute(expires)}.` },
    { label: 'Code', text: code, says: '' },
  ];
}

/** @param {FormData} typed @returns {Promise<Given[]>} */
async function mint(typed) {
  const days = Number(typed.get('days'));
  const expires = days > 0 ? new Date(Date.now() + days * DAY_MS).toISOString() : undefined;
  const { token } = await api.makeToken({ name: String(typed.get('name') ?? '').trim(), scopes: scopesOf(typed), expires });
  return [{ label: 'Token', text: token, says: 'It is shown this once: the server keeps a hash of it alone.' }];
}

const PairFields = () => html`<label>Its name <input name="name" autocomplete="off" placeholder="as it calls itself" /></label><${ScopeFields} chosen=${[]} />
  <p class="hint">With nothing chosen it may do what you may.</p>`;

const TokenFields = () => html`<label>Name <input name="name" autocomplete="off" required /></label><${ScopeFields} chosen=${['read']} />
  <label>Ends <select name="days">
    <option value="1">in a day</option><option value="7">in a week</option><option value="30" selected>in 30 days</option><option value="365">in a year</option><option value="0">never</option>
  </select></label>`;

/**
 * A form that gives something away, and what came of it.
 * @param {{ name: string, submit: string, fields: any, make: (typed: FormData) => Promise<Given[]>, again: () => void }} props
 */
function Give({ name, submit, fields, make, again }) {
  const [given, setGiven] = useState(/** @type {Given[]} */ ([]));
  const [failed, setFailed] = useState('');
  const [busy, setBusy] = useState(false);
  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    setBusy(true);
    setFailed('');
    try {
      setGiven(await make(new FormData(form)));
      form.reset();
      again();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(`That was refused: ${error.message}.`);
    } finally {
      setBusy(false);
    }
  };
  return html`<details class="give">
    <summary>${name}</summary>
    <form class="form" onSubmit=${onSubmit}>
      ${fields}
      <div class="choices"><button disabled=${busy}>${submit}</button></div>
      ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    </form>
    ${given.map(({ label, text, says }) => html`<div key=${label} class="given">${says && html`<p>${says}</p>`}<${Copy} label=${label} text=${text} /></div>`)}
    ${given.length > 0 && html`<button class="link" onClick=${() => setGiven([])}>I have it: show it no more</button>`}
  </details>`;
}

/** @param {{ name: string, tokens: Wire.Token[], again: () => void }} props */
function Group({ name, tokens, again }) {
  if (tokens.length === 0) return null;
  return html`<section aria-label=${name}>
    <h2>${name} <span class="count">${tokens.length}</span></h2>
    <ol class="rows">${[...tokens].reverse().map((token) => html`<${Token} key=${token.id} token=${token} again=${again} />`)}</ol>
  </section>`;
}

/** @param {{ token: Wire.Token, again: () => void }} props */
function Token({ token, again }) {
  const [asked, setAsked] = useState(false);
  const [failed, setFailed] = useState('');
  const revoke = async () => {
    try {
      await api.revoke(token.id);
      again();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(`It was not revoked: ${error.message}.`);
    }
  };
  const name = oneLine(token.name);
  return html`<li class="token" tabindex="-1" data-token=${token.id} aria-label=${name}>
    <span class="what"><bdi class="title">${name}</bdi>${token.current && html` <span class="badge here">you, here</span>`}<${Scopes} scopes=${token.scopes} /></span>
    <span class="fact"><span class="soft">made</span> <time datetime=${token.created} title=${full(token.created)}>${minute(token.created)}</time></span>
    <span class="fact"><span class="soft">used</span> ${token.last_used ? html`<${Used} at=${token.last_used} />` : 'never'}</span>
    <span class="fact"><span class="soft">ends</span> ${token.expires ? html`<time datetime=${token.expires} title=${full(token.expires)}>${minute(token.expires)}</time>` : 'never'}</span>
    <span class="choices">
      ${asked
        ? html`<button class="danger" onClick=${revoke}>${token.current ? 'Sign me out' : 'Revoke'} for good</button><button class="quiet" onClick=${() => setAsked(false)}>Keep</button>`
        : html`<button class="quiet" data-key="d" onClick=${() => setAsked(true)}>Revoke…</button>`}
    </span>
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
  </li>`;
}

/** @param {{ at: string }} props */
function Used({ at }) {
  const word = ago(at, now.value);
  return html`<time datetime=${at} title=${full(at)}>${/^\d/.test(word) ? `${word} ago` : word}</time>`;
}
