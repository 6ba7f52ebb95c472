import assert from 'node:assert/strict';
import test from 'node:test';
import { parts } from '../ansi.js';
import { blocks, spans } from '../markdown.js';

/** All text of blocks, as it is shown. @param {any} tree @returns {string} */
const words = (tree) => (Array.isArray(tree) ? tree.map(words).join('') : typeof tree === 'object' && tree !== null ? (tree.text ?? '') + words(Object.values(tree).filter((part) => typeof part === 'object')) : '');

test('blocks of markdown are told apart', () => {
  const text = '# Head\n\nWords\nof two lines\n- a\n- b\n  1. c\n\n```rs\nlet x = 1;\n\n# no head\n```\n> said\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---';
  assert.deepEqual(blocks(text).map(({ kind }) => kind), ['heading', 'paragraph', 'list', 'code', 'quote', 'table', 'rule']);
  const [, , list, code, , table] = blocks(text);
  assert.ok(list.kind === 'list' && code.kind === 'code' && table.kind === 'table');
  assert.deepEqual([list.items.length, list.items[1].map(({ kind }) => kind)], [2, ['paragraph', 'list']]);
  assert.deepEqual([code.lang, code.text], ['rs', 'let x = 1;\n\n# no head']);
  assert.deepEqual([words(table.head), words(table.rows)], ['ab', '12']);
});

test('a block of code that is still being written is one', () => {
  const [first] = blocks('```\nhalf of');
  assert.deepEqual(first, { kind: 'code', lang: '', text: 'half of' });
});

test('spans of markdown are told apart, and names with underlines stay names', () => {
  assert.deepEqual(spans('a **b _c_** `d*e*` ~~f~~').map(({ kind }) => kind), ['text', 'strong', 'text', 'code', 'text', 'del']);
  assert.deepEqual(spans('snake_case_name and 2 * 3 * 4 \\*x\\*'), [{ kind: 'text', text: 'snake_case_name and 2 * 3 * 4 *x*' }]);
});

test('a link leads to the web or is text', () => {
  const [link] = spans('[here](https://example.com/a?b=c)');
  assert.deepEqual(link, { kind: 'link', url: 'https://example.com/a?b=c', spans: [{ kind: 'text', text: 'here' }] });
  assert.deepEqual(spans('https://example.com/x.')[0], { kind: 'link', url: 'https://example.com/x', spans: [{ kind: 'text', text: 'https://example.com/x' }] });
  for (const url of ['javascript:alert(1)', 'JAVASCRIPT:alert(1)', 'data:text/html,x', 'vbscript:x', '//example.com', '/api/me', '#/x', 'file:///etc/passwd', 'https:', 'ht\ttps://x', 'https://', 'https://a\u202eb']) {
    const text = `[x](${url})`;
    assert.ok(spans(text).every(({ kind }) => kind !== 'link'), url);
    assert.equal(words(spans(text)), text);
  }
});

test('markup is text', () => {
  const text = '<script>alert(1)</script> <img src=x onerror=y> &lt; <a href="javascript:x">y</a>';
  assert.equal(words(blocks(text)), text);
  assert.ok(blocks(text).every(({ kind }) => kind === 'paragraph'));
});

test('no text takes longer than its length', () => {
  const hostile = ['*', '_', '`', '[', '[a](', '**a*', '> ', '- ', '- a\n', '|', '| a\n|-', '# ', '~~~\n', '1. ', '\\', '!', '``` ', 'http://', '*a ', '_a_', '(', ' ', '\n '];
  // What grows with the square takes seconds at this size.
  const started = process.cpuUsage();
  for (const part of hostile) for (const end of ['', 'x', '`', ')']) blocks(part.repeat(40_000 / part.length) + end);
  const { user } = process.cpuUsage(started);
  assert.ok(user < 30e6, `${user / 1e6} s of processor time`);
});

test('colours of a terminal are read, in all their forms, and end where they are ended', () => {
  const found = parts('a\x1b[31mred\x1b[1;4mmore\x1b[0m b \x1b[38;5;208mc\x1b[38;2;1;2;3;7md\x1b[39;27me\x1b[94mf\x1b[m');
  assert.deepEqual(found.map(({ text, look }) => [text, look?.color]), [['a', undefined], ['red', 1], ['more', 1], [' b ', undefined], ['c', 'rgb(255 135 0)'], ['d', 'rgb(1 2 3)'], ['e', undefined], ['f', 12]]);
  assert.deepEqual([found[2].look?.bold, found[2].look?.underline, found[5].look?.inverse], [true, true, true]);
});

test('numbers that no terminal has do no harm', () => {
  for (const code of ['999', '38', '38;5', '38;2;1', '38;5;999', ';;;', '48;9;9', '38;2;-1;x;1e9', '9'.repeat(999)]) assert.equal(parts(`\x1b[${code}mx`).map(({ text }) => text).join('').endsWith('x'), true);
});
