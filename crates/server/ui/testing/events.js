// Events as producers write them.

/** @param {string} session @param {string} agent */
export function producer(session, agent = 'builder') {
  const common = { source: 'claude-code', agent, session_id: session };
  /** @param {string} type @param {object} data @param {object} [more] */
  const event = (type, data, more = {}) => ({ type, data, timestamp: new Date().toISOString(), ...common, ...more });
  return {
    event,
    start: (model = 'claude-sonnet-4-5') => event('session_start', { model, cwd: '/workspace/project' }),
    turn: (/** @type {string} */ body, turn_id = 't-1') => event('turn_start', { from: 'user', body, unread: 0 }, { turn_id }),
    delta: (/** @type {string} */ content, message_id = 'm-1') => event('text_delta', { content, message_id }),
    message: (/** @type {string} */ content, message_id = 'm-1') => event('message', { role: 'assistant', content, message_id }),
    toolStart: (/** @type {string} */ id, /** @type {string} */ tool, /** @type {object} */ args) =>
      event('tool_call_start', { tool, tool_call_id: id, arguments: args }),
    toolEnd: (/** @type {string} */ id, /** @type {string} */ tool, /** @type {unknown} */ output, success = true) =>
      event('tool_call', { tool, tool_call_id: id, success, output, duration_ms: 1234 }),
    usage: (input_tokens = 1210, output_tokens = 253) => event('usage', { input_tokens, output_tokens, cache_read_input_tokens: 8848 }),
    turnEnd: (ok = true) =>
      event('turn_end', {
        ok,
        duration_ms: 12_345,
        cost_usd: 0.0144,
        usage: { input_tokens: 1515, output_tokens: 253, cache_read_input_tokens: 8848, cache_creation_input_tokens: 900 },
      }),
    ask: (/** @type {string} */ approval_id, /** @type {string} */ tool, /** @type {unknown} */ args, /** @type {object} */ more = {}) =>
      event('approval_request', { approval_id, tool, arguments: args, ...more }),
    decide: (/** @type {string} */ approval_id, /** @type {string} */ decision, /** @type {object} */ more = {}) =>
      event('approval_decision', { approval_id, decision, ...more }),
    state: (/** @type {string} */ state) => event('turn_state_changed', { state }),
    end: (exit_code = 0) => event('session_end', { exit_code, reason: 'exit' }),
  };
}
