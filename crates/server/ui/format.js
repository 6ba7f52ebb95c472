// Numbers, times and foreign text, as people read them.

import { signal } from '@preact/signals-core';

/** The clock of the page, in milliseconds since 1970: to the second, and it stands while nobody looks. */
export const now = signal(Date.now());

/** The moment at which a replay holds the clock. @type {number | null} */
let held = null;

/** Has the clock stand at a moment, as a replay shows it; null lets it go on. @param {number | null} moment in milliseconds since 1970 */
export function holdClock(moment) {
  held = moment === null ? null : Math.floor(moment / 1000) * 1000;
  now.value = held ?? Date.now();
}

/** Starts the clock. */
export function startClock() {
  const tick = () => {
    if (!document.hidden && held === null) now.value = Date.now();
  };
  setInterval(tick, 1000);
  document.addEventListener('visibilitychange', tick);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });
const WHOLE = new Intl.NumberFormat('en');

/** @param {string} at */
const millis = (at) => Date.parse(at);

/** @param {string} at */
export const clock = (at) => (Number.isNaN(millis(at)) ? '' : CLOCK.format(millis(at)));

/** Without seconds, and with the day where it is another. @param {string} at */
export function minute(at) {
  if (Number.isNaN(millis(at))) return '';
  const isToday = DAY.format(millis(at)) === DAY.format(Date.now());
  return isToday ? MINUTE.format(millis(at)) : `${DAY.format(millis(at))}, ${MINUTE.format(millis(at))}`;
}

/** @param {string} at */
export const full = (at) => (Number.isNaN(millis(at)) ? at : `${FULL.format(millis(at))} · ${at}`);

/** How long ago, in one short word. @param {string} at @param {number} present */
export function ago(at, present) {
  const seconds = Math.floor((present - millis(at)) / 1000);
  if (Number.isNaN(seconds)) return '';
  if (seconds < 5) return 'now';
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 7 * 86_400) return `${Math.floor(seconds / 86_400)} d`;
  return DAY.format(millis(at));
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} n */
export const whole = (n) => WHOLE.format(n);

/** A count in at most four signs. @param {number} n */
export function short(n) {
  if (n < 1000) return String(n);
  if (n < 10_000) return `${Math.floor(n / 100) / 10}k`;
  if (n < 1_000_000) return `${Math.floor(n / 1000)}k`;
  return `${Math.floor(n / 100_000) / 10}M`;
}

/** @param {number} dollars */
export const money = (dollars) => `$${dollars.toFixed(dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 4)}`;

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

// What moves a terminal's cursor or sets its colours, as ECMA-48 writes it: CSI …, OSC … up to BEL or ST, and two-sign escapes.
// eslint-disable-next-line no-control-regex
const TERMINAL = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]/g;
// Control characters but tab and line feed, and the marks that turn the direction of the text after them.
// eslint-disable-next-line no-control-regex
const HIDDEN = /\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** @param {string} sign */
function shown(sign) {
  if (sign === '\r\n') return '\n';
  const code = sign.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
}

/**
 * Foreign text as it may be shown: a terminal's codes are left out, other control characters are made visible, and nothing in it
 * turns the direction of what stands around it.
 * @param {string} text
 */
export const plain = (text) => text.replace(TERMINAL, '').replace(HIDDEN, shown);

/** @param {string} text */
export const oneLine = (text) => plain(text).replace(/\s+/g, ' ').trim();

/** What a session is called: its title, or its id, which is a foreign text as well. @param {string | null | undefined} title @param {string} id */
export const nameOf = (title, id) => oneLine(title ?? '') || oneLine(id);
