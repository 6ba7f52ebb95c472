// One session of the fleet, at a glance.

import { argumentOf } from '../about.js';
import { ago, count, full, money, nameOf, now, oneLine, short, whole } from '../format.js';
import { html } from '../html.js';
import { usageOf } from '../loose.js';
import { sessionHash } from '../route.js';
import { rankOf } from '../summary.js';
import { State } from './state.js';

/** @param {{ summary: import('../summary.js').Summary, asked: import('../approval.js').Approval | undefined, onOpen: () => void }} props `asked`: what it waits for */
export function FleetRow({ summary, asked, onOpen }) {
  const s = summary.session.value;
  const name = nameOf(s.title, s.id);
  const last = oneLine(s.last_text ?? '');
  const doing = asked ? `${oneLine(asked.tool)} ${oneLine(argumentOf(asked.args))}` : oneLine(s.doing?.target ?? '') || oneLine(s.doing?.tool ?? '');
  const agent = s.agent ?? s.source ?? '';
  return html`<li>
    <a class="row session-row" href=${sessionHash(s.id)} data-session=${s.id} onClick=${onOpen}>
      <${State} state=${s.state} tool=${summary.tool.value} />
      <span class="since">
        ${rankOf(s) !== 'quiet' && s.since && html`<${For} at=${s.since} />`}
        ${s.errors > 0 && html`<span class="errors">${count(s.errors, 'error')}</span>`}
      </span>
      <span class="what">
        <bdi class="title">${name}</bdi>
        <span class="now">
          ${doing && html`<bdi class="doing">${doing}</bdi>`}
          <bdi class="last">${last === name ? '' : last}</bdi>
        </span>
      </span>
      <span class="who"><bdi>${oneLine(agent)}</bdi><bdi class="model">${oneLine(s.model ?? '')}</bdi></span>
      <${Spark} summary=${summary} />
      <${Context} tokens=${s.context_tokens} window=${s.context_window} />
      <${Tokens} today=${s.usage_today ?? s.usage} all=${s.usage} />
      <${Cost} today=${s.cost_today_usd} all=${s.cost_usd} />
      <time class="ago" datetime=${s.last_activity} title=${full(s.last_activity)}>
        <span class="unseen">last activity </span><${Ago} at=${s.last_activity} />
      </time>
    </a>
  </li>`;
}

/** Apart, so that just it is drawn again each second. @param {{ at: string }} props */
const Ago = ({ at }) => html`${ago(at, now.value)}`;

/** @param {{ at: string }} props */
function For({ at }) {
  const word = ago(at, now.value);
  return html`<span class="for" title=${`since ${full(at)}`}>${/^\d/.test(word) ? `for ${word}` : word}</span>`;
}

/** Events of the last half hour, a bar a minute. @param {{ summary: import('../summary.js').Summary }} props */
function Spark({ summary }) {
  const activity = summary.activity(Math.floor(now.value / 60_000) * 60_000);
  const most = Math.max(...activity);
  if (most === 0) return html`<span class="spark"></span>`;
  // By the square root: one lively minute does not make all others look dead.
  const bars = activity.map((n, at) => (n > 0 ? `M${at + 0.5} 10V${(9 - 8 * Math.sqrt(n / most)).toFixed(1)}` : '')).join('');
  const sum = activity.reduce((all, n) => all + n, 0);
  return html`<svg class="spark" viewBox="0 0 30 10" preserveAspectRatio="none" role="img" aria-label=${`${count(sum, 'event')} in the last half hour`}><path d=${bars} /></svg>`;
}

/** @param {{ tokens: number | null | undefined, window: number | null | undefined }} props */
function Context({ tokens, window }) {
  if (!tokens || !window) return html`<span class="context"></span>`;
  const part = Math.min(100, Math.round((100 * tokens) / window));
  return html`<span class="context ${part >= 80 ? 'full' : ''}" title=${`Context: ${whole(tokens)} of ${whole(window)} tokens`}>
    <span class="unseen">context </span>${part} %<svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="all" width="100" height="4" /><rect class="used" width=${part} height="4" /></svg>
  </span>`;
}

/** Tokens of today, and in all. @param {{ today: Wire.Usage, all: Wire.Usage }} props */
function Tokens({ today, all }) {
  const [day, sum] = [usageOf(today), usageOf(all)].map((tokens) => ({ sent: tokens ? tokens.input + tokens.read + tokens.written : 0, made: tokens?.output ?? 0 }));
  if (sum.sent + sum.made === 0) return html`<span class="tokens"></span>`;
  const title = `Tokens today: ${told(today)}. In all: ${told(all)}.`;
  // What was all before today does not look like today's.
  if (day.sent + day.made === 0) return html`<span class="tokens" title=${title}><small><span class="unseen">tokens in all </span>${short(sum.sent)} → ${short(sum.made)}</small></span>`;
  return html`<span class="tokens" title=${title}>
    <span class="unseen">tokens in </span>${short(day.sent)}<span class="arrow" aria-hidden="true"> → </span><span class="unseen"> out </span>${short(day.made)}
  </span>`;
}

/** @param {Wire.Usage} usage */
function told(usage) {
  const tokens = usageOf(usage) ?? { input: 0, read: 0, written: 0, output: 0 };
  return `${whole(tokens.input)} sent, ${whole(tokens.read)} from cache, ${whole(tokens.written)} to cache, ${whole(tokens.output)} made`;
}

/** What it has cost today, and in all where that is more. @param {{ today: number | undefined, all: number | null | undefined }} props */
function Cost({ today, all }) {
  if (!all) return html`<span class="cost"></span>`;
  // A server that does not count by days says the whole alone.
  if (today === undefined || money(today) === money(all)) return html`<span class="cost"><span class="unseen">cost </span>${money(all)}</span>`;
  return html`<span class="cost">${today > 0 && html`<span class="unseen">cost today </span>${money(today)}`}<small><span class="unseen">cost in all </span>${today > 0 ? 'of ' : ''}${money(all)}</small></span>`;
}
