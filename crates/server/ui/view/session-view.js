// Which view of a session the address names.

import { html } from '../html.js';
import { ReplayPage } from './replay.js';
import { SessionPage } from './session.js';
import { viewOf } from './switch.js';
import { TimelinePage } from './timeline.js';

const PAGES = { conversation: SessionPage, timeline: TimelinePage, replay: ReplayPage };

/** @param {{ id: string, query: URLSearchParams, session: import('./frame.js').Session }} props */
export const SessionView = (props) => html`<${PAGES[viewOf(props.query)]} ...${props} />`;
