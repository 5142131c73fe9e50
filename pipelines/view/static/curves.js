// The curves of a training stage.
import { html, useMemo, useState } from "./dom.js";
import { Chart, smoothed } from "./chart.js";
import { api, useData, useMany } from "./data.js";
import { oneLine, plural } from "./format.js";
import { Empty, Notice } from "./parts.js";
import { decoded, go, link } from "./route.js";

const FIRST = ["reward", "correct", "loss", "response_length", "entropy", "kl", "grad_norm", "accuracy", "learning_rate",
  "zero_variance"];

/** The values that are shown if the reader has chosen none. */
function usual(names, count) {
  const known = FIRST.filter((name) => names.includes(name));
  return [...known, ...names.filter((name) => !known.includes(name))].slice(0, count);
}

function hasValues(steps, name) {
  return (steps.values[name] ?? []).some((value) => value !== null);
}

/** The lines of one value: a line a stage. `all`: [{label, steps}]. */
function linesOf(all, name, factor) {
  return all.filter((one) => hasValues(one.steps, name)).map(({ label, steps }) => {
    const values = steps.values[name].map((value) => value ?? null);
    if (!factor) return { label, x: steps.steps, y: values, raw: null, factor };
    return { label, x: steps.steps, y: smoothed(values, factor), raw: values, factor };
  });
}

/** The most important curves, without controls. */
export function FewCurves({ run, stage }) {
  const { data } = useData(api(["runs", run, "stages", stage, "steps"]));
  const charts = useMemo(() => {
    if (!data) return [];
    const shown = usual(data.names.filter((name) => hasValues(data, name)), 3);
    return shown.map((name) => [name, linesOf([{ label: stage, steps: data }], name, 0)]);
  }, [data, stage]);
  if (!data) return html`<div class="charts few"><div class="chart waiting"></div></div>`;
  if (!charts.length) return html`<${Empty}>No values yet.<//>`;
  return html`<div class="charts few">${charts.map(([name, lines]) =>
    html`<${Chart} key=${name} title=${name} lines=${lines} range=${null} height=${150} exportable=${false} />`)}</div>`;
}

/** Stages of other runs that have curves, to be drawn over these. */
function Others({ run, stage, chosen, set }) {
  const [open, setOpen] = useState(chosen.length > 0);
  const runs = useData(open ? "/api/runs" : null);
  const ids = (runs.data?.runs ?? []).filter((one) => one.kind === "run" && one.stages > 0).slice(0, 100);
  const details = useMany(ids.map((one) => api(["runs", one.id])));
  const found = details.flatMap(({ data }) => (data?.stages ?? []).filter((one) => one.has?.includes("steps"))
    .map((one) => ({ value: `${data.id}/${one.name}`, name: data.name, stage: one.name })));
  const rest = found.filter((one) => one.value !== `${run}/${stage}`);
  const toggle = (value) => set(chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value]);
  return html`<details class="choices" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>Over one another${chosen.length ? ` (${chosen.length})` : ""}</summary>
    ${open && !rest.length && html`<p class="quiet">${details.some((one) => one.busy) || runs.busy ? "Loading…"
      : "No other stage has curves."}</p>`}
    <div class="checks">${rest.map((one) =>
      html`<label key=${one.value}><input type="checkbox" checked=${chosen.includes(one.value)}
      onChange=${() => toggle(one.value)} /> ${oneLine(one.name)} / ${oneLine(one.stage)}</label>`)}</div></details>`;
}

function rangeOf(text) {
  const found = /^(-?\d+)~(-?\d+)$/.exec(text ?? "");
  return found && Number(found[1]) < Number(found[2]) ? [Number(found[1]), Number(found[2])] : null;
}

export function Curves({ run, name, stage, query }) {
  const to = (changes) => link([run, stage, "curves"], { ...query, ...changes });
  const others = (query.with ?? "").split(",").filter(Boolean);
  const own = useData(api(["runs", run, "stages", stage, "steps"]));
  const paths = others.map((one) => api(["runs", one.split("/")[0], "stages", one.split("/").slice(1).join("/"), "steps"]));
  const more = useMany(paths);
  const names = useMany(others.map((one) => api(["runs", one.split("/")[0]])));
  const factor = Math.max(0, Math.min(0.99, Number(query.smooth) || 0));
  const all = [{ label: `${name} / ${stage}`, steps: own.data }, ...others.map((one, at) => (
    { label: `${names[at].data?.name ?? one.split("/")[0]} / ${one.split("/").slice(1).join("/")}`,
      steps: more[at].data }))].filter((one) => one.steps);
  const known = [...new Set(all.flatMap((one) => one.steps.names.filter((value) => hasValues(one.steps, value))))];
  const chosen = query.values?.split(",").map(decoded);
  const shown = chosen ? chosen.filter((value) => known.includes(value)) : usual(known, 6);
  const charts = useMemo(() => shown.map((value) => [value, linesOf(all, value, factor)]),
    [shown.join(), factor, ...all.flatMap((one) => [one.label, one.steps])]);
  if (!own.data) return html`<${Notice} ...${own} />`;
  if (!known.length) return html`<${Empty}>This stage has written no values yet.<//>`;
  const range = rangeOf(query.range);
  const setRange = (next) => go(to({ range: next && next[0] < next[1] ? next.join("~") : "" }));
  const last = own.data.steps.at(-1) ?? 1, first = own.data.steps[0] ?? 0;
  const choose = (value) => {
    const next = shown.includes(value) ? shown.filter((one) => one !== value) : [...shown, value];
    go(link([run, stage, "curves"], { ...query, values: next.map(encodeURIComponent).join(",") || "none" }));
  };
  const limit = (which, value) => {
    const next = [...(range ?? [first, last])];
    next[which] = Number(value);
    setRange(next);
  };
  return html`<div class="curves">
    <form class="controls" onSubmit=${(event) => event.preventDefault()}>
      <label class="field smooth"><span>Smoothing <span class="num">${factor.toFixed(2)}</span></span>
        <input type="range" min="0" max="0.99" step="0.01" value=${factor}
          onInput=${(event) => go(to({ smooth: Number(event.currentTarget.value) || "" }), true)} /></label>
      <label class="field"><span>From step</span>
        <input type="number" value=${range?.[0] ?? first} onChange=${(event) => limit(0, event.currentTarget.value)} /></label>
      <label class="field"><span>To step</span>
        <input type="number" value=${range?.[1] ?? last} onChange=${(event) => limit(1, event.currentTarget.value)} /></label>
      <button type="button" disabled=${!range} onClick=${() => setRange(null)}>All steps</button>
    </form>
    <details class="choices"><summary>Values (${shown.length} of ${known.length})</summary>
      <div class="checks">${known.map((value) =>
        html`<label key=${value}><input type="checkbox" checked=${shown.includes(value)}
        onChange=${() => choose(value)} /> ${oneLine(value)}</label>`)}</div></details>
    <${Others} run=${run} stage=${stage} chosen=${others} set=${(next) => go(to({ with: next.join(",") }))} />
    ${[own, ...more].some((one) => one.error) && html`<${Notice} error=${[own, ...more].find((one) => one.error).error} />`}
    <p class="quiet small">${plural(own.data.steps.length,
      "point")}. Drag over a chart to zoom; double-click, or "All steps", to see all.</p>
    <div class="charts">${charts.map(([value, lines]) =>
      html`<${Chart} key=${value} title=${value} lines=${lines} range=${range} onRange=${setRange} />`)}</div>
  </div>`;
}
