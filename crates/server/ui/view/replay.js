// A session played again: the same rows, with a bar that says which moment it is and moves it. Nothing can be decided or ordered here.

import { useEffect, useMemo, useRef } from 'preact/hooks';
import { duration, clock, full, oneLine } from '../format.js';
import { html } from '../html.js';
import { isShortcut } from '../keys.js';
import { lookingOf } from '../look.js';
import { SPEEDS } from '../player.js';
import { ReplaySession } from '../replay.js';
import { Around } from './around.js';
import { Failure } from './failure.js';
import { Top } from './frame.js';
import { Facts, Timeline, Title } from './session.js';
import { State } from './state.js';
import { sessionHash, Switch } from './switch.js';

/** A replay leaves nothing out. */
const ALL = lookingOf(new URLSearchParams());
/** While it plays, the address is told the moment this often: browsers bound how often it may change. */
const TOLD_MS = 2000;

/** @param {{ id: string, query: URLSearchParams, session: import('./frame.js').Session }} props */
export function ReplayPage({ id, query, session }) {
  const play = query.get('play') ?? '';
  const live = useMemo(() => new ReplaySession(id, play), [id]);
  useEffect(() => {
    live.open();
    return () => live.close();
  }, [live]);
  const asked = useRef(play);
  useEffect(() => {
    if (asked.current !== play) live.seek(play);
    asked.current = play;
  }, [live, play]);
  useAddress(live);
  useReplayKeys(live);
  const around = useMemo(() => ({ inbox: session.inbox, live, isAsked: () => false, isPast: true }), [session.inbox, live]);
  return html`<${Around.Provider} value=${around}>
    <${Top} live=${live} session=${session}><${Title} live=${live} /><//>
    <${Switch} live=${live} session=${session} view="replay" />
    ${live.failure.value
      ? html`<main class="scroll"><${Failure} error=${live.failure.value} /></main>`
      : html`<${Known} live=${live} /><${Timeline} live=${live} looking=${ALL} /><${Bar} live=${live} />`}
  <//>`;
}

/** The facts as they were: counts just where all that they count was read. @param {{ live: ReplaySession }} props */
function Known({ live }) {
  const summary = live.summary.value;
  if (!summary || live.isWhole.value) return html`<${Facts} live=${live} />`;
  const s = summary.session.value;
  return html`<div class="facts" aria-label="Session">
    <${State} state=${s.state} tool=${summary.tool.value} />
    <bdi>${[s.agent ?? s.source, s.model].filter(Boolean).map((word) => oneLine(word ?? '')).join(' · ')}</bdi>
  </div>`;
}

/** @param {{ live: ReplaySession }} props */
function Bar({ live }) {
  const { player } = live;
  const [place, speed, isPlaying] = [player.place.value, player.speed.value, player.playing.value];
  const scrub = (/** @type {any} */ event) => {
    player.pause();
    live.seek(event.currentTarget.value);
  };
  return html`<footer class="replay" aria-label="Replay">
    <div class="moves">
      <button class="quiet" title="Turn before (Shift+←)" aria-label="Turn before" onClick=${() => live.turn(-1)}>⇤</button>
      <button class="quiet" title="Event before (←)" aria-label="Event before" onClick=${() => live.back()}>←</button>
      <button class="play" title="Space" onClick=${() => player.toggle()}>${isPlaying ? 'Pause' : 'Play'}</button>
      <button class="quiet" title="Next event (→)" aria-label="Next event" onClick=${() => player.step()}>→</button>
      <button class="quiet" title="Next turn (Shift+→)" aria-label="Next turn" onClick=${() => live.turn(1)}>⇥</button>
    </div>
    <div class="speeds" role="group" aria-label="Speed">
      ${SPEEDS.map(
        (each, at) => html`<button key=${each} class="quiet" title=${`Key: ${at + 1}`} aria-pressed=${each === speed} onClick=${() => (player.speed.value = each)}>${each}×</button>`,
      )}
    </div>
    <${Moment} player=${player} />
    <input
      type="range"
      class="scrub"
      aria-label="Moment"
      aria-valuetext=${`${clock(new Date(player.moment.value).toISOString())}, event ${place}`}
      min=${live.first.value}
      max=${Math.max(live.last.value, place)}
      value=${place}
      onInput=${scrub}
    />
    <a class="back" href=${sessionHash(live.id)}>Live</a>
  </footer>`;
}

/** Which moment it is, and what is left out. @param {{ player: import('../player.js').Player }} props */
function Moment({ player }) {
  const at = new Date(player.moment.value).toISOString();
  const silence = player.silence.value;
  const said = silence > 0 ? `⋯ ${duration(silence)} of silence, shortened` : player.atEnd.value ? 'The end so far' : '';
  return html`<p class="moment">
    <time datetime=${at} title=${full(at)} data-place=${player.place.value}>${clock(at)}</time>
    <span role="status" data-silence=${silence > 0}>${said}</span>
  </p>`;
}

/** Keeps the address at the moment that is shown, so that it can be passed on. @param {ReplaySession} live */
function useAddress(live) {
  useEffect(() => {
    const { player } = live;
    const tell = () => {
      const [path, place] = [location.hash.split('?')[0], player.place.peek()];
      if (place > 0 && live.isOpen) history.replaceState(history.state, '', `${path}?play=${place}`);
    };
    const unwatch = player.place.subscribe(() => player.playing.peek() || tell());
    const unplay = player.playing.subscribe(tell);
    const timer = setInterval(() => player.playing.peek() && tell(), TOLD_MS);
    return () => {
      unwatch();
      unplay();
      clearInterval(timer);
    };
  }, [live]);
}

/** @param {ReplaySession} live */
function useReplayKeys(live) {
  useEffect(() => {
    const { player } = live;
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ' ': () => player.toggle(),
      ArrowRight: () => player.step(),
      ArrowLeft: () => live.back(),
      'Shift+ArrowRight': () => live.turn(1),
      'Shift+ArrowLeft': () => live.turn(-1),
      ...Object.fromEntries(SPEEDS.map((speed, at) => [String(at + 1), () => (player.speed.value = speed)])),
    };
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      const { target } = event;
      const isScrub = target instanceof Element && target.matches('.scrub') && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (!isScrub && !isShortcut(event)) return;
      // A button, link or fold that has the focus is pressed by it.
      if (event.key === ' ' && target instanceof Element && target.matches('button, a, summary')) return;
      const name = event.shiftKey && event.key.startsWith('Arrow') ? `Shift+${event.key}` : event.key;
      if (!Object.hasOwn(keys, name)) return;
      event.preventDefault();
      keys[name]();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [live]);
}
