import assert from 'node:assert/strict';
import test from 'node:test';
import { excerptOf, wordsOf } from '../excerpt.js';

const said = (/** @type {import('../excerpt.js').Piece[]} */ pieces) => pieces.map(({ text, hit }) => (hit ? `[${text}]` : text)).join('');

test('words, phrases and beginnings are taken as the server takes them', () => {
  assert.deepEqual(wordsOf('Größe "cargo Test" migrat* ... a-b'), ['große', 'cargo test', 'migrat', 'a-b']);
});

test('an excerpt is around the first word, marks all of them, and is of the text as it was', () => {
  const content = `${'x '.repeat(100)}Der ÜBERBLICK und überblick${' y'.repeat(300)}`;
  const pieces = excerptOf({ content }, ['uberblick']);
  assert.match(said(pieces), /^….*Der \[ÜBERBLICK\] und \[überblick\].*…$/);
});

test('a word is found at any depth, and none gives the start', () => {
  assert.equal(said(excerptOf({ arguments: { a: [{ deep: 'the needle' }] } }, ['needle'])), 'the [needle]');
  assert.equal(said(excerptOf({ content: 'nothing here' }, ['needle'])), 'nothing here');
  assert.equal(said(excerptOf({ other: 'needle' }, ['needle'])), '');
});
