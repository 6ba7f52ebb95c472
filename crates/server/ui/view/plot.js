// A plot over time. What draws it is loaded with the first one; the numbers are in a table beside, for whoever cannot see it.

import { useEffect, useRef, useState } from 'preact/hooks';
import { html } from '../html.js';

/** @typedef {{ name: string, tone: string, values: number[] }} Series */

const HEIGHT = 190;
const DARK = matchMedia('(prefers-color-scheme: dark)');

/** What a colour of the style sheet is just now: a canvas knows none of its names. @param {HTMLElement} within @param {string} name */
function colour(within, name) {
  const probe = document.createElement('i');
  probe.style.color = `var(--${name})`;
  within.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/**
 * @param {{ label: string, times: number[], width: number, series: Series[], format: (value: number) => string, onPoint: (at: number | null) => void }} props
 *   `times` in milliseconds, each the start of `width` of them
 */
export function Plot({ label, times, width, series, format, onPoint }) {
  const frame = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [drawer, setDrawer] = useState(/** @type {typeof import('uplot') | null} */ (null));
  const [scheme, setScheme] = useState(DARK.matches);
  const plot = useRef(/** @type {import('uplot') | null} */ (null));
  useEffect(() => {
    let here = true;
    import('uplot').then((module) => here && setDrawer(() => module.default));
    const onScheme = () => setScheme(DARK.matches);
    DARK.addEventListener('change', onScheme);
    return () => {
      here = false;
      DARK.removeEventListener('change', onScheme);
    };
  }, []);
  const data = /** @type {import('uplot').AlignedData} */ ([times.map((at) => at / 1000), ...series.map(({ values }) => values)]);
  useEffect(() => {
    const element = frame.current;
    if (!drawer || !element) return;
    const made = (plot.current = new drawer(optionsOf(drawer, element, { series, width, format, onPoint }), data, element));
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [drawer, scheme, width]);
  useEffect(() => plot.current?.setData(data), [times, series]);
  return html`<figure class="plot">
    <figcaption>${series.map(({ name, tone }) => html`<span key=${name}><i class="swatch ${tone}" aria-hidden="true"></i>${name}</span>`)}</figcaption>
    <div class="frame" ref=${frame} role="img" aria-label=${`${label} over time; the numbers are in the table beside`}></div>
  </figure>`;
}

/**
 * @param {typeof import('uplot')} drawer
 * @param {HTMLElement} element
 * @param {{ series: Series[], width: number, format: (value: number) => string, onPoint: (at: number | null) => void }} what
 * @returns {import('uplot').Options}
 */
function optionsOf(drawer, element, { series, width, format, onPoint }) {
  const [soft, line] = [colour(element, 'soft'), colour(element, 'line')];
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: '12px system-ui' };
  const bars = drawer.paths.bars?.({ size: [0.7, 40], align: 1 });
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    // A bucket begins at its time: the last one has room to its right.
    scales: { x: { range: (_, from, to) => [from, to + width / 1000] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [axis, { ...axis, size: 58, values: (_, ticks) => ticks.map(format) }],
    series: [
      {},
      ...series.map(({ name, tone }) => {
        const stroke = colour(element, tone);
        return series.length === 1 ? { label: name, stroke, fill: stroke, paths: bars, points: { show: false } } : { label: name, stroke, width: 2, points: { show: false } };
      }),
    ],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null)] },
  };
}
