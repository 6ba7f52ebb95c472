// What a call does, in words that do not depend on who tells it: the rules of the server's `tools/work.rs`. Pure.

/** What a call of this tool with these arguments does. @param {string} tool @param {unknown} args */
export function workOf(tool, args) {
  const files = patchOf(args);
  if (files) return `+\n${files.join('\n')}`;
  const command = commandOf(args);
  if (command !== null) return `$ ${innerOf(command) ?? command}`;
  const name = tool.startsWith('mcp__') ? tool.slice(5).replace('__', '.') : tool;
  return `= ${name} ${JSON.stringify(sorted(args))}`;
}

/** Whether two are the same. A file may be told by a path that begins further down. @param {string} a @param {string} b */
export function isSameWork(a, b) {
  if (!a.startsWith('+\n') || !b.startsWith('+\n')) return a === b;
  const [x, y] = [a.split('\n'), b.split('\n')];
  return x.length === y.length && x.every((line, at) => isSameFile(line, y[at] ?? ''));
}

/** @param {string} a @param {string} b */
function isSameFile(a, b) {
  const [[howA, pathA], [howB, pathB]] = [split(a), split(b)];
  const isEnd = (/** @type {string} */ whole, /** @type {string} */ end) => whole === end || whole.endsWith(`/${end}`);
  return howA === howB && (isEnd(pathA, pathB) || isEnd(pathB, pathA));
}

/** @param {string} line @returns {[string, string]} */
function split(line) {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}

/** What a shell is to run. @param {unknown} args */
function commandOf(args) {
  if (typeof args !== 'object' || args === null) return null;
  const { command, cmd } = /** @type {Record<string, unknown>} */ (args);
  const told = command ?? cmd;
  if (Array.isArray(told) && told.every((word) => typeof word === 'string')) return told.length === 3 && runsText(told[1]) ? told[2] : told.join(' ');
  return typeof told === 'string' ? told : null;
}

/** `-c`, `-lc`. @param {string} option */
const runsText = (option) => /^-[^-]*c$/.test(option);

/** A word of a command, as a POSIX shell quotes it; a text in it may be in parts of several quotes. */
const WORD = /(?:'[^']*'|"(?:[^"\\]|\\[^])*"|\\[^]|[^\s'"\\])+/y;

/** What a command that is a shell with a text has that shell run. @param {string} command */
function innerOf(command) {
  const words = [];
  for (let at = 0; at < command.length; at = WORD.lastIndex) {
    WORD.lastIndex = at + (/^\s*/.exec(command.slice(at, at + 16))?.[0].length ?? 0);
    const word = WORD.exec(command)?.[0];
    if (word === undefined || words.length === 3) return null;
    words.push(word.replace(/'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])/g, (_, single, double, one) => single ?? one ?? double.replace(/\\(["\\$`])/g, '$1')));
  }
  const [shell = '', how = '', text] = words;
  return words.length === 3 && shell.endsWith('sh') && runsText(how) ? text : null;
}

/** The files of a patch. @param {unknown} args @returns {string[] | null} */
function patchOf(args) {
  const text = typeof args === 'string' ? args : commandOf(args);
  if (text === null) return changesOf(args);
  if (!text.includes('*** Begin Patch')) return null;
  const found = [...text.matchAll(/^\*\*\* (Add|Update|Delete) File: (.*)$/gm)];
  return ordered(found.map(([, how = '', path = '']) => `${how.toLowerCase()} ${path.trim()}`));
}

/** @param {unknown} args */
function changesOf(args) {
  const changes = typeof args === 'object' && args !== null ? /** @type {{ changes?: unknown }} */ (args).changes : null;
  if (!Array.isArray(changes)) return null;
  return ordered(changes.map((change) => `${change?.kind} ${change?.path}`));
}

/** By what is done, then by the last part of the path, which all tell. @param {string[]} files */
function ordered(files) {
  const key = (/** @type {string} */ file) => [split(file)[0], file.split('/').at(-1), file].join('\n');
  return files.length === 0 ? null : files.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The same JSON, its fields in the order of their names. @param {unknown} value @returns {unknown} */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([key, field]) => [key, sorted(field)]));
}
