// Runs: evaluations as they go on. How far each is, what it is at, what passed and failed, what the graders say.

import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api.js';
import { ago, duration, full, minute, money, now, oneLine, short, whole } from '../format.js';
import { html } from '../html.js';
import { useLoaded } from '../loaded.js';
import { filter, hashOf, sessionHash } from '../route.js';
import { useRowKeys } from '../row-keys.js';
import { title } from '../title.js';
import { Clip, OUTPUT } from './clip.js';
import { Command } from './command.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';

/** The shortest time between two looks. */
const LEAST_MS = 1000;
/** Begins one. */
const PUBLISH = `echo '{"type":"task_start","session_id":"run-1","data":{"task":"first","number":1,"total":2}}' | turnwire publish --adapter native`;
/** Runs asked for at once. */
const PAGE = 100;

/** All of them, or one with its tasks. @param {import('../views.js').ViewProps} props */
export function RunsPage({ session, id, query }) {
  useEffect(() => {
    title.value = `${id ? 'Run' : 'Runs'} · Turnwire`;
  }, [id]);
  return html`<${Top} live=${session.inbox} session=${session}><h1>${id ? html`<a href="#/runs">Runs</a>` : 'Runs'}</h1><//>
    <main class="scroll sessions runs" tabindex="-1">
      ${id ? html`<${One} key=${id} id=${id} inbox=${session.inbox} outcome=${query.get('outcome') ?? ''} />` : html`<${All} inbox=${session.inbox} />`}
    </main>`;
}

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
function All({ inbox }) {
  const [limit, setLimit] = useState(PAGE);
  const { value, error } = useLoaded((signal) => api.runs({ limit }, signal), String(limit), { least: LEAST_MS, beat: inbox.ran });
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list);
  if (!value) return error && html`<${Failure} error=${error} />`;
  if (value.runs.length === 0) return html`<${Empty} inbox=${inbox} />`;
  return html`<div ref=${list}>
    ${error && html`<p class="notice" role="alert">${error.message}</p>`}
    <ol class="rows" aria-label="Runs">${value.runs.map((run) => html`<li key=${run.session_id}><${Line} run=${run} /></li>`)}</ol>
    ${value.next !== null && limit < 1000 && html`<button class="more" onClick=${() => setLimit(Math.min(1000, limit + PAGE))}>Older runs</button>`}
  </div>`;
}

/** @param {{ run: Wire.Run }} props */
function Line({ run }) {
  return html`<a class="row run" href=${hashOf({ view: 'runs', id: run.session_id })} data-run=${run.session_id}>
    <${Standing} run=${run} />
    <span class="what">
      <bdi class="title">${nameOf(run)}</bdi>
      <bdi class="last">${run.current ? `at ${oneLine(run.current)}` : ''}</bdi>
    </span>
    <${Progress} run=${run} />
    <${Verdicts} run=${run} />
    <span class="cost">${money(run.cost_usd)}<small> ${short(run.input_tokens)} → ${short(run.output_tokens)}</small></span>
    <span class="ago"><${Elapsed} run=${run} /></span>
  </a>`;
}

/** @param {Wire.Run} run */
const nameOf = (run) => oneLine(run.title ?? '') || oneLine(run.session_id);

/** @param {{ run: Wire.Run }} props */
function Standing({ run }) {
  const [tone, word] = !run.ended ? ['busy', 'running'] : run.failed + run.errors > 0 ? ['bad', 'ended'] : ['good', 'ended'];
  return html`<span class="state ${tone}" data-ended=${run.ended !== undefined}><i class="dot" aria-hidden="true"></i>${word}</span>`;
}

/** How far, of how many where that was said. @param {{ run: Wire.Run }} props */
function Progress({ run }) {
  const { total, completed } = run;
  const said = total === undefined ? `${whole(completed)} done` : `${whole(completed)} of ${whole(total)}`;
  // Without a total there is no part of it to show.
  return html`<span class="progress">${total !== undefined && total > 0 && html`<progress max=${total} value=${completed} aria-label="Progress"></progress>`}<span>${said}</span></span>`;
}

/** @param {{ run: Wire.Run }} props */
const Verdicts = ({ run }) => html`<span class="verdicts">
  <span class="good">${whole(run.passed)} passed</span>
  ${run.failed > 0 && html`<span class="bad">${whole(run.failed)} failed</span>`}
  ${run.errors > 0 && html`<span class="bad">${whole(run.errors)} in error</span>`}
</span>`;

/** @param {{ run: Wire.Run }} props */
function Elapsed({ run }) {
  if (!run.started) return null;
  const ms = Math.max(0, (run.ended ? Date.parse(run.ended) : now.value) - Date.parse(run.started));
  const word = ago(run.started, now.peek());
  return html`<time datetime=${run.started} title=${`Began ${full(run.started)}${/^\d/.test(word) ? `, ${word} ago` : ''}`}>${duration(Math.floor(ms / 1000) * 1000).replace(/^0 ms$/, '0 s')}</time>`;
}

