import assert from 'node:assert/strict';
import test from 'node:test';
import { answered, answersOf, questionsOf } from '../question.js';

const options = [{ label: 'A', description: 'the first' }, { label: 'B' }];

test('each vendor has its answers in its own form, and they are read back', () => {
  const claude = { questions: [{ question: 'Which?', options }, { question: 'Why?', multiSelect: true, options }] };
  const codex = [{ id: 'q1', question: 'Which?', options }, { id: 'q2', question: 'Why?' }];
  const opencode = { questions: [{ question: 'Which?', options, multiple: true }, { question: 'Why?' }] };
  const chosen = [['A'], ['B', 'so']];
  const answers = { 'Which?': 'A', 'Why?': 'B, so' };
  /** @type {[string, unknown, { answers: unknown }][]} */
  const forms = [
    ['AskUserQuestion', claude, { ...claude, answers }],
    ['request_user_input', codex, { answers: { q1: { answers: ['A'] }, q2: { answers: ['B', 'so'] } } }],
    ['question', opencode, { answers: chosen }],
  ];
  for (const [tool, args, wanted] of forms) {
    const questions = questionsOf(tool, args);
    assert.deepEqual(answered(tool, args, questions, chosen), wanted, tool);
    for (const told of [wanted, wanted.answers]) assert.deepEqual(answersOf(questions, told), Object.entries(answers), tool);
  }
});

test('what is no question of a known form is an approval like others', () => {
  const bad = [undefined, null, 'x', {}, { questions: 'x' }, { questions: [{}] }, { questions: [null] }, { questions: [{ question: 7 }] }];
  for (const args of bad) assert.deepEqual(questionsOf('AskUserQuestion', args), []);
  assert.deepEqual(questionsOf('Bash', { questions: [{ question: 'x', options }] }), []);
  assert.deepEqual(questionsOf('constructor', { questions: [{ question: 'x' }] }), []);
  assert.deepEqual(answersOf(questionsOf('question', [{ question: 'x' }]), { answers: 'odd' }), [['x', '']]);
});
