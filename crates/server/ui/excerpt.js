// Where the words of a search stand in an event, as much around them as fits a line.

import { isObject } from './loose.js';

/** What the server searches, the most telling first. */
const FIELDS = ['content', 'text', 'body', 'message', 'title', 'error', 'note', 'arguments', 'output', 'tool', 'query', 'task', 'grader'];
/** Characters of one event that are looked through: what the server's index has of it. */
const LOOK = 64 * 1024;
/** Characters before the first word, and in all. */
const BEFORE = 60;
const LENGTH = 260;

/** @typedef {{ text: string, hit: boolean }} Piece */

/** Words as the server takes them: those in quotes are one phrase, a last `*` is any ending. @param {string} query @returns {string[]} */
export function wordsOf(query) {
  const found = [...query.matchAll(/"([^"]*)"|(\S+)/g)].map(([, phrase, word]) => (phrase ?? word).replace(/\*$/, ''));
  return found.map(fold).map((word) => word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '')).filter(Boolean);
}

/** Without case and diacritics, of the same length: what is found in it stands there in the text. @param {string} text */
const fold = (text) => text.replace(/[^\x00-\x7f]|[A-Z]/gu, folded); // eslint-disable-line no-control-regex

/** @param {string} sign */
function folded(sign) {
  const plain = sign.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
  return plain.length === sign.length ? plain : sign;
}

/** Texts of what the server searches, at any depth. @param {unknown} value @param {string[]} into @param {number} depth */
function gather(value, into, depth = 0) {
  if (depth > 12) return;
  if (typeof value === 'string') into.push(value);
  else if (typeof value === 'number') into.push(String(value));
  else if (Array.isArray(value)) for (const part of value) gather(part, into, depth + 1);
  else if (isObject(value)) for (const part of Object.values(value)) gather(part, into, depth + 1);
}

/** @param {Record<string, unknown>} data @param {string[]} words @returns {Piece[]} */
export function excerptOf(data, words) {
  /** @type {string[]} */
  const texts = [];
  for (const field of FIELDS) if (isObject(data) && Object.hasOwn(data, field)) gather(data[field], texts);
  let best = { text: texts[0] ?? '', at: -1 };
  let left = LOOK;
  for (const whole of texts) {
    if (left <= 0) break;
    const text = whole.slice(0, left);
    left -= text.length;
    const low = fold(text);
    const places = words.map((word) => low.indexOf(word)).filter((place) => place >= 0);
    if (places.length === 0) continue;
    best = { text, at: Math.min(...places) };
    break;
  }
  const from = Math.max(0, best.at - BEFORE);
  const part = best.text.slice(from, from + LENGTH);
  const pieces = marked(part, words);
  if (from > 0) pieces.unshift({ text: '…', hit: false });
  if (from + LENGTH < best.text.length) pieces.push({ text: '…', hit: false });
  return pieces;
}

/** @param {string} text @param {string[]} words @returns {Piece[]} */
function marked(text, words) {
  const low = fold(text);
  /** @type {Piece[]} */
  const pieces = [];
  let from = 0;
  while (from < text.length) {
    let [at, length] = [-1, 0];
    for (const word of words) {
      const place = low.indexOf(word, from);
      if (place >= 0 && (at < 0 || place < at || (place === at && word.length > length))) [at, length] = [place, word.length];
    }
    if (at < 0) break;
    if (at > from) pieces.push({ text: text.slice(from, at), hit: false });
    pieces.push({ text: text.slice(at, at + length), hit: true });
    from = at + length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from), hit: false });
  return pieces;
}
