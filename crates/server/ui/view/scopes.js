// What a token or another device may do: chosen from the server's scopes, and each put into words.

import { oneLine } from '../format.js';
import { html } from '../html.js';

/** @type {[string, string][]} */
const WHOLE = [
  ['read', 'see everything'],
  ['publish', 'add events'],
  ['control', 'tell agents things, decide approvals'],
  ['admin', 'everything, this view included'],
];

/** Of the fields below. @param {FormData} typed @returns {string[]} */
export function scopesOf(typed) {
  const more = String(typed.get('more') ?? '').split(/[\s,]+/);
  return [...new Set([...typed.getAll('scope').map(String), ...more])].filter(Boolean);
}

/** @param {{ chosen: string[] }} props */
export function ScopeFields({ chosen }) {
  return html`<fieldset>
    <legend>May</legend>
    ${WHOLE.map(
      ([scope, says]) =>
        html`<label key=${scope} class="check"><input type="checkbox" name="scope" value=${scope} defaultChecked=${chosen.includes(scope)} /> ${scope} <small>${says}</small></label>`,
    )}
    <label>Other scopes <input name="more" autocomplete="off" spellcheck="false" placeholder="read:session:ID agent:NAME" /></label>
  </fieldset>`;
}

/** @param {{ scopes: string[] }} props */
export const Scopes = ({ scopes }) => html`<span class="scopes">${scopes.map((scope) => html`<code key=${scope}><bdi>${oneLine(scope)}</bdi></code> `)}</span>`;