/** @type {[string, string][]} */
const OUTCOMES = [
  ['', 'All'],
  ['failed', 'Failed'],
  ['error', 'Errors'],
  ['passed', 'Passed'],
  ['open', 'Open'],
];

/** @param {{ id: string, inbox: import('../inbox.js').Inbox, outcome: string }} props */
function One({ id, inbox, outcome }) {
  const { value: run, error } = useLoaded((signal) => api.run(id, signal), id, { least: LEAST_MS, beat: inbox.ran });
  const list = useRef(/** @type {HTMLDivElement | null} */ (null));
  useRowKeys(list, '.task');
  if (!run) return error && html`<${Failure} error=${error} what="run" />`;
  const shown = run.tasks.filter((task) => !outcome || (task.outcome ?? 'open') === outcome);
  return html`<div ref=${list}>
    <section class="about-run" aria-label="Run">
      <h2><a href=${sessionHash(id)}><bdi>${nameOf(run)}</bdi></a></h2>
      <${Standing} run=${run} /><${Progress} run=${run} /><${Verdicts} run=${run} /><span class="soft"><${Elapsed} run=${run} /></span>
      <span class="soft">${money(run.cost_usd)} · ${short(run.input_tokens)} → ${short(run.output_tokens)} tokens</span>
      <bdi class="soft">${[run.agent, run.model].filter(Boolean).map((word) => oneLine(word ?? '')).join(' · ')}</bdi>
      <bdi class="soft">${run.started ? `began ${minute(run.started)}` : ''}</bdi>
      ${run.current && html`<p class="current">At <bdi>${oneLine(run.current)}</bdi></p>`}
    </section>
    ${error && html`<p class="notice" role="alert">${error.message}</p>`}
    <div class="bar" role="group" aria-label="Filters">
      ${OUTCOMES.map(([value, name]) => html`<button key=${value} class="quiet" aria-pressed=${value === outcome} onClick=${() => filter({ outcome: value })}>${name}</button>`)}
    </div>
    <ol class="rows" aria-label="Tasks">${shown.map((task) => html`<${Task} key=${task.first_seq} id=${id} task=${task} total=${run.total} />`)}</ol>
    ${shown.length === 0 && html`<p class="told" role="status">No task is like that.</p>`}
    ${run.more && html`<p class="told">There are more tasks than are shown here.</p>`}
  </div>`;
}

/** @param {{ id: string, task: Wire.Task, total: number | undefined }} props */
function Task({ id, task, total }) {
  const tone = { passed: 'good', failed: 'bad', error: 'bad' }[task.outcome ?? ''] ?? (task.outcome ? '' : 'busy');
  return html`<li class="task" tabindex="-1" data-task=${task.task} data-outcome=${task.outcome ?? 'open'}>
    <span class="state ${tone}"><i class="dot" aria-hidden="true"></i>${task.outcome ?? 'running'}</span>
    <span class="what">
      <a href=${sessionHash(id, task.first_seq)}><bdi class="title">${oneLine(task.task)}</bdi></a>
      ${task.number !== undefined && html` <span class="soft">${whole(task.number)}${total ? ` of ${whole(total)}` : ''}</span>`}
    </span>
    <span class="soft">${task.score !== undefined && `score ${score(task.score)}`}</span>
    <span class="ago">${task.duration_ms !== undefined ? duration(task.duration_ms) : !task.outcome && task.started && html`<${Elapsed} run=${{ started: task.started }} />`}</span>
    ${task.error && html`<p class="errors"><bdi>${oneLine(task.error)}</bdi></p>`}
    ${task.graders.length > 0 &&
    html`<ul class="graders">
      ${task.graders.map(
        (grader) =>
          html`<li key=${grader.seq}>
            <span class=${grader.passed ? 'good' : 'bad'}>${grader.passed ? 'passed' : 'failed'}</span> <bdi>${oneLine(grader.grader)}</bdi>
            ${grader.grader_type && html` <span class="soft"><bdi>${oneLine(grader.grader_type)}</bdi></span>`}
            ${grader.score !== undefined && html` <span class="soft">score ${score(grader.score)}</span>`}
            ${grader.message && html`<${Clip} text=${grader.message} ...${OUTPUT} />`}
          </li>`,
      )}
    </ul>`}
  </li>`;
}

/** @param {number} value */
const score = (value) => Number(value.toFixed(3));

/** @param {{ inbox: import('../inbox.js').Inbox }} props */
function Empty({ inbox }) {
  return html`<section class="empty">
    <h2>No runs yet</h2>
    <p>A run is a session that tells of its tasks. To see one, publish what your harness does:</p>
    <${Command} text=${PUBLISH} inbox=${inbox} scopes=${['publish']} />
    <p>then <code>grader_result</code>, <code>task_complete</code> and <code>run_complete</code>. They are shown as they come.</p>
  </section>`;
}
