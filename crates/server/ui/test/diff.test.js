import assert from 'node:assert/strict';
import test from 'node:test';
import { difference, patched } from '../diff.js';

/** @param {import('../diff.js').Line[]} lines */
const text = (lines) => lines.map(({ sign, text: line }) => `${sign}${line}`);

test('a difference says which lines go and which come, and keeps a few around them', () => {
  assert.deepEqual(text(difference('a\nb\nc\n', 'a\nB\nc\n')), [' a', '-b', '+B', ' c']);
  assert.deepEqual(text(difference('', 'a\nb')), ['+a', '+b']);
  assert.deepEqual(text(difference('a', '')), ['-a']);
  assert.deepEqual(text(difference('a', 'a\n')), ['@Only the line break at the end differs.']);
  const long = Array.from({ length: 40 }, (_, at) => `line ${at}`);
  const changed = long.map((line, at) => (at === 2 || at === 30 ? `${line}!` : line));
  const said = text(difference(long.join('\n'), changed.join('\n')));
  assert.deepEqual(said.slice(0, 4), [' line 0', ' line 1', '-line 2', '+line 2!']);
  assert.equal(said.filter((line) => line === '@⋯').length, 1);
  assert.ok(said.length < 20);
});

test('whatever differs, the kept and gone lines are the old text and the kept and come ones the new', () => {
  let seed = 7;
  const random = (/** @type {number} */ below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 300; round += 1) {
    const some = () => Array.from({ length: random(12) }, () => 'abc'[random(3)]);
    const [a, b] = [some(), some()];
    const lines = difference(a.join('\n'), b.join('\n'));
    if (lines.some(({ sign }) => sign === '@')) continue;
    const of = (/** @type {string} */ sign) => lines.filter((line) => line.sign !== sign).map((line) => line.text);
    if (lines.length === 0) assert.deepEqual(a, b);
    else if (a.length + b.length < 8) assert.deepEqual([of('+'), of('-')], [a, b]);
  }
});

test('a text that is too large for the table is still told', () => {
  const many = (/** @type {string} */ word) => Array.from({ length: 1000 }, (_, at) => `${word} ${at}`).join('\n');
  assert.equal(difference(many('a'), many('b')).length, 2000);
});

test('a patch is read by the first sign of its lines', () => {
  const patch = '*** Update File: a.txt\n@@\n kept\n-old\n+new\n';
  assert.deepEqual(text(patched(patch)), ['@*** Update File: a.txt', '@@@', ' kept', '-old', '+new']);
});
