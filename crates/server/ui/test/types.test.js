// The types of the page say what the wire's kinds and bodies say: written from their source, compared by this test.
// After a change there: `UPDATE=1 node --test test/types.test.js`.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';

const BODIES = new URL('../../../proto/src/body.rs', import.meta.url);
const KINDS = new URL('../../../proto/src/kind.rs', import.meta.url);
const TYPES = new URL('../types.d.ts', import.meta.url);
const MARK = '  // From here on written from crates/proto/src/{kind,body}.rs by `UPDATE=1 node --test test/types.test.js`.\n';

/** @type {Record<string, string>} */
const PLAIN = { String: 'string', bool: 'boolean', Json: 'unknown', u64: 'number', i32: 'number', f64: 'number', Seq: 'number' };

/** @param {string} rust @returns {string} */
function typescript(rust) {
  const list = /^Vec<(\w+)>$/.exec(rust);
  if (list) return `${typescript(list[1])}[]`;
  return PLAIN[rust] ?? rust;
}

/** @param {string} fields @param {string} optional */
function lines(fields, optional) {
  const found = fields.matchAll(/((?:\s*\/\/\/ .*\n)*)\s*(\w+): ([\w<>]+),/g);
  return [...found].map(([, doc, name, type]) => {
    const said = doc.replaceAll(/\s*\/\/\/ (.*)\n/g, '$1 ').trim();
    return `    /** ${said} */\n    ${name}${optional}: ${typescript(type)};\n`;
  });
}

/** @param {string} source */
function bodies(source) {
  const code = source.slice(source.indexOf('\nbodies! {'), source.indexOf('#[cfg(test)]'));
  const found = code.matchAll(/    \/\/\/ (.*)\n    (\w+) \{([^}]*)\}(?: with \{([^}]*)\})?/g);
  const text = [...found].map(([, doc, name, fields, optional]) => {
    const inside = [...lines(fields, ''), ...lines(optional ?? '', '?')].join('');
    return `  /** ${doc} */\n  interface ${name} {${inside ? `\n${inside}  ` : ''}}\n`;
  });
  return text.join('\n');
}

/** @param {string} source */
function kinds(source) {
  const found = source.matchAll(/    \/\/\/ (.*)\n    [A-Z_]+ = "(\w+)"/g);
  const text = [...found].map(([, doc, name]) => {
    const body = /\[`crate::(\w+)`\]/.exec(doc)?.[1] ?? 'Empty';
    return `    ${name}: ${body};\n`;
  });
  return `  /** The body of each kind. */\n  interface Bodies {\n${text.join('')}  }\n`;
}

test('the types say what the wire says', () => {
  const made = `${kinds(readFileSync(KINDS, 'utf8'))}\n${bodies(readFileSync(BODIES, 'utf8'))}`;
  assert.ok(made.includes('interface ToolCall {') && made.includes('duration_ms?: number;'));
  assert.ok(made.includes('    tool_call: ToolCall;'));
  const types = readFileSync(TYPES, 'utf8');
  const [before] = types.split(MARK);
  const wanted = `${before}${MARK}\n${made}}\n`;
  if (process.env.UPDATE === '1') writeFileSync(TYPES, wanted);
  else assert.equal(types, wanted);
});
