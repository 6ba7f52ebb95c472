// Markdown, as agents write it, read into blocks and spans: no markup is made here, and none is taken from the text.
//
// A part of CommonMark with tables and strikethrough. What is not understood stays as it is written. Every step moves forward, so
// that no text takes longer than its length.

/**
 * @typedef {{ kind: 'text', text: string } | { kind: 'code', text: string } | { kind: 'strong' | 'em' | 'del', spans: Span[] }
 *   | { kind: 'link', url: string, spans: Span[] } | { kind: 'break' }} Span
 * @typedef {{ kind: 'paragraph', spans: Span[] } | { kind: 'heading', level: number, spans: Span[] } | { kind: 'code', lang: string, text: string }
 *   | { kind: 'quote', blocks: Block[] } | { kind: 'list', ordered: boolean, start: number, items: Block[][] } | { kind: 'rule' }
 *   | { kind: 'table', head: Span[][], rows: Span[][][] }} Block
 */

/** Quotes and lists in one another, and spans in spans: what is deeper is text. */
const DEEP = 6;

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const TABLE = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** @param {string} text @returns {Block[]} */
export const blocks = (text) => read(text.replaceAll('\r\n', '\n').split('\n'), 0);

/** @param {string[]} lines @param {number} depth @returns {Block[]} */
function read(lines, depth) {
  /** @type {Block[]} */
  const out = [];
  /** @type {string[]} */
  let words = [];
  const end = () => {
    if (words.length > 0) out.push({ kind: 'paragraph', spans: spans(words.join('\n')) });
    words = [];
  };
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const found = line.trim() === '' ? { block: null, next: at + 1 } : special(lines, at, depth, words.length > 0);
    if (found) {
      end();
      if (found.block) out.push(found.block);
      at = found.next;
    } else {
      words.push(line);
      at += 1;
    }
  }
  end();
  return out;
}

/** A block that is no paragraph, where one begins. @param {string[]} lines @param {number} at @param {number} depth @param {boolean} within a paragraph */
function special(lines, at, depth, within) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence[1], fence[2].trim());
  const heading = HEADING.exec(line);
  if (heading) return { block: /** @type {Block} */ ({ kind: 'heading', level: heading[1].length, spans: spans(heading[2].trim()) }), next: at + 1 };
  if (RULE.test(line)) return { block: /** @type {Block} */ ({ kind: 'rule' }), next: at + 1 };
  if (QUOTE.test(line) && depth < DEEP) return quoted(lines, at, depth);
  const item = ITEM.exec(line);
  if (item && depth < DEEP && !(within && (item[4] === '' || (/^\d/.test(item[2]) && Number.parseInt(item[2], 10) !== 1)))) return listed(lines, at, depth, /^\d/.test(item[2]));
  if (line.includes('|') && TABLE.test(lines[at + 1] ?? '') && lines[at + 1].includes('-')) return tabled(lines, at);
  return null;
}

/** @param {string[]} lines @param {number} at @param {string} mark @param {string} lang @returns {{ block: Block, next: number }} */
function fenced(lines, at, mark, lang) {
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(mark) && lines[end].trim().replaceAll(mark[0], '') === '')) end += 1;
  // One that is not closed yet is still being written.
  return { block: { kind: 'code', lang, text: lines.slice(at + 1, end).join('\n') }, next: end + 1 };
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {{ block: Block, next: number }} */
function quoted(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  return { block: { kind: 'quote', blocks: read(lines.slice(at, end).map((line) => line.replace(QUOTE, '')), depth + 1) }, next: end };
}

/** @param {string[]} lines @param {number} at @param {number} depth @param {boolean} ordered @returns {{ block: Block, next: number }} */
function listed(lines, at, depth, ordered) {
  /** @type {Block[][]} */
  const items = [];
  const start = Number.parseInt(lines[at].trim(), 10);
  for (let found = ITEM.exec(lines[at]); found && /^\d/.test(found[2]) === ordered; found = at < lines.length ? ITEM.exec(lines[at]) : null) {
    const indent = found[1].length + found[2].length + Math.min(Math.max(found[3].length, 1), 4);
    const own = [found[4]];
    for (at += 1; at < lines.length; at += 1) {
      const line = lines[at];
      if (line.trim() === '') {
        // A blank line belongs to the item when more of it follows.
        if (!/^\s{2,}\S/.test(lines[at + 1] ?? '')) break;
        own.push('');
      } else if (line.startsWith(' '.repeat(Math.min(indent, 2)))) own.push(line.slice(Math.min(indent, line.length - line.trimStart().length)));
      else if (ITEM.test(line) || special(lines, at, DEEP, false)) break;
      else own.push(line);
    }
    items.push(read(own, depth + 1));
    if ((lines[at] ?? '').trim() === '' && ITEM.test(lines[at + 1] ?? '') && /^\s*\d/.test(lines[at + 1]) === ordered) at += 1;
    if (at >= lines.length) break;
  }
  return { block: { kind: 'list', ordered, start: Number.isNaN(start) ? 1 : start, items }, next: at };
}

