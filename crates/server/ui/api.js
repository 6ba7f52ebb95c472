// Requests to the server, and its errors of one shape. The sign-in is a cookie that no script can read.

/** A request that was not done: what the server said, or that it could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {Wire.ErrorInside} inside
   * @param {number} [retryAfter] milliseconds to wait, where the server said so
   */
  constructor(status, inside, retryAfter) {
    super(inside.message);
    this.status = status;
    this.code = inside.code;
    this.retry = inside.retry;
    this.details = inside.details;
    this.retryAfter = retryAfter;
  }

  get signedOut() {
    return this.status === 401;
  }
}

/** @param {unknown} body @returns {body is { error: Wire.ErrorInside }} */
function isErrorReply(body) {
  const inside = /** @type {any} */ (body)?.error;
  return typeof inside?.code === 'string' && typeof inside?.message === 'string';
}

/** What a response that is not a success says. @param {Response} response @returns {Promise<ApiError>} */
export async function errorOf(response) {
  const seconds = Number(response.headers.get('retry-after'));
  const retryAfter = seconds > 0 ? seconds * 1000 : undefined;
  const body = await response.json().catch(() => null);
  if (isErrorReply(body)) return new ApiError(response.status, body.error, retryAfter);
  const retry = response.status >= 500 || response.status === 429;
  const message = `the server answered ${response.status} without saying why`;
  return new ApiError(response.status, { code: 'unknown', message, retry, details: {} }, retryAfter);
}

/** @param {unknown} cause */
export function unreachable(cause) {
  const message = 'the server cannot be reached';
  const error = new ApiError(0, { code: 'unreachable', message, retry: true, details: {} });
  error.cause = cause;
  return error;
}

/** How long one request may take. Long enough for a page of history over a bad link. */
const TIMEOUT_MS = 30_000;

/** The secret of a share link, where the page was opened by one. */
let secret = '';

/** All requests from here on are made by a share link's secret, or by the browser's sign-in when it is empty. @param {string} with_ */
export const speak = (with_) => void (secret = with_);

/** How each request proves who makes it. With a secret no cookie is sent, and none is taken: whoever is signed in stays so. @param {RequestInit} init @returns {RequestInit} */
export function proven(init) {
  if (!secret) return { credentials: 'same-origin', ...init };
  return { ...init, credentials: 'omit', headers: { ...init.headers, authorization: `Bearer ${secret}` } };
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function request(path, init = {}) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  let response;
  try {
    response = await fetch(path, proven({ cache: 'no-store', ...init, signal }));
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw unreachable(cause);
  }
  if (!response.ok) throw await errorOf(response);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw unreachable(cause);
  }
}

/**
 * A path with its query; what is undefined is left out.
 * @param {string} path
 * @param {Record<string, string | number | boolean | undefined>} [query]
 */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** @param {unknown} body @returns {RequestInit} */
const post = (body) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

/** @param {AbortSignal} [signal] @returns {Promise<Wire.Me>} */
export const me = (signal) => request('/api/me', { signal });

/** Turns a pairing code into this browser's sign-in; the server names it by what the browser says of itself. @param {string} code */
export const pair = (code) => request('/api/pair', post({ code }));

export const signOut = () => request('/api/sign-out', { method: 'POST' });

/** @param {{ limit?: number, before?: string | number }} query @param {AbortSignal} [signal] @returns {Promise<Wire.SessionPage>} */
export const sessions = (query, signal) => request(url('/api/sessions', query), { signal });

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Wire.Session>} */
export const session = (id, signal) => request(sessionPath(id), { signal });

/** @param {string} id */
export const sessionPath = (id) => `/api/sessions/${encodeURIComponent(id)}`;

/** @param {string} id @param {{ limit?: number, before?: number }} query @param {AbortSignal} [signal] @returns {Promise<Wire.TurnPage>} */
export const turns = (id, query, signal) => request(url(`${sessionPath(id)}/turns`, query), { signal });

