import assert from 'node:assert/strict';
import test from 'node:test';
import { ago, duration, money, oneLine, plain, short } from '../format.js';

test("a terminal's codes are left out, other control characters are seen", () => {
  assert.equal(plain('\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://a\x1b\\y'), 'red xy');
  assert.equal(plain('a\x00b\x07c\x7fd\x9fe\tf\ng\r\nh'), 'a\u2400b\u2407c\u2421d⟨U+009F⟩e\tf\ng\nh');
  assert.equal(plain('\x1b'), '\u241b', 'an escape that begins nothing');
});

test('nothing turns the direction of the text around it', () => {
  assert.equal(plain('safe\u202etxt.exe\u2066x'), 'safe⟨U+202E⟩txt.exe⟨U+2066⟩x');
  assert.equal(plain('שלום'), 'שלום');
});

test('a line is one line', () => assert.equal(oneLine('  a\n\n\tb \r\n c '), 'a b c'));

test('numbers are short and never rounded up to what they are not', () => {
  assert.deepEqual([0, 999, 1234, 9999, 10_000, 999_999, 1_250_000].map(short), ['0', '999', '1.2k', '9.9k', '10k', '999k', '1.2M']);
  assert.deepEqual([0, 0.0014, 0.0144, 1.5, 12].map(money), ['$0.00', '$0.0014', '$0.014', '$1.50', '$12.00']);
  assert.deepEqual([0, 999, 1234, 12_345, 83_000, 3_723_000].map(duration), ['0 ms', '999 ms', '1.2 s', '12 s', '1 min 23 s', '1 h 2 min']);
});

test('times are told from the clock that is given', () => {
  const at = '2026-11-20T08:00:00.000Z';
  const after = (/** @type {number} */ seconds) => ago(at, Date.parse(at) + seconds * 1000);
  assert.deepEqual([-9, 4, 59, 60, 3599, 86_399, 86_400].map(after), ['now', 'now', '59 s', '1 min', '59 min', '23 h', '1 d']);
  assert.equal(ago('nonsense', 0), '');
});
