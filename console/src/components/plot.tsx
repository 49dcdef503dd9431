import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { significant } from "../format";

export interface Series {
  name: string;
  points: [x: number, y: number][];
  /** Points alone, a line, steps, or a dashed line. */
  kind?: "line" | "points" | "steps" | "dashed";
  /** Number of a colour of the palette; default: the series' own number. */
  color?: number;
  /** Of the points, in their order, drawn beside them. */
  labels?: string[];
}

interface Axis {
  name: string;
  range?: [number, number];
  log?: boolean;
}

const HEIGHT = 240;
const TICK = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const dark = matchMedia("(prefers-color-scheme: dark)");

/** A chart on a canvas, with the same as a sentence for those who do not see it. */
export function Plot({ title, series, x, y }: { title: string; series: Series[]; x: Axis; y: Axis }) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const isDark = useSyncExternalStore(
    (listener) => {
      dark.addEventListener("change", listener);
      return () => dark.removeEventListener("change", listener);
    },
    () => dark.matches,
  );
  const data = useMemo(() => aligned(series), [series]);
  // What a chart looks like changes seldom, its data with every event.
  const look = JSON.stringify([series.map(({ points: _, labels: __, ...rest }) => rest), x, y, isDark]);
  const labels = useRef<Series[]>(series);
  labels.current = series;

  useEffect(() => {
    const element = place.current!;
    const made = new uPlot(options(element, labels, x, y), aligned(labels.current), element);
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [look]);

  useEffect(() => chart.current?.setData(data), [data]);

  return (
    <figure className="plot">
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={`${title}. ${spoken(series)}`} />
    </figure>
  );
}

function spoken(series: Series[]): string {
  return series
    .filter(({ points }) => points.length > 0)
    .map(({ name, points }) => {
      const [first, last] = [points[0]!, points.at(-1)!];
      return `${name}: ${significant(first[1])} at ${significant(first[0])} to ${significant(last[1])} at ${significant(last[0])}`;
    })
    .join("; ");
}

/** uPlot's form: all places in their order, and each series' values there. */
function aligned(series: Series[]): uPlot.AlignedData {
  const places = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const values = series.map(({ points }) => {
    const known = new Map(points);
    return places.map((place) => known.get(place) ?? null);
  });
  return [places, ...values];
}

function options(element: HTMLElement, series: { current: Series[] }, x: Axis, y: Axis): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: color("--muted"), font: `12px ${style.fontFamily}`, labelFont: `12px ${style.fontFamily}`, labelSize: 22 };
  const lines = { stroke: color("--line"), width: 1 };
  const format = (_: uPlot, values: (number | null)[]) => values.map((value) => (value === null ? "" : TICK.format(value)));
  return {
    width: element.clientWidth || 400,
    height: HEIGHT,
    scales: {
      x: { time: false, ...(x.log ? { distr: 3 } : {}), ...(x.range ? { range: x.range } : { range: widened(x.log) }) },
      y: y.range ? { range: y.range } : series.current.some(({ labels }) => labels) ? { range: widened() } : {},
    },
    axes: [
      { ...axis, label: x.name, grid: { show: false }, ticks: lines, values: format, space: 60, size: 30 },
      { ...axis, label: y.name, grid: lines, ticks: lines, values: format, size: 70 },
    ],
    legend: { show: !series.current.some(({ labels }) => labels) },
    series: [
      { label: x.name, value: (_, value) => (value === null ? "–" : significant(value)) },
      ...series.current.map(({ name, kind = "line", color: number }, index): uPlot.Series => {
        const stroke = color(`--series-${(number ?? index) % 6}`);
        return {
          label: name,
          stroke,
          width: 2,
          spanGaps: true,
          value: (_, value) => (value === null ? "–" : significant(value)),
          ...(kind === "dashed" ? { dash: [5, 5] } : {}),
          ...(kind === "steps" ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}),
          ...(kind === "points"
            ? { paths: () => null, points: { show: true, size: 9, fill: stroke, stroke } }
            : { points: { show: false } }),
        };
      }),
    ],
    hooks: { draw: [(plot) => drawLabels(plot, series.current, color("--text"), style.fontFamily)] },
  };
}

/** A little room around points. */
function widened(log?: boolean): uPlot.Range.Function {
  return (_, low, high) => {
    if (low === null) return [0, 1];
    if (log) return [low / 1.4, high * 1.6];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  };
}

function drawLabels(plot: uPlot, series: Series[], color: string, font: string): void {
  const { ctx } = plot;
  ctx.save();
  ctx.fillStyle = color;
  ctx.font = `${11 * devicePixelRatio}px ${font}`;
  for (const { points, labels } of series) {
    labels?.forEach((label, index) => {
      const [x, y] = points[index]!;
      const left = plot.valToPos(x, "x", true);
      const onLeft = left > plot.bbox.left + plot.bbox.width * 0.75;
      ctx.textAlign = onLeft ? "right" : "left";
      ctx.fillText(label, left + (onLeft ? -8 : 8) * devicePixelRatio, plot.valToPos(y, "y", true) - 6 * devicePixelRatio);
    });
  }
  ctx.restore();
}