/** @param {string} id @param {{ limit?: number, before?: number }} query @param {AbortSignal} [signal] @returns {Promise<Wire.CallPage>} */
export const toolCalls = (id, query, signal) => request(url(`${sessionPath(id)}/tool-calls`, query), { signal });

/**
 * @param {{ session_id?: string, after?: number, before?: number, limit?: number, deltas?: boolean, type?: string, q?: string }} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<Wire.HistoryPage>}
 */
export const history = (query, signal) => request(url('/api/events/history', query), { signal });

/** Everything that is at one moment, to be followed from its place. @param {number} limit @param {AbortSignal} [signal] @returns {Promise<Wire.State>} */
export const state = (limit, signal) => request(url('/api/state', { limit }), { signal });

/** @param {AbortSignal} [signal] @returns {Promise<{ agents: Wire.Agent[] }>} */
export const agents = (signal) => request('/api/agents', { signal });

/**
 * @param {{ agent?: string, session_id?: string, state?: string, limit?: number }} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ commands: Wire.Command[] }>}
 */
export const commands = (query, signal) => request(url('/api/commands', query), { signal });

/**
 * Orders something. With the same `id` a second try is the same order.
 * @param {{ id: string, agent: string, session_id?: string, action: string, args?: Record<string, unknown> }} order
 * @returns {Promise<Wire.Command>}
 */
export const order = (order) => request('/api/commands', post(order));

/** @param {string} id @returns {Promise<Wire.Command>} */
export const withdraw = (id) => request(`/api/commands/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Wire.Approval>} */
export const approval = (id, signal) => request(`/api/approvals/${encodeURIComponent(id)}`, { signal });

/** @param {string} id @param {Wire.Decision} decision @returns {Promise<Wire.Approval>} */
export const decide = (id, decision) => request(`/api/approvals/${encodeURIComponent(id)}/decision`, post(decision));

/** @param {{ ids: string[], decision: 'approve' | 'deny', message?: string }} decision @returns {Promise<{ results: Wire.Decided[] }>} */
export const decideAll = (decision) => request('/api/approvals/decisions', post(decision));

/** Without those that were revoked. @param {AbortSignal} [signal] @returns {Promise<Wire.Token[]>} */
export const tokens = async (signal) => (await request('/api/tokens', { signal })).tokens;

/** @param {{ name: string, scopes: string[], expires?: string }} wanted @returns {Promise<{ id: string, token: string }>} */
export const makeToken = (wanted) => request('/api/tokens', post(wanted));

/** @param {string} id */
export const revoke = (id) => request(`/api/tokens/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** @param {{ name?: string, scopes?: string[] }} wanted @returns {Promise<{ code: string, url: string, expires: string }>} */
export const pairingCode = (wanted) => request('/api/pairing-codes', post(wanted));

/** @param {string} id @param {string} title @returns {Promise<Wire.Session>} */
export const rename = (id, title) => request(sessionPath(id), { ...post({ title }), method: 'PATCH' });

/** @param {string} id @returns {Promise<{ id: string, events: number }>} */
export const erase = (id) => request(sessionPath(id), { method: 'DELETE' });

/** @param {string} id @param {number} expires_in_ms @returns {Promise<Wire.Shared>} */
export const share = (id, expires_in_ms) => request(`${sessionPath(id)}/share`, post({ expires_in_ms }));

/** @param {{ window: string, by: string, agent?: string, session_id?: string }} query @param {AbortSignal} [signal] @returns {Promise<Wire.UsageTold>} */
export const usage = (query, signal) => request(url('/api/usage', query), { signal });

/** @param {{ limit?: number, before?: number }} query @param {AbortSignal} [signal] @returns {Promise<{ runs: Wire.Run[], next: number | null }>} */
export const runs = (query, signal) => request(url('/api/runs', query), { signal });

/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Wire.Run & { tasks: Wire.Task[], more: boolean }>} */
export const run = (id, signal) => request(`/api/runs/${encodeURIComponent(id)}`, { signal });
