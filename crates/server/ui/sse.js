// Server-sent events: text in, events out, as the WHATWG HTML standard says (section 9.2.6), and bounded.
//
// Differs from the standard in one thing: an event larger than the limit is not kept but still told, with its id, so that a reader
// can go on after it instead of meeting it again on every reconnection.

/** Characters of one event. An event's body may have 1 MiB, and its frame is one line: twice that leaves room for its envelope. */
export const MAX_EVENT = 2 * 1024 * 1024;

/**
 * @typedef {object} Frame
 * @property {string} type what the `event:` line says, else `message`
 * @property {string} data
 * @property {string} id the newest `id:` of the stream
 * @property {boolean} oversize whether it was larger than the limit; `data` is then empty
 */

export class SseParser {
  /** @type {(frame: Frame) => void} */ #onFrame;
  /** @type {(ms: number) => void} */ #onRetry;
  /** @type {(id: string) => void} */ #onPlace;
  #max;
  /** The line that is not yet ended, in the pieces in which it came. @type {string[]} */ #pieces = [];
  #pieceLength = 0;
  /** Whether the last chunk ended in CR: a LF at the start of the next one belongs to it. */ #afterCr = false;
  /** @type {string[]} */ #data = [];
  #dataLength = 0;
  #type = '';
  #id = '';
  /** Whether the event under way has an `id:`. */ #placed = false;
  #oversize = false;
  #start = true;

  /**
   * @param {(frame: Frame) => void} onFrame
   * @param {(ms: number) => void} [onRetry]
   * @param {number} [max]
   * @param {(id: string) => void} [onPlace] an `id:` without data: no event, but the place to come back to
   */
  constructor(onFrame, onRetry = () => {}, max = MAX_EVENT, onPlace = () => {}) {
    this.#onFrame = onFrame;
    this.#onRetry = onRetry;
    this.#max = max;
    this.#onPlace = onPlace;
  }

  /** Takes the next decoded text, cut anywhere. @param {string} text */
  push(text) {
    if (text === '') return;
    let from = 0;
    if (this.#start) {
      this.#start = false;
      if (text[0] === '\ufeff') from = 1;
    }
    if (this.#afterCr && text[from] === '\n') from += 1;
    this.#afterCr = false;
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#piece(text.slice(from, end.index));
      this.#line();
      from = ends.lastIndex;
      this.#afterCr = end[0] === '\r' && from === text.length;
    }
    this.#piece(text.slice(from));
  }

  /** @param {string} text */
  #piece(text) {
    if (text === '') return;
    this.#pieceLength += text.length;
    if (this.#pieceLength <= this.#max) this.#pieces.push(text);
    // Of a line that is too long just the start is kept: it tells the field.
    else this.#pieces = [(this.#pieces.join('') + text).slice(0, 8)];
  }

  #line() {
    const line = this.#pieces.length === 1 ? this.#pieces[0] : this.#pieces.join('');
    const cut = this.#pieceLength > this.#max;
    this.#pieces = [];
    this.#pieceLength = 0;
    if (line === '') return this.#dispatch();
    if (cut) {
      // A comment or another field of any length changes nothing.
      this.#oversize ||= line.startsWith('data:');
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') this.#addData(value);
    else if (field === 'event') this.#type = value;
    else if (field === 'id' && !value.includes('\0')) {
      this.#id = value;
      this.#placed = true;
    } else if (field === 'retry' && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }

  /** @param {string} value */
  #addData(value) {
    this.#dataLength += value.length + 1;
    if (this.#dataLength > this.#max) this.#oversize = true;
    if (this.#oversize) this.#data = [];
    else this.#data.push(value);
  }

  #dispatch() {
    const frame = {
      type: this.#type || 'message',
      data: this.#oversize ? '' : this.#data.join('\n'),
      id: this.#id,
      oversize: this.#oversize,
    };
    this.#data = [];
    this.#dataLength = 0;
    this.#type = '';
    this.#oversize = false;
    const placed = this.#placed;
    this.#placed = false;
    if (frame.data !== '' || frame.oversize) this.#onFrame(frame);
    else if (placed) this.#onPlace(frame.id);
  }
}
