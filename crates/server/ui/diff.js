// The lines in which two texts differ.

/** @typedef {{ sign: '+' | '-' | ' ' | '@', text: string }} Line `@` is what stands between two parts. */

/** Cells of the table that is filled at most: above it, all goes and all comes. */
const CELLS = 250_000;
/** Lines around a change that are shown. */
const AROUND = 3;

/** @param {string} from @param {string} to @returns {Line[]} */
export function difference(from, to) {
  const [a, b] = [lines(from), lines(to)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const same = (/** @type {string} */ text) => /** @type {Line} */ ({ sign: ' ', text });
  const middle = changed(a.slice(start, a.length - end), b.slice(start, b.length - end));
  if (from !== to && middle.length === 0) return [{ sign: '@', text: 'Only the line break at the end differs.' }];
  return around([...a.slice(0, start).map(same), ...middle, ...a.slice(a.length - end).map(same)]);
}

/** A patch in the usual form: its lines by their first sign. @param {string} text @returns {Line[]} */
export const patched = (text) =>
  lines(text).map((line) => {
    if (/^(@@|\*\*\*|---|\+\+\+|diff |index )/.test(line)) return { sign: '@', text: line };
    const sign = line[0];
    return sign === '+' || sign === '-' ? { sign, text: line.slice(1) } : { sign: ' ', text: line.replace(/^ /, '') };
  });

/** @param {string} text */
const lines = (text) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

/** By the longest common subsequence. @param {string[]} a @param {string[]} b @returns {Line[]} */
function changed(a, b) {
  const gone = a.map((text) => /** @type {Line} */ ({ sign: '-', text }));
  const come = b.map((text) => /** @type {Line} */ ({ sign: '+', text }));
  if (a.length * b.length === 0 || a.length * b.length > CELLS) return [...gone, ...come];
  const width = b.length + 1;
  const length = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      length[i * width + j] =
        a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
  /** @type {Line[]} */
  const out = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ sign: ' ', text: a[i] });
      i += 1;
      j += 1;
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) out.push(gone[i++]);
    else out.push(come[j++]);
  }
  return [...out, ...gone.slice(i), ...come.slice(j)];
}

/** Leaves out what is far from every change. @param {Line[]} all */
function around(all) {
  const near = new Uint8Array(all.length);
  all.forEach(({ sign }, at) => {
    if (sign !== ' ') near.fill(1, Math.max(0, at - AROUND), at + AROUND + 1);
  });
  /** @type {Line[]} */
  const out = [];
  all.forEach((line, at) => {
    if (near[at]) out.push(line);
    else if (near[at - 1]) out.push({ sign: '@', text: '⋯' });
  });
  return out.at(-1)?.text === '⋯' && out.at(-1)?.sign === '@' ? out.slice(0, -1) : out;
}
