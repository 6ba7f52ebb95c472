// What is vendored is what its table says and what the pinned packages have.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';

const ROOT = new URL('../', import.meta.url);
const read = (/** @type {string} */ path) => readFileSync(new URL(path, ROOT), 'utf8');

test('each vendored file is the one of the pinned package', () => {
  const rows = [...read('vendor/README.md').matchAll(/^\| `(\S+)` \| `(\S+)` `(\S+)` \| (\S+) \| (\S+) .*\| `(\w{64})` \|$/gm)];
  const files = readdirSync(new URL('vendor', ROOT)).filter((name) => /\.(mjs|css)$/.test(name));
  assert.deepEqual(rows.map((row) => row[1]).sort(), files.sort());
  for (const [, file, name, path, version, licence, hash] of rows) {
    const text = read(`vendor/${file}`);
    assert.equal(createHash('sha256').update(text).digest('hex'), hash, file);
    // What is a script in its package is a module here.
    const end = path.includes('.iife.') ? `export default ${path.match(/(\w+)\.iife/)?.[1]};\n` : '';
    assert.equal(text, read(`node_modules/${name}/${path}`) + end, file);
    const described = JSON.parse(read(`node_modules/${name}/package.json`));
    assert.deepEqual([described.version, described.license], [version, licence], name);
  }
});

test('the lock file names no host', () => {
  assert.doesNotMatch(read('package-lock.json'), /"resolved"/);
});
