// Which view of a session the address names.

import { useEffect } from 'preact/hooks';
import * as api from '../api.js';
import { html } from '../html.js';
import { look } from '../look.js';
import { ReplayPage } from './replay.js';
import { SessionPage } from './session.js';
import { viewOf } from './switch.js';
import { TimelinePage } from './timeline.js';

const PAGES = { conversation: SessionPage, timeline: TimelinePage, replay: ReplayPage };

/** @param {{ id: string, query: URLSearchParams, session: import('./frame.js').Session }} props */
export function SessionView(props) {
  const approval = props.query.get('approval');
  // A notification names what is asked: where that is, the server says. What it does not know, or now, is at the end.
  useEffect(() => {
    if (!approval) return;
    const left = new AbortController();
    const at = api.approval(approval, left.signal).then(({ seq, session_id }) => (session_id === props.id ? seq : 0), () => 0);
    at.then((place) => left.signal.aborted || look(props.id, { at: place }));
    return () => left.abort();
  }, [approval]);
  if (approval) return html`<main class="blank" aria-busy="true"></main>`;
  return html`<${PAGES[viewOf(props.query)]} ...${props} />`;
}
