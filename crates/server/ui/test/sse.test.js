import assert from 'node:assert/strict';
import test from 'node:test';
import { SseParser } from '../sse.js';

/** @param {string[]} chunks @param {number} [max] */
function parse(chunks, max) {
  /** @type {import('../sse.js').Frame[]} */
  const frames = [];
  /** @type {number[]} */
  const retries = [];
  const parser = new SseParser((frame) => frames.push(frame), (ms) => retries.push(ms), max);
  for (const chunk of chunks) parser.push(chunk);
  return { frames, retries, brief: frames.map(({ type, data, id }) => [type, data, id]) };
}

test('an id alone is no event, and is told as a place', () => {
  /** @type {string[]} */
  const places = [];
  const parser = new SseParser(() => assert.fail(), undefined, undefined, (id) => places.push(id));
  for (const sign of 'id: 7\n\n: hb\n\nid: 9\n\nevent: e\n\nid: 1\0\n\nid: 14\n') parser.push(sign);
  assert.deepEqual(places, ['7', '9']);
});

test('the rules of the standard hold', () => {
  /** @type {[string, string[][]][]} */
  const cases = [
    ['data: a\n\n', [['message', 'a', '']]],
    ['data:a\ndata: b\ndata:  c\n\n', [['message', 'a\nb\n c', '']]],
    ['\ufeffdata: bom\n\n', [['message', 'bom', '']]],
    [': comment\n\ndata: a\n: comment\n\n', [['message', 'a', '']]],
    ['event: hello\ndata: {}\n\ndata: x\n\n', [['hello', '{}', ''], ['message', 'x', '']]],
    ['data: a\nid: 7\n\ndata: b\n\n', [['message', 'a', '7'], ['message', 'b', '7']]],
    ['id: 7\n\ndata: a\n\n', [['message', 'a', '7']]],
    ['data: a\nid: 7\0\n\n', [['message', 'a', '']]],
    ['id: 7\ndata: a\n\nid\ndata: b\n\n', [['message', 'a', '7'], ['message', 'b', '']]],
    ['data\n\n', []],
    ['data\ndata\n\n', [['message', '\n', '']]],
    ['event: x\n\ndata: a\n\n', [['message', 'a', '']]],
    ['data: unterminated', []],
    ['data: unterminated\n', []],
    ['nonsense\nfoo: bar\ndata: a\n\n', [['message', 'a', '']]],
    ['data: a\r\ndata: b\rdata: c\n\r\n', [['message', 'a\nb\nc', '']]],
  ];
  for (const [text, wanted] of cases) {
    assert.deepEqual(parse([text]).brief, wanted, JSON.stringify(text));
    assert.deepEqual(parse([...text]).brief, wanted, `sign by sign: ${JSON.stringify(text)}`);
  }
});

test('a line break that is cut in two is one line break', () => {
  assert.deepEqual(parse(['data: a\r', '\n', '\r', '\ndata: b\r', '\r']).brief, [['message', 'a', ''], ['message', 'b', '']]);
});

test('retry takes digits and nothing else', () => {
  assert.deepEqual(parse(['retry: 250\nretry: 1e3\nretry: -5\nretry:\nretry: 30 \n\n']).retries, [250]);
});

test('an event that is too large is told with its id, and the next one is whole', () => {
  const big = 'x'.repeat(5000);
  for (const text of [`data: ${big}\nid: 7\n\ndata: ok\nid: 8\n\n`, `${'data: 1234567\n'.repeat(200)}id: 7\n\ndata: ok\nid: 8\n\n`]) {
    for (const size of [1, 7, 999, text.length]) {
      const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, at) => text.slice(at * size, (at + 1) * size));
      const { frames } = parse(chunks, 1000);
      assert.deepEqual(frames.map(({ data, id, oversize }) => [data, id, oversize]), [['', '7', true], ['ok', '8', false]]);
    }
  }
});

test('a comment of any length changes nothing', () => {
  assert.deepEqual(parse([`: ${'x'.repeat(5000)}\ndata: a\n\n`], 1000).brief, [['message', 'a', '']]);
});
