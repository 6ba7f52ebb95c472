// What each kind of event does to a timeline.

import { num, str } from './loose.js';

/** States worth a row of their own; the others are told by the events around them. @type {Record<string, string>} */
const TOLD_STATES = {
  compacting: 'Compacting the context',
  needs_approval: 'Waits for an approval',
  needs_answer: 'Waits for an answer',
  rate_limited: 'Rate limited',
};

/** @param {...string} parts */
const dotted = (...parts) => parts.filter(Boolean).join(' · ');

/** @param {{ exit_code?: unknown }} data */
function exit(data) {
  const code = num(data.exit_code);
  return code === null ? '' : `exit code ${code}`;
}

/** @param {boolean} passed @returns {'good' | 'bad'} */
const tone = (passed) => (passed ? 'good' : 'bad');

/**
 * What each kind does to a timeline. A kind that is not here gets a row that shows it as it is.
 * @type {{ [K in keyof Wire.Bodies]?: (this: import('./store.js').Timeline, event: Wire.Event, data: Wire.Loose<Wire.Bodies[K]>) => void }}
 */
export const FOLDS = {
  session_start(event, data) {
    this.markSession('start', event, event, 'Session started', dotted(event.source, str(data.model), str(data.cwd)));
  },
  session_end(event, data) {
    this.close();
    const reason = str(data.reason);
    this.markSession('end', event, event, 'Session ended', dotted(reason === 'exit' ? '' : reason, exit(data)), num(data.exit_code) ? 'bad' : '');
  },
  turn_start(event, data) {
    this.turnStart(event, data);
  },
  turn_end(event, data) {
    this.turnEnd(event, data);
  },
  turn_state_changed(event, data) {
    const told = TOLD_STATES[str(data.state)];
    if (told) this.mark(event, told, str(data.note), 'wait');
    else this.attach(event);
  },
  message(event, data) {
    this.whole('message', event, data);
  },
  text_delta(event, data) {
    this.piece('message', event, data);
  },
  reasoning(event, data) {
    this.whole('reasoning', event, data);
  },
  reasoning_delta(event, data) {
    this.piece('reasoning', event, data);
  },
  tool_call_start(event, data) {
    this.toolStart(event, data);
  },
  tool_progress(event, data) {
    this.toolProgress(event, data);
  },
  tool_call(event, data) {
    this.toolEnd(event, data);
  },
  usage(event, data) {
    this.usage(event, data);
  },
  llm_request(event) {
    this.attach(event);
  },
  memory(event, data) {
    const count = num(data.count);
    this.mark(event, `Memory ${str(data.action)}`, dotted(str(data.query), count === null ? '' : `${count} found`));
  },
  model_changed(event, data) {
    this.mark(event, 'Model changed', str(data.model));
  },
  status_changed(event, data) {
    this.mark(event, `Agent ${str(data.status).replaceAll('_', ' ')}`, str(data.note));
  },
  note(event, data) {
    this.push(event, { kind: 'text', text: str(data.text) });
  },
  error(event, data) {
    this.push(event, { kind: 'error', component: str(data.component), text: str(data.message) });
  },
  agent_start(event) {
    this.mark(event, 'Agent started', event.agent ?? '');
  },
  agent_end(event, data) {
    this.mark(event, 'Agent ended', str(data.model));
  },
  agent_online(event) {
    this.mark(event, 'Agent online', event.agent ?? '');
  },
  agent_offline(event) {
    this.mark(event, 'Agent offline', event.agent ?? '', 'wait');
  },
  approval_request(event) {
    this.ask(event);
  },
  approval_decision(event, data) {
    this.decide(event, data);
  },
  command(event) {
    this.order(event);
  },
  command_state(event, data) {
    this.orderMoved(event, data);
  },
  task_start(event, data) {
    const [number, total] = [num(data.number), num(data.total)];
    this.mark(event, `Task ${str(data.task)}`, number && total ? `${number} of ${total}` : '');
  },
  task_complete(event, data) {
    const [outcome, score] = [str(data.outcome), num(data.score)];
    this.mark(event, `Task ${str(data.task)}: ${outcome}`, score === null ? '' : `score ${score}`, tone(outcome === 'passed'));
  },
  grader_result(event, data) {
    const verdict = data.passed === true ? 'passed' : 'failed';
    this.mark(event, `Grader ${str(data.grader)}: ${verdict}`, str(data.message), tone(data.passed === true));
  },
  run_complete(event, data) {
    const [passed, total] = [num(data.passed), num(data.total)];
    this.mark(event, 'Run complete', passed !== null && total !== null ? `${passed} of ${total} passed` : '');
  },
  history_trimmed(event, data) {
    this.mark(event, 'History trimmed', dotted(str(data.what), `${num(data.count) ?? 'some'} events before ${str(data.before)}`), 'wait');
  },
};
