// A command to type next, to be copied. For another machine it says where this server is, with a token that is made for it.

import { useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { html } from '../html.js';
import { copied } from './copy.js';

const DAYS = 30;

/** Records a run of an agent. */
export const RUN = 'turnwire run -- claude -p "Say hello" --output-format stream-json --verbose';

/** @param {{ text: string, inbox?: import('../inbox.js').Inbox, scopes?: string[] }} props `scopes`: what its token has to be allowed */
export function Command({ text, inbox, scopes }) {
  const [token, setToken] = useState('');
  const [said, setSaid] = useState('');
  const whole = token ? text.replace('turnwire ', `TURNWIRE_URL=${location.origin} TURNWIRE_TOKEN=${token} turnwire `) : text;
  const copy = async () => setSaid((await copied(whole)) ? 'Copied.' : 'This browser does not let the page copy.');
  const make = async () => {
    const expires = new Date(Date.now() + DAYS * 86_400_000).toISOString();
    try {
      setToken((await api.makeToken({ name: `for ${scopes?.join(' ')}`, scopes: scopes ?? [], expires })).token);
      setSaid(`It has a token that may do this for ${DAYS} days; Access lists it.`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setSaid(`There is no token: ${error.message}.`);
    }
  };
  const mayMake = scopes && !token && inbox?.me.value?.scopes.includes('admin');
  return html`<div class="command">
    <pre tabindex="0" role="group" aria-label="Command"><code>${whole}</code></pre>
    <p>
      <button class="link" onClick=${copy}>Copy</button>
      ${mayMake && html`<button class="link" onClick=${make}>For another machine</button>`}
      <span role="status">${said}</span>
    </p>
  </div>`;
}
