// What a tool call is about, in one of its arguments. Pure.

import { isObject, str } from './loose.js';

/** The one argument that says it, by the names that agents give it, in this order. */
export const HEADS = ['command', 'cmd', 'file_path', 'filePath', 'path', 'pattern', 'query', 'url', 'description', 'prompt'];

/** @param {unknown} args */
export function argumentOf(args) {
  if (!isObject(args)) return '';
  const key = HEADS.find((name) => str(args[name]));
  return key ? str(args[key]) : '';
}
