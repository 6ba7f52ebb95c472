// What ends say of a call's row.

import { least } from './joined.js';
import { num, str } from './loose.js';
import { weigh } from './weight.js';

/** @typedef {import('./store.js').ToolItem} ToolItem */

/** The first end that is told. @param {ToolItem} item @param {Wire.Loose<Wire.ToolCall>} data */
export function tellEnd(item, data) {
  item.tool = str(data.tool) || item.tool;
  item.state = data.success === false ? 'failed' : 'done';
  item.output = data.output;
  item.error = str(data.error);
  item.duration = num(data.duration_ms);
}

/** What another source says of it: the fuller output, a failure, the shorter time. @param {ToolItem} item @param {Wire.Loose<Wire.ToolCall>} data */
export function completeEnd(item, data) {
  if (item.output === undefined || (data.output !== undefined && weigh(data.output) > weigh(item.output))) item.output = data.output;
  if (data.success === false) item.state = 'failed';
  item.error ||= str(data.error);
  item.duration = least(item.duration, data.duration_ms);
}