/** @param {string[]} lines @param {number} at @returns {{ block: Block, next: number }} */
function tabled(lines, at) {
  const cells = (/** @type {string} */ line) => line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((cell) => spans(cell.trim()));
  const head = cells(lines[at]);
  /** @type {Span[][][]} */
  const rows = [];
  for (at += 2; at < lines.length && lines[at].includes('|') && lines[at].trim() !== ''; at += 1) rows.push(cells(lines[at]).slice(0, head.length));
  return { block: { kind: 'table', head, rows }, next: at };
}

// What may begin a span, in the order of trying. No part of one repeats within a repetition.
const SPAN =
  /(?<code>`+)|\[(?<words>[^\][\n]{0,500})\]\((?<link>[^()\s]{1,2000})\)|(?<strong>\*\*|__)(?=\S)|(?<del>~~)(?=\S)|(?<em>[*_])(?=\S)|(?<url>https?:\/\/[^\s<>"'`\])]{1,2000})|\\(?<escape>[!-/:-@[-`{-~])|(?<end> {2}\n)/g;

/** @param {string} text @param {number} [depth] @returns {Span[]} */
export function spans(text, depth = 0) {
  /** @type {Span[]} */
  const out = [];
  let from = 0;
  let plain = '';
  /** What was looked for and is nowhere further on. @type {Set<string>} */
  const absent = new Set();
  const add = (/** @type {Span} */ span, /** @type {number} */ to) => {
    if (plain) out.push({ kind: 'text', text: plain });
    plain = '';
    out.push(span);
    from = SPAN_.lastIndex = to;
  };
  const SPAN_ = new RegExp(SPAN.source, 'g');
  for (let found = SPAN_.exec(text); found; found = SPAN_.exec(text)) {
    const { code, words, link, strong, del, em, url, escape, end } = found.groups ?? {};
    plain += text.slice(from, found.index);
    from = found.index;
    const after = found.index + found[0].length;
    if (code) {
      const close = absent.has(code) ? -1 : closing(text, code, after);
      if (close < 0) absent.add(code);
      else {
        add({ kind: 'code', text: text.slice(after, close).replace(/^ (.*\S.*) $/s, '$1') }, close + code.length);
        continue;
      }
    } else if (link !== undefined && isSafe(link)) {
      add({ kind: 'link', url: link, spans: depth < DEEP ? spans(words, depth + 1) : [{ kind: 'text', text: words }] }, after);
      continue;
    } else if (url) {
      const address = url.replace(/[.,;:!?*_~]+$/, '');
      if (isSafe(address)) {
        add({ kind: 'link', url: address, spans: [{ kind: 'text', text: address }] }, found.index + address.length);
        continue;
      }
    } else if (end !== undefined) {
      add({ kind: 'break' }, after);
      continue;
    } else if (escape) {
      plain += escape;
      from = after;
      continue;
    } else {
      const mark = strong ?? del ?? em ?? '';
      const close = depth < DEEP && mark && !absent.has(mark) ? ending(text, mark, after, found.index) : -1;
      if (mark && close < 0) absent.add(mark);
      else if (mark) {
        add({ kind: strong ? 'strong' : del ? 'del' : 'em', spans: spans(text.slice(after, close), depth + 1) }, close + mark.length);
        continue;
      }
    }
    plain += text.slice(from, after);
    from = after;
  }
  plain += text.slice(from);
  if (plain) out.push({ kind: 'text', text: plain });
  return out;
}

/** The same run of backticks, and no longer one. @param {string} text @param {string} run @param {number} from */
function closing(text, run, from) {
  for (let at = text.indexOf(run, from); at >= 0; ) {
    let end = at + run.length;
    while (text[end] === '`') end += 1;
    if (end - at === run.length) return at;
    at = text.indexOf(run, end);
  }
  return -1;
}

/** Where emphasis ends, by its own mark after a word; `_` within a word is no mark. @param {string} text @param {string} mark @param {number} from @param {number} start */
function ending(text, mark, from, start) {
  const isWord = (/** @type {string | undefined} */ sign) => sign !== undefined && /[\p{L}\p{N}]/u.test(sign);
  if (mark[0] === '_' && isWord(text[start - 1])) return -1;
  for (let at = text.indexOf(mark, from); at >= 0; at = text.indexOf(mark, at + 1)) {
    if (at === from || /\s/.test(text[at - 1])) continue;
    if (mark.length === 1 && (text[at + 1] === mark || text[at - 1] === mark)) continue;
    if (mark[0] === '_' && isWord(text[at + mark.length])) continue;
    return at;
  }
  return -1;
}

/** Whether an address leads to the web, and nowhere else. @param {string} address */
function isSafe(address) {
  if (!/^https?:\/\//i.test(address) || /[\p{Cc}\p{Cf}]/u.test(address)) return false;
  return URL.canParse(address);
}
