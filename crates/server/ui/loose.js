// Bodies as they come: their fields may be missing, or be anything. What reads them passes through here.

/** Tokens, as numbers whatever came. @typedef {{ input: number, output: number, read: number, written: number }} Usage */

/** Kinds that a later event supersedes. */
export const DELTAS = ['text_delta', 'reasoning_delta', 'tool_progress'];

/** @param {Wire.Event} event */
export const isDelta = (event) => DELTAS.includes(event.type);

/** Text, whatever came: a body's fields are what a producer wrote. @param {unknown} value @returns {string} */
export function str(value) {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  return JSON.stringify(value) ?? '';
}

/** A number, or null. @param {unknown} value @returns {number | null} */
export const num = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {unknown} value @returns {Usage | null} */
export function usageOf(value) {
  if (!isObject(value)) return null;
  const usage = /** @type {Wire.Loose<Wire.Usage>} */ (value);
  return {
    input: num(usage.input_tokens) ?? 0,
    output: num(usage.output_tokens) ?? 0,
    read: num(usage.cache_read_input_tokens) ?? 0,
    written: num(usage.cache_creation_input_tokens) ?? 0,
  };
}
