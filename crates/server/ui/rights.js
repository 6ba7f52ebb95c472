// What who is signed in here may do, by the scopes that the server tells.

/** @param {Wire.Me | null} me @param {string} session empty: what is of no session */
export function mayControl(me, session) {
  const scopes = me?.scopes ?? [];
  return scopes.some((scope) => scope === 'admin' || scope === 'control' || (session !== '' && scope === `control:session:${session}`));
}

/** Whether anything at all. @param {Wire.Me | null} me */
export const mayControlSome = (me) => (me?.scopes ?? []).some((scope) => scope === 'admin' || /^control(:|$)/.test(scope));
