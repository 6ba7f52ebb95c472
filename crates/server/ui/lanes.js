// Which lane each span is drawn in: turns in the first, calls below where there is room, and what a subagent did right below its call.

/** @typedef {import('./spans.js').Span} Span */
/** @typedef {Span & { lane: number, depth: number }} Placed */
/** @typedef {{ span: Span, children: Node[], to: number, height: number, lane: number }} Node */

/**
 * Places all, in the order in which they began. A span never covers another: those of one lane come one after another, and a call has
 * the lanes below it to itself for as long as anything of it is there.
 * @param {Span[]} spans in the order in which they began
 * @returns {{ placed: Placed[], lanes: number }}
 */
export function place(spans) {
  /** @type {Map<string, Node>} */
  const calls = new Map();
  /** @type {Node[]} */
  const turns = [];
  /** @type {Node[]} */
  const top = [];
  for (const span of spans) {
    /** @type {Node} */
    const node = { span, children: [], to: span.to, height: 1, lane: 0 };
    const parent = span.kind === 'call' && span.parent !== '' ? calls.get(span.parent) : undefined;
    // An id that comes again is of another call.
    if (span.kind === 'call') calls.set(span.id, node);
    if (parent) parent.children.push(node);
    else (span.kind === 'turn' ? turns : top).push(node);
  }
  const height = pack(turns);
  const below = pack(top);
  /** @type {Placed[]} */
  const placed = [];
  settle(turns, 0, 0, placed);
  settle(top, height, 1, placed);
  return { placed: placed.sort((a, b) => a.from - b.from || a.seq - b.seq), lanes: Math.max(1, height + below) };
}

/** Gives each its lane among its own; answers how many there are. @param {Node[]} nodes */
function pack(nodes) {
  /** Until when each lane is taken. @type {number[]} */
  const taken = [];
  for (const node of nodes) {
    node.height = 1 + pack(node.children);
    for (const child of node.children) node.to = Math.max(node.to, child.to);
    node.lane = free(taken, node.span.from, node.height);
    for (let at = 0; at < node.height; at += 1) taken[node.lane + at] = node.to;
  }
  return taken.length;
}

/** The first of so many lanes beside each other that are free. @param {number[]} taken @param {number} from @param {number} height */
function free(taken, from, height) {
  let run = 0;
  for (let at = 0; at < taken.length; at += 1) {
    run = taken[at] <= from ? run + 1 : 0;
    if (run === height) return at - height + 1;
  }
  return taken.length - run;
}

/** @param {Node[]} nodes @param {number} lane @param {number} depth @param {Placed[]} placed */
function settle(nodes, lane, depth, placed) {
  for (const node of nodes) {
    placed.push({ ...node.span, lane: lane + node.lane, depth });
    settle(node.children, lane + node.lane + 1, depth + 1, placed);
  }
}
