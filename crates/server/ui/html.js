// Templates: `html` makes Preact's nodes. Text in them becomes text nodes and attributes, never markup.

import { h } from 'preact';
import htm from 'htm';

export const html = htm.bind(h);
