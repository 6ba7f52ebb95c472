// Questions that an agent asks through a tool, with answers to choose from: read from its arguments, answered by them.

import { isObject, str } from './loose.js';

/** @typedef {{ question: string, header: string, many: boolean, options: { label: string, description: string }[] }} Question */

/** Tools that ask so, and wait for their own arguments with `answers` beside them: a text for each question's text. */
const TOOLS = new Set(['AskUserQuestion']);

/** What is asked; none where it is no question of this form. @param {string} tool @param {unknown} args @returns {Question[]} */
export function questionsOf(tool, args) {
  if (!TOOLS.has(tool) || !isObject(args) || !Array.isArray(args.questions)) return [];
  const all = args.questions.map(read);
  return all.every((question) => question !== null) ? all : [];
}

/** @param {unknown} value @returns {Question | null} */
function read(value) {
  if (!isObject(value) || typeof value.question !== 'string' || value.question === '') return null;
  const options = Array.isArray(value.options) ? value.options.filter(isObject) : [];
  return {
    question: value.question,
    header: str(value.header),
    many: value.multiSelect === true,
    options: options.map((option) => ({ label: str(option.label), description: str(option.description) })).filter(({ label }) => label !== ''),
  };
}

/** The arguments with what was answered: by question, what was chosen and typed. @param {unknown} args @param {Map<string, string[]>} chosen */
export function answered(args, chosen) {
  const answers = [...chosen].filter(([, words]) => words.length > 0).map(([question, words]) => [question, words.join(', ')]);
  return { ...(isObject(args) ? args : {}), answers: Object.fromEntries(answers) };
}

/** What was answered, where it was. @param {unknown} args @returns {[string, string][]} */
export const answersOf = (args) => (isObject(args) && isObject(args.answers) ? Object.entries(args.answers).map(([key, value]) => [key, str(value)]) : []);
