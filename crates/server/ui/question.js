// Questions that an agent asks through a tool, with answers to choose from: read from its arguments, answered by them.

import { isObject, str } from './loose.js';

/** @typedef {{ id: string, question: string, header: string, many: boolean, options: { label: string, description: string }[] }} Question */

/**
 * How each tool that asks so wants its answers, by the questions and what was chosen and typed for each.
 * @type {Record<string, (args: unknown, questions: Question[], chosen: string[][]) => Record<string, unknown>>}
 */
const REPLIES = {
  // Claude Code: its own arguments, and beside them a text for each question's text.
  AskUserQuestion: (args, questions, chosen) => ({
    ...(isObject(args) ? args : {}),
    answers: Object.fromEntries(questions.map(({ question }, at) => [question, chosen[at].join(', ')]).filter(([, text]) => text !== '')),
  }),
  // Codex: by the questions' ids.
  request_user_input: (_, questions, chosen) => ({
    answers: Object.fromEntries(questions.map(({ id }, at) => [id, { answers: chosen[at] }])),
  }),
  // opencode: in the questions' order.
  question: (_, _questions, chosen) => ({ answers: chosen }),
};

/** What is asked; none where it is no question of these forms. @param {string} tool @param {unknown} args @returns {Question[]} */
export function questionsOf(tool, args) {
  const list = Array.isArray(args) ? args : isObject(args) ? args.questions : undefined;
  if (!Object.hasOwn(REPLIES, tool) || !Array.isArray(list)) return [];
  const all = list.map(read);
  return all.every((question) => question !== null) ? all : [];
}

/** @param {unknown} value @returns {Question | null} */
function read(value) {
  if (!isObject(value) || typeof value.question !== 'string' || value.question === '') return null;
  const options = Array.isArray(value.options) ? value.options.filter(isObject) : [];
  return {
    id: str(value.id) || value.question,
    question: value.question,
    header: str(value.header),
    many: value.multiSelect === true || value.multiple === true,
    options: options.map((option) => ({ label: str(option.label), description: str(option.description) })).filter(({ label }) => label !== ''),
  };
}

/** The arguments that answer. @param {string} tool @param {unknown} args @param {Question[]} questions @param {string[][]} chosen */
export const answered = (tool, args, questions, chosen) => REPLIES[tool](args, questions, chosen);

/** What was answered, by question, where it was. @param {Question[]} questions @param {unknown} args @returns {[string, string][]} */
export function answersOf(questions, args) {
  // An agent's own side may tell the answers alone.
  const answers = isObject(args) && args.answers !== undefined ? args.answers : args;
  return questions.map(({ id, question }, at) => {
    const found = Array.isArray(answers) ? answers[at] : isObject(answers) ? (answers[question] ?? answers[id]) : undefined;
    const words = isObject(found) ? found.answers : found;
    return [question, Array.isArray(words) ? words.map(str).join(', ') : str(words)];
  });
}
