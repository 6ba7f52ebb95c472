// Marks words in what is drawn, without touching it.

/** Marks that are made at most. */
const MARKS = 500;

/** @param {HTMLElement | null} list @param {string} q */
export function highlight(list, q) {
  if (!('highlights' in CSS)) return;
  const words = q.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  if (!list || words.length === 0) return void CSS.highlights.delete('found');
  const found = new Highlight();
  const walker = document.createTreeWalker(list, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && found.size < MARKS; node = walker.nextNode()) {
    const text = node.nodeValue?.toLowerCase() ?? '';
    // A text whose length changes with its case would be marked beside the words.
    if (text.length !== node.nodeValue?.length) continue;
    for (const word of words) {
      for (let at = text.indexOf(word); at >= 0 && found.size < MARKS; at = text.indexOf(word, at + word.length)) {
        const range = new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + word.length });
        found.add(range);
      }
    }
  }
  CSS.highlights.set('found', found);
}
