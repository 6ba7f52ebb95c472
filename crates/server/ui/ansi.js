// Text of a terminal in parts with their looks. Colours and weights (SGR) are read; whatever else a terminal would do is left out.

/** How a part looks: `color` and `ground` are 0 to 15 of the palette, or a colour of its own. */
/** @typedef {{ color: number | string, ground: number | string, bold: boolean, dim: boolean, italic: boolean, underline: boolean, strike: boolean, inverse: boolean }} Look */
/** @typedef {{ text: string, look: Look | null }} Part `look` is null for plain text. */

/** @type {Look} */
const PLAIN = { color: '', ground: '', bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false };

// eslint-disable-next-line no-control-regex
const SGR = /\x1b\[([0-9;:]*)m/g;
/** Parts of one text: what has more is plain from there on. */
const PARTS = 5000;

/** Whether there is anything to read. @param {string} text */
export const hasColours = (text) => text.includes('\x1b[');

/** @param {string} text @returns {Part[]} */
export function parts(text) {
  /** @type {Part[]} */
  const out = [];
  /** @type {Look | null} */
  let look = null;
  let from = 0;
  const add = (/** @type {number} */ to) => {
    if (to > from) out.push({ text: text.slice(from, to), look });
  };
  for (const found of text.matchAll(SGR)) {
    if (out.length >= PARTS) break;
    add(found.index);
    from = found.index + found[0].length;
    look = after(look ?? PLAIN, found[1]);
  }
  if (out.length >= PARTS) look = null;
  add(text.length);
  return out;
}

/** A look after one code. @param {Look} before @param {string} code @returns {Look | null} */
function after(before, code) {
  const look = { ...before };
  const codes = code.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const n = codes[at];
    if (n === 0) Object.assign(look, PLAIN);
    else if (n === 1) look.bold = true;
    else if (n === 2) look.dim = true;
    else if (n === 3) look.italic = true;
    else if (n === 4 || n === 21) look.underline = true;
    else if (n === 7) look.inverse = true;
    else if (n === 9) look.strike = true;
    else if (n === 22) look.bold = look.dim = false;
    else if (n === 23) look.italic = false;
    else if (n === 24) look.underline = false;
    else if (n === 27) look.inverse = false;
    else if (n === 29) look.strike = false;
    else if (n === 38 || n === 48) {
      const [colour, used] = extended(codes.slice(at + 1));
      if (n === 38) look.color = colour;
      else look.ground = colour;
      at += used;
    } else if (n === 39) look.color = '';
    else if (n === 49) look.ground = '';
    else if (n >= 30 && n <= 37) look.color = n - 30;
    else if (n >= 90 && n <= 97) look.color = n - 82;
    else if (n >= 40 && n <= 47) look.ground = n - 40;
    else if (n >= 100 && n <= 107) look.ground = n - 92;
  }
  return Object.entries(PLAIN).every(([key, value]) => look[/** @type {keyof Look} */ (key)] === value) ? null : look;
}

/** A colour of 256 or of its own, and how many numbers say it. @param {number[]} rest @returns {[number | string, number]} */
function extended([kind, a = 0, b = 0, c = 0]) {
  const byte = (/** @type {number} */ n) => Math.max(0, Math.min(255, n || 0));
  if (kind === 5) return [indexed(byte(a)), 2];
  if (kind === 2) return [`rgb(${byte(a)} ${byte(b)} ${byte(c)})`, 4];
  return ['', 1];
}

/** @param {number} n @returns {number | string} */
function indexed(n) {
  if (n < 16) return n;
  if (n >= 232) return `rgb(${[0, 0, 0].fill(8 + 10 * (n - 232)).join(' ')})`;
  const step = (/** @type {number} */ part) => (part === 0 ? 0 : 55 + 40 * part);
  const cube = n - 16;
  return `rgb(${step(Math.floor(cube / 36))} ${step(Math.floor(cube / 6) % 6)} ${step(cube % 6)})`;
}
