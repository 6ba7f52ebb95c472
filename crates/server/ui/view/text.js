// Text with looks: markdown, and a terminal's colours. What comes here has passed `plain`, or passes it here, and lands in text nodes.

import { parts } from '../ansi.js';
import { plain } from '../format.js';
import { html } from '../html.js';
import { blocks } from '../markdown.js';

/** @param {{ text: string }} props */
export const Markdown = ({ text }) => html`${blocks(text).map(block)}`;

/** @param {import('../markdown.js').Block} one @returns {any} */
function block(one) {
  switch (one.kind) {
    case 'paragraph':
      return html`<p>${one.spans.map(span)}</p>`;
    case 'heading':
      // Below the page's own headings, and not among them: a text's headings are not the page's.
      return html`<p class="heading h${one.level}"><strong>${one.spans.map(span)}</strong></p>`;
    case 'code':
      return html`<pre class="code" tabindex="0" role="group" aria-label=${one.lang ? `Code: ${one.lang.slice(0, 40)}` : 'Code'}><code>${one.text}</code></pre>`;
    case 'quote':
      return html`<blockquote>${one.blocks.map(block)}</blockquote>`;
    case 'list':
      return html`<${one.ordered ? 'ol' : 'ul'} start=${one.ordered ? one.start : undefined}>
        ${one.items.map((item) => html`<li>${item.length === 1 && item[0].kind === 'paragraph' ? item[0].spans.map(span) : item.map(block)}</li>`)}
      <//>`;
    case 'table':
      return html`<div class="table" tabindex="0" role="group" aria-label="Table"><table>
        <thead><tr>${one.head.map((cell) => html`<th>${cell.map(span)}</th>`)}</tr></thead>
        <tbody>${one.rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell.map(span)}</td>`)}</tr>`)}</tbody>
      </table></div>`;
    case 'rule':
      return html`<hr />`;
  }
}

/** @param {import('../markdown.js').Span} one @returns {any} */
function span(one) {
  switch (one.kind) {
    case 'text':
      return one.text;
    case 'code':
      return html`<code>${one.text}</code>`;
    case 'strong':
      return html`<strong>${one.spans.map(span)}</strong>`;
    case 'em':
      return html`<em>${one.spans.map(span)}</em>`;
    case 'del':
      return html`<del>${one.spans.map(span)}</del>`;
    case 'link':
      // The title says where it leads, whatever its words say.
      return html`<a href=${one.url} title=${one.url} target="_blank" rel="noopener noreferrer">${one.spans.map(span)}</a>`;
    case 'break':
      return html`<br />`;
  }
}

/** @param {{ text: string }} props */
export const Coloured = ({ text }) => html`${parts(text).map(({ text: part, look }) => (look ? html`<span ...${worn(look)}>${plain(part)}</span>` : plain(part)))}`;

/** @param {import('../ansi.js').Look} look */
function worn(look) {
  const [color, ground] = look.inverse ? [look.ground, look.color === '' ? 7 : look.color] : [look.color, look.ground];
  const names = ['bold', 'dim', 'italic', 'underline', 'strike'].filter((name) => look[/** @type {'bold'} */ (name)]);
  if (typeof color === 'number') names.push(`fg-${color}`);
  if (typeof ground === 'number') names.push(`bg-${ground}`);
  /** @type {Record<string, string>} */
  const style = {};
  // Mixed with the text's own, so that it can be read on any ground.
  if (typeof color === 'string' && color) style.color = `color-mix(in oklab, ${color} 35%, var(--text))`;
  if (typeof ground === 'string' && ground) style.background = `color-mix(in oklab, ${ground} 18%, var(--sunk))`;
  return { class: names.join(' '), style };
}
