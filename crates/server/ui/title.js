// The tab: its title and icon say how many things wait for an answer, also while nobody looks.

import { effect, signal } from '@preact/signals-core';

/** What the view is called. */
export const title = signal('Turnwire');
/** How many things wait. */
export const waiting = signal(0);

const ICON = /icon(?:\/\w+)?\.svg$/;

/** Keeps the tab saying it. */
export function startTitle() {
  const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector('link[rel=icon]'));
  effect(() => {
    const count = waiting.value;
    document.title = count > 0 ? `(${count}) ${title.value}` : title.value;
    if (icon) icon.href = icon.href.replace(ICON, count === 0 ? 'icon.svg' : count > 9 ? 'icon/many.svg' : `icon/${count}.svg`);
  });
}
