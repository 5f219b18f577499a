// Lines over time: uPlot in the colours of the page, loaded when the first chart is shown.

import { html, useEffect, useRef } from "./vendor/preact.js";
import { clockTime, dateTime } from "./format.js";

/** Names of colours in the style sheet, for the lines of one chart in order. */
const LINES = ["accent", "degraded", "healthy", "down"];
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
const DAY_S = 86400;
/** Steps of an axis of bytes: 2, 8, 32, ... */
const BINARY = Array.from({ length: 24 }, (_, power) => 2 ** (2 * power + 1)).concat(Array.from({ length: 24 }, (_, power) => 4 ** power)).sort((a, b) => a - b);

/**
 * `times`: Unix seconds; `lines`: [{title, values}], null if not measured; `show(value)` returns text.
 * `ratio`: from 0 to at most 1; `binary`: bytes; `tight`: not from 0, for values that vary little, such as heights.
 */
export function Chart({ times, lines, show, height = 130, label, from, to, ratio = false, binary = false, tight = false }) {
  const box = useRef();
  const plot = useRef(null);
  const latest = useRef(null);
  latest.current = { times, lines, from, to };

  useEffect(() => {
    const element = box.current;
    let gone = false;
    let observer = null;
    const scheme = matchMedia("(prefers-color-scheme: light)");
    const build = async () => {
      const { uPlot } = await import("./vendor/charts.js");
      if (gone) return;
      plot.current?.destroy();
      element.textContent = "";
      const wide = latest.current.to - latest.current.from;
      plot.current = new uPlot(options(element, { uPlot, lines, show, height, ratio, binary, tight, wide }), data(latest.current), element);
      observer ??= new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
      observer.observe(element);
    };
    build();
    scheme.addEventListener("change", build);
    return () => {
      gone = true;
      observer?.disconnect();
      scheme.removeEventListener("change", build);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [lines.map(({ title }) => title).join(), to - from]);

  useEffect(() => {
    if (!plot.current) return;
    plot.current.setData(data(latest.current), false);
    plot.current.setScale("x", { min: from, max: to });
  });
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}

function data({ times, lines }) {
  return [times, ...lines.map(({ values }) => values)];
}

function options(element, { uPlot, lines, show, height, ratio, binary, tight, wide }) {
  const style = getComputedStyle(element);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: `11px ${style.fontFamily}` };
  return {
    width: element.clientWidth,
    height,
    padding: [8, 6, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: {
      x: { time: true },
      y: { range: (_, low, high) => (tight ? around(low, high) : ratio ? [0, Math.max(0.05, Math.min(1, high * 1.15))] : [0, high > 0 ? high * 1.12 : 1]) },
    },
    axes: [
      { ...axis, size: 26, space: 70, values: (_, ticks) => ticks.map((at) => tick(at, wide)) },
      { ...axis, size: 62, space: 34, ...(binary ? { incrs: BINARY } : {}), values: (_, ticks) => ticks.map((value) => show(value)) },
    ],
    series: [
      { value: (_, at) => (at === null ? "" : wide > DAY_S ? dateTime(at) : clockTime(at)), label: "at" },
      ...lines.map(({ title }, index) => ({
        label: title,
        stroke: color(LINES[index]),
        width: 1.6,
        dash: DASHES[index],
        fill: index === 0 ? `${color(LINES[0])}1f` : undefined,
        points: { show: false },
        value: (_, value) => (value === null ? "" : show(value)),
        paths: uPlot.paths.linear(),
      })),
    ],
  };
}

/** A range that shows all values, also where they are all alike or none is known. */
function around(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.1 || Math.max(1, Math.abs(high) * 0.001);
  return [low - room, high + room];
}

function tick(at, wide) {
  const date = new Date(at * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return wide > 2 * DAY_S ? `${date.getDate()}.${date.getMonth() + 1}.` : `${two(date.getHours())}:${two(date.getMinutes())}`;
}
