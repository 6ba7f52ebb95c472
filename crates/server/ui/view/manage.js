// What may be done to a session as a whole: a link that shows it to others, another title, a copy to keep, and its end.

import { useState } from 'preact/hooks';
import * as api from '../api.js';
import { ApiError } from '../api.js';
import { count, minute, oneLine } from '../format.js';
import { html } from '../html.js';
import { mayControl } from '../rights.js';
import { Copy } from './copy.js';
import { Dialog, shut } from './dialog.js';
import { Menu } from './menu.js';

const DAY_MS = 86_400_000;
/** Characters of a title, as the server takes them. */
const TITLE = 160;

/** @typedef {{ live: import('../live.js').LiveSession | import('../live-spans.js').LiveSpans, close: () => void }} Props */

/** @param {{ live: Props['live'], session: import('./frame.js').Session }} props */
export function Manage({ live, session }) {
  const [open, setOpen] = useState(/** @type {((props: Props) => any) | null} */ (null));
  const me = session.inbox.me.value;
  // Who came by a share link has no sign-in that a download could be asked for with.
  if (!me || session.shared || live.failure.value) return null;
  const isAdmin = me.scopes.includes('admin');
  const form = (/** @type {(props: Props) => any} */ Form) => () => setOpen(() => Form);
  const actions = /** @type {import('./menu.js').Action[]} */ (
    [
      isAdmin && ['Share…', form(Share)],
      mayControl(me, live.id) && ['Rename…', form(Rename)],
      ['Export', `${api.sessionPath(live.id)}/export`],
      isAdmin && ['Erase…', form(Erase)],
    ].filter(Boolean)
  );
  return html`<${Menu} name="Session" actions=${actions} />${open && html`<${open} live=${live} close=${() => setOpen(null)} />`}`;
}

/** Asks the server, once at a time; what it refuses is said. @param {string} failure @returns {[string, (task: () => Promise<void>) => Promise<void>]} */
function useAsked(failure) {
  const [said, setSaid] = useState('');
  const [busy, setBusy] = useState(false);
  return [
    said,
    async (task) => {
      if (busy) return;
      setBusy(true);
      try {
        setSaid('');
        await task();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        setSaid(`${failure}: ${error.message}.`);
      } finally {
        setBusy(false);
      }
    },
  ];
}

/** @param {(typed: FormData, form: HTMLFormElement) => void} task */
const submitted = (task) => (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  task(new FormData(form), form);
};

/** A link that shows this session, and nothing else, to whoever has it. @param {Props} props */
function Share({ live, close }) {
  const [made, setMade] = useState(/** @type {Wire.Shared | null} */ (null));
  const [failed, ask] = useAsked('There is no link');
  const make = (/** @type {FormData} */ typed) => ask(async () => setMade(await api.share(live.id, Number(typed.get('days')) * DAY_MS)));
  return html`<${Dialog} class="sharing" title="Share this session" close=${close}>
    <p>Whoever has the link sees this session, as it goes on, without signing in: nothing else, and they can change nothing.</p>
    ${made
      ? html`<${Copy} label="Link" text=${made.url} /><p class="hint">Until ${minute(made.expires)}. It is listed under <a href="#/access" onClick=${shut}>Access</a>, where it is taken back.</p>`
      : html`<form class="form" onSubmit=${submitted(make)}>
          <label>Ends <select name="days"><option value="1">in a day</option><option value="7" selected>in a week</option><option value="30">in 30 days</option></select></label>
          <button>Make the link</button>
        </form>`}
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    <form method="dialog"><button class="quiet">Close</button></form>
  <//>`;
}

/** @param {Props} props */
function Rename({ live, close }) {
  const [failed, ask] = useAsked('It was not renamed');
  const [before] = useState(() => oneLine(live.summary.peek()?.session.peek().title ?? ''));
  // The new title itself comes with the stream.
  const rename = (/** @type {FormData} */ typed, /** @type {HTMLFormElement} */ form) =>
    ask(async () => {
      await api.rename(live.id, String(typed.get('title')).trim());
      form.closest('dialog')?.close();
    });
  return html`<${Dialog} class="sharing" title="Rename this session" close=${close}>
    <form class="form" onSubmit=${submitted(rename)}>
      <label>Title <input name="title" required maxlength=${TITLE} autocomplete="off" defaultValue=${before} autofocus /></label>
      ${failed && html`<p class="notice" role="alert">${failed}</p>`}
      <div class="choices"><button>Rename</button><button type="button" class="quiet" onClick=${shut}>Back</button></div>
    </form>
  <//>`;
}

/** @param {Props} props */
function Erase({ live, close }) {
  const [failed, ask] = useAsked('It was not erased');
  const s = live.summary.value?.session.value;
  const erase = () =>
    ask(async () => {
      await api.erase(live.id);
      location.hash = '#/';
    });
  return html`<${Dialog} class="sharing" title="Erase this session" close=${close}>
    <p>All that is kept of <bdi>${oneLine(s?.title ?? '') || live.id}</bdi> goes: ${s && `${count(s.events, 'event')} in ${count(s.turns, 'turn')}, `}what it used and cost, what a search
      finds of it, and every link that shares it. This cannot be undone.</p>
    <p class="hint">What its agent keeps itself stays. <a href=${`${api.sessionPath(live.id)}/export`} download>Export it first</a></p>
    ${failed && html`<p class="notice" role="alert">${failed}</p>`}
    <div class="choices"><button class="danger" onClick=${erase}>Erase for good</button><button class="quiet" autofocus onClick=${shut}>Keep</button></div>
  <//>`;
}
