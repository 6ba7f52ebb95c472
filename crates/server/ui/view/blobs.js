// What left an event for files: images as they are, and the way to the whole of a text.

import { whole } from '../format.js';
import { html } from '../html.js';

/** Images of a row: more are links. */
const SHOWN = 8;
/** Blobs of a row that are told of. */
const TOLD = 32;

/**
 * @typedef {{ at: string, hash: string, bytes: number, type: string, preview: number }} Blob
 * @param {Wire.Event[]} events
 * @returns {Blob[]} each contents once; those of vendors' own lines say nothing new
 */
export function blobsOf(events) {
  const found = new Map();
  for (const event of events) {
    const list = event.data?.turnwire_blobs;
    for (const one of Array.isArray(list) ? list.slice(0, TOLD) : []) {
      const { at, hash, bytes, media_type: type, preview } = one ?? {};
      if (typeof at !== 'string' || !at.startsWith('/data/') || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) continue;
      found.set(hash, { at: at.slice(6), hash, bytes: Number(bytes) || 0, type: String(type), preview: Number(preview) || 0 });
    }
  }
  return [...found.values()].slice(0, TOLD);
}

/** @param {{ events: Wire.Event[] }} props */
export function Blobs({ events }) {
  const blobs = blobsOf(events);
  const images = blobs.filter(({ type }) => type.startsWith('image/')).slice(0, SHOWN);
  return html`${images.map(
      (blob) => html`<a key=${blob.hash} class="image" href=${path(blob)} target="_blank" rel="noopener">
        <img src=${path(blob)} alt=${`Image of ${size(blob)}`} loading="lazy" decoding="async" />
      </a>`,
    )}
    ${blobs
      .filter((blob) => !images.includes(blob))
      .map(
        (blob) => html`<p key=${blob.hash} class="blob">
          <a href=${path(blob)} target="_blank" rel="noopener">Open the whole of <bdi>${blob.at}</bdi></a>
          <span class="detail">${size(blob)}, ${blob.type}${blob.preview > 0 ? `; its first ${whole(blob.preview)} bytes are here` : ''}</span>
        </p>`,
      )}`;
}

/** @param {Blob} blob */
const path = ({ hash }) => `/api/blobs/${hash}`;

/** @param {Blob} blob */
const size = ({ bytes }) => `${whole(bytes)} bytes`;
