// A question with answers to choose from, or to type.

import { useRef, useState } from 'preact/hooks';
import { oneLine, plain } from '../format.js';
import { html } from '../html.js';
import { answered } from '../question.js';

/**
 * @param {{ tool: string, args: unknown, questions: import('../question.js').Question[], idle: boolean, decide: import('./prompt.js').Decide }} props
 */
export function Questions({ tool, args, questions, idle, decide }) {
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const [empty, setEmpty] = useState(false);
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    if (!form.current) return;
    const typed = new FormData(form.current);
    const chosen = questions.map((_, at) => typed.getAll(`answer-${at}`).map((word) => String(word).trim()).filter(Boolean));
    const isEmpty = chosen.every((words) => words.length === 0);
    setEmpty(isEmpty);
    if (isEmpty) form.current.querySelector('input')?.focus();
    else decide({ decision: 'approve', arguments: answered(tool, args, questions, chosen) });
  };
  return html`<form class="questions" ref=${form} onSubmit=${submit}>
    ${questions.map((question, at) => html`<${One} key=${at} question=${question} name=${`answer-${at}`} />`)}
    ${empty && html`<p class="notice" role="alert">Nothing is chosen or typed.</p>`}
    <button data-key="a" title="Key: a" aria-disabled=${idle}>Answer</button>
  </form>`;
}

/** @param {{ question: import('../question.js').Question, name: string }} props */
function One({ question: { question, header, many, options }, name }) {
  return html`<fieldset>
    <legend>${header && html`<bdi class="label">${oneLine(header)}</bdi> `}<bdi>${plain(question)}</bdi></legend>
    ${options.map(
      ({ label, description }, at) =>
        html`<label key=${at} class="option">
          <input type=${many ? 'checkbox' : 'radio'} name=${name} value=${label} />
          <span><bdi>${oneLine(label)}</bdi> <bdi class="detail">${plain(description)}</bdi></span>
        </label>`,
    )}
    <input name=${name} class="other" aria-label=${`Another answer to: ${oneLine(question)}`} placeholder=${options.length > 0 ? 'or in your own words' : 'your answer'} autocomplete="off" maxlength="4000" />
  </fieldset>`;
}
