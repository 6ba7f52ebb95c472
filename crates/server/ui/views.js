// The views: one line each. A view that has a key is in the navigation, and `g` with its key opens it.

import { AccessPage } from './view/access.js';
import { AgentsPage } from './view/agents.js';
import { FleetPage } from './view/fleet.js';
import { InboxPage } from './view/inbox.js';
import { RunsPage } from './view/runs.js';
import { SearchPage } from './view/search.js';
import { SessionView } from './view/session-view.js';
import { UsagePage } from './view/usage.js';

/**
 * What a view is given.
 * @typedef {{ session: import('./view/frame.js').Session, id: string, query: URLSearchParams }} ViewProps
 */
/** @typedef {{ path: string, name: string, key: string, page: (props: any) => any, isOne?: boolean }} View `isOne`: with another id it is another page. */

/** @type {View[]} */
export const VIEWS = [
  { path: '', name: 'Fleet', key: 'f', page: FleetPage },
  { path: 'inbox', name: 'Inbox', key: 'i', page: InboxPage },
  { path: 'agents', name: 'Agents', key: 'a', page: AgentsPage },
  { path: 'runs', name: 'Runs', key: 'r', page: RunsPage },
  { path: 'usage', name: 'Usage', key: 'u', page: UsagePage },
  { path: 'search', name: 'Search', key: 's', page: SearchPage },
  { path: 'access', name: 'Access', key: 'x', page: AccessPage },
  { path: 'agent', name: 'Agent', key: '', page: AgentsPage },
  { path: 'session', name: 'Session', key: '', page: SessionView, isOne: true },
];

/** The view of a path; the first one where there is none. @param {string} path */
export const viewOf = (path) => VIEWS.find((view) => view.path === path) ?? VIEWS[0];
