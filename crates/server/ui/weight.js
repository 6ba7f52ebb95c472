// What events weigh: characters that they have, about. A window is cut by it.

/** @typedef {import('./store.js').Item} Item */

/** How many of the first items weigh no more than `weight`, at most `count` and at least one. @param {Item[]} items @param {number} count @param {number} weight */
export function heaviest(items, count, weight) {
  let sum = 0;
  for (let at = 0; at < Math.min(count, items.length); at += 1) {
    for (const event of items[at].events) sum += weightOf(event);
    for (const event of items[at].deltas) sum += weightOf(event);
    if (sum > weight) return Math.max(1, at);
  }
  return count;
}

/** Characters that an event has, about. @param {Wire.Event} event */
export const weightOf = (event) => 300 + weigh(event.data) + weigh(event.raw);

/** @param {unknown} value @returns {number} */
export function weigh(value) {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let sum = 16;
  for (const key in value) sum += key.length + weigh(/** @type {Record<string, unknown>} */ (value)[key]);
  return sum;
}
