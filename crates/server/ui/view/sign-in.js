// Sign in with a pairing code: by the link that the server prints, or by typing its code.

import { useState } from 'preact/hooks';
import { ApiError } from '../api.js';
import { html } from '../html.js';
import { Logo } from './frame.js';

/** @param {{ notice: string, onCode: (code: string) => Promise<void> }} props */
export function SignIn({ notice, onCode }) {
  const [failed, setFailed] = useState('');
  const [busy, setBusy] = useState(false);
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    const code = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get('code');
    if (typeof code !== 'string' || !code.trim() || busy) return;
    setBusy(true);
    try {
      // A whole link may be pasted as well.
      await onCode(code.replace(/^.*#pair=/, ''));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFailed(refusal(error));
    } finally {
      setBusy(false);
    }
  };
  const message = failed || notice;
  return html`<main class="sign-in">
    <h1><${Logo} />turnwire</h1>
    <p>This page shows what your agents do. To sign this browser in, ask the machine that runs Turnwire for a link:</p>
    <pre><code>turnwire pair</code></pre>
    <p>Open the link here, or type its code:</p>
    <form onSubmit=${submit}>
      <label for="code">Pairing code</label>
      <div class="field">
        <input id="code" name="code" autocomplete="off" autocapitalize="off" spellcheck="false" required aria-describedby="notice" />
        <button disabled=${busy}>Sign in</button>
      </div>
    </form>
    <p id="notice" class="notice" role="alert">${message}</p>
  </main>`;
}

/** @param {ApiError} error */
export function refusal(error) {
  if (error.code === 'locked_out') return `Too many wrong codes: ${error.message}. Wait a few minutes, then ask for a new link.`;
  if (error.status === 0) return `The server cannot be reached. Is it running?`;
  if (error.status >= 400 && error.status < 500) return `This code does not work: ${error.message}. A code works once and for ten minutes.`;
  return error.message;
}
