// A line chart, drawn by uPlot.
import { html, useEffect, useMemo, useRef, useState } from "./dom.js";
import { number, oneLine } from "./format.js";
import { DASHES, LINES, saveChart } from "./picture.js";

/** True if the page is dark, by the reader's choice or else the system's. */
function isDark() {
  const chosen = document.documentElement.dataset.scheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function useDark() {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const look = () => setDark(isDark());
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", look);
    addEventListener("schemechange", look);
    return () => {
      system.removeEventListener("change", look);
      removeEventListener("schemechange", look);
    };
  }, []);
  return dark;
}

/** An exponential moving average, without bias to the first value. Missing values stay missing. */
export function smoothed(values, factor) {
  let sum = 0, weight = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    sum = factor * sum + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return sum / weight;
  });
}

/** All lines over the same steps, as uPlot wants them. */
function aligned(lines) {
  const tables = lines.flatMap((line) => line.raw ? [[line.x, line.raw], [line.x, line.y]] : [[line.x, line.y]]);
  return tables.length ? globalThis.uPlot.join(tables) : [[]];
}

function optionsFor(lines, dark, width, height, on) {
  const ink = dark ? "#9aa5b1" : "#59636e", faint = dark ? "#262c34" : "#e8ebee";
  const axis = { stroke: ink, font: "12px system-ui, sans-serif", grid: { stroke: faint, width: 1 }, ticks: { show: false } };
  const series = [{}];
  lines.forEach((line, order) => {
    const stroke = (dark ? LINES.dark : LINES.light)[order % LINES.light.length];
    if (line.raw) series.push({ stroke, width: 1, alpha: 0.28, points: { show: false } });
    series.push({ stroke, width: 2, dash: DASHES[order % DASHES.length], points: { show: line.x.length === 1 },
      spanGaps: true });
  });
  return {
    width, height, series, padding: [10, 12, 0, 0], legend: { show: false }, scales: { x: { time: false, range: on.range } },
    cursor: { sync: { key: "steps" }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    axes: [{ ...axis, size: 30, gap: 6 }, { ...axis, size: 58, gap: 6, values: (_, all) => all.map((one) => one === null ? ""
      : number(one)) }],
    hooks: {
      setCursor: [(plot) => on.cursor(plot.cursor.idx ?? null)],
      setSelect: [(plot) => {
        if (plot.select.width < 4) return;
        on.zoom(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
    },
  };
}

function summary(line) {
  const known = line.y.map((value, at) => [line.x[at], value]).filter(([, value]) => value !== null);
  if (!known.length) return "no values";
  const values = known.map(([, value]) => value);
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const [first, last] = [known[0], known.at(-1)].map(([step, value]) => `${number(value)} at step ${step}`);
  return `${first}, ${last}, least ${number(low)}, most ${number(high)}`;
}

/** One value of one or several stages over the steps. `range`: [from, to] or null; `onRange` receives a new one. */
export function Chart({ title, lines, range, onRange, height = 220, exportable = true }) {
  const place = useRef(null), plot = useRef(null), state = useRef({});
  const [at, setAt] = useState(null);
  const dark = useDark();
  const data = useMemo(() => aligned(lines), [lines]);
  state.current = { range, onRange, data };
  const shape = [lines.map((line) => line.label + Boolean(line.raw) + (line.x.length === 1)).join("|"), dark, height].join();
  useEffect(() => {
    const on = {
      cursor: setAt,
      zoom: (from, to) => state.current.onRange?.([Math.round(from), Math.round(to)]),
      range: (_, low, high) => state.current.range ?? (low === high ? [low - 1, high + 1] : [low, high]),
    };
    const width = () => Math.max(200, place.current.clientWidth);
    const made = new globalThis.uPlot(optionsFor(lines, dark, width(), height, on), state.current.data, place.current);
    plot.current = made;
    const reset = () => state.current.onRange?.(null);
    made.over.addEventListener("dblclick", reset);
    const sizes = new ResizeObserver(() => made.setSize({ width: width(), height }));
    sizes.observe(place.current);
    return () => {
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data, true), [data, range?.join()]);
  const move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !data[0]?.length) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(data[0].length - 1, (at ?? data[0].length) + step));
    plot.current.setCursor({ left: plot.current.valToPos(data[0][next], "x"), top: 20 });
  };
  const step = at === null ? null : data[0]?.[at];
  const valueAt = (line) => step === null ? line.y.findLast((value) => value !== null) : line.y[line.x.indexOf(step)];
  const name = useMemo(() => lines.map((line) => `${oneLine(line.label)}: ${summary(line)}`).join("; "), [lines]);
  return html`<figure class="chart"><figcaption><span class="title">${oneLine(title)}</span>
      <span class="num quiet at">${step === null || step === undefined ? "last value"
        : `step ${number(step)}`}</span></figcaption>
    <ul class="legend">${lines.map((line, order) => html`<li key=${line.label}>
      <svg width="22" height="8" aria-hidden="true">
        <line x1="0" x2="22" y1="4" y2="4" stroke=${(dark ? LINES.dark : LINES.light)[order % LINES.light.length]}
        stroke-width="2.5" stroke-dasharray=${DASHES[order % DASHES.length].join(" ")} /></svg>
      ${lines.length > 1 && html`<span class="label">${oneLine(line.label)}</span>`} <span class="num">
        ${number(valueAt(line))}</span></li>`)}</ul>
    <div class="plot" ref=${place} style=${{ height: `${height}px` }} role="img" tabindex="0" onKeyDown=${move}
      aria-label="${oneLine(title)}. ${name}. Left and right arrow keys read single steps."></div>
    ${exportable && html`<div class="exports">${["png", "svg", "csv"].map((format) =>
      html`<button type="button" class="plain" key=${format}
      aria-label="Save ${oneLine(title)} as ${format.toUpperCase()}" onClick=${() => saveChart(format, title, lines, range)}>
        ${format.toUpperCase()}</button>`)}</div>`}
    <span class="hidden" role="status">${step === null || step === undefined ? ""
      : `step ${step}: ${lines.map((line) => `${oneLine(line.label)} ${number(valueAt(line))}`).join(", ")}`}</span>
  </figure>`;
}
