// What a call does, whoever tells it: as the server has it.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Calls, Turns } from '../joined.js';
import { isSameWork, workOf } from '../work.js';

test('a command is what the shell is given', () => {
  const odd = `printf '%s' "a b" \\ $x`;
  for (const [args, run] of /** @type {[unknown, string][]} */ ([
    [{ command: "/bin/bash -lc 'echo hello'" }, 'echo hello'],
    [{ cmd: 'echo hello', yield_time_ms: 10 }, 'echo hello'],
    [{ command: ['/bin/zsh', '-c', 'echo hello'] }, 'echo hello'],
    [{ command: '/bin/bash -lc ls' }, 'ls'],
    [{ command: `/bin/bash -lc "printf '%s' \\"a b\\" \\\\ \\$x"` }, odd],
    [{ command: `/bin/sh -c 'it'\\''s'` }, "it's"],
    [{ command: "/bin/bash -lc 'not closed" }, "/bin/bash -lc 'not closed"],
  ])) assert.equal(workOf('any', args), `$ ${run}`);
});

test('a patch is its files, anything else its tool and its arguments', () => {
  const text = '*** Begin Patch\n*** Update File: src/b.rs\n@@\n*** Add File: a.txt\n+one\n*** End Patch\n';
  const told = workOf('apply_patch', { command: text });
  const changes = (/** @type {string} */ a) => workOf('file_change', { changes: [{ path: a, kind: 'add' }, { path: '/home/src/b.rs', kind: 'update' }] });
  assert.ok(isSameWork(told, changes('/home/a.txt')));
  assert.ok(!isSameWork(told, changes('/home/ba.txt')));
  assert.equal(workOf('mcp__docs__find', { a: 1, b: 2 }), workOf('docs.find', { b: 2, a: 1 }));
});

test('two calls that do the same stay two, whichever source tells of them first', () => {
  const start = (/** @type {string} */ source, /** @type {string} */ turn_id, /** @type {string} */ id, /** @type {object} */ args) =>
    /** @type {any} */ ({ type: 'tool_call_start', source, turn_id, seq: 1, timestamp: '2026-01-02T10:00:00Z', data: { tool: source, tool_call_id: id, arguments: args } });
  const printed = ['t-1.item_1', 't-1.item_2'].map((id) => start('printed', 't-1', id, { command: "/bin/bash -lc 'ls'" }));
  const hooks = ['call_1', 'call_2'].map((id) => start('hooks', 'v', id, { command: 'ls' }));
  const [p0, p1, h0, h1] = [...printed, ...hooks];
  for (const order of [[p0, p1, h0, h1], [h0, h1, p0, p1], [p0, h0, p1, h1], [h0, p0, h1, p1], [p0, h0, h1, p1]]) {
    const [calls, turn] = [new Calls(), new Turns().add({ from: 0 })];
    const rows = new Set(order.map((event) => calls.begin(event, event.data, turn).call));
    assert.equal(rows.size, 2);
    assert.deepEqual([...rows].map(({ id }) => id).sort(), ['call_1', 'call_2']);
    assert.equal(calls.of('t-1.item_1')?.told.size, 2, 'it is found by both');
    const other = new Turns().add({ from: 0 });
    assert.ok(calls.begin(start('late', 'w', 'call_3', { command: 'ls' }), { tool: 'late', tool_call_id: 'call_3', arguments: { command: 'ls' } }, other).isNew);
  }
});
