// Components that several views use.
import { html, useEffect, useRef, useState } from "./dom.js";
import { number, oneLine, plural, scoreText, visible } from "./format.js";
import { go, link } from "./route.js";

const STATES = {
  running: ["●", "mark"], finished: ["✓", "good"], failed: ["✗", "bad"], killed: ["✗", "bad"], stopped: ["■", "warn"],
    waiting: ["○", "soft"],
  scored: ["✓", "soft"], timeout: ["◷", "warn"], undecided: ["?", "warn"], fault: ["!", "bad"], interrupted: ["■", "warn"],
};

/** A state as a sign, a word and a colour. */
export function State({ state }) {
  const [sign, kind] = STATES[state] ?? ["○", "soft"];
  return html`<span class="state ${kind}"><span aria-hidden="true">${sign}</span> ${oneLine(state ?? "waiting")}</span>`;
}

/** What a view shows while it has no data. */
export function Notice({ error, busy }) {
  if (error) return html`<p class="notice bad" role="alert"><strong>Error:</strong> ${oneLine(error)}</p>`;
  return busy ? html`<p class="notice quiet" role="status">Loading…</p>` : null;
}

/** What a table without rows shows. */
export function NoRows({ data, children }) {
  return html`<${Empty}>${data.incomplete ? "The episodes are being indexed." : children}<//>`;
}

export function Empty({ children }) {
  return html`<p class="notice quiet">${children}</p>`;
}

export function Progress({ done, total, label }) {
  const known = Number.isFinite(done) && total > 0;
  if (!known) return html`<span class="quiet num">${Number.isFinite(done) ? number(done) : ""}</span>`;
  return html`<span class="progress"><progress max=${total} value=${Math.min(done, total)} aria-label=${label}></progress>
    <span class="num quiet">${number(done)} of ${number(total)}</span></span>`;
}

/** A score in a small cell. Its number is always there; the colour only helps. */
export function Cell({ value, href, label, current, more = "" }) {
  const shown = value === null || value === undefined ? null : Math.max(0, Math.min(1, value));
  const style = shown === null ? {} : { "--share": `${Math.round(100 * shown)}%` };
  const name = `${label ? label + ": " : ""}${value === null || value === undefined ? "no score" : scoreText(value)}${more}`;
  const kind = `cell ${shown === null ? "none" : ""}`;
  if (!href) return html`<span class=${kind} style=${style} title=${name}>${scoreText(value)}</span>`;
  return html`<a class=${kind} style=${style} href=${href} title=${name} aria-label=${name}
    aria-current=${current ? "true" : undefined}>${scoreText(value)}</a>`;
}

/** A value with its interval on a line: thin over new problems, thick over new samples of the same problems. */
export function Interval({ value, low, high, lowSamples, highSamples, from = 0, to = 1, zero = false }) {
  if (value === null || value === undefined) return null;
  const at = (one) => `${(100 * (Math.max(from, Math.min(to, one)) - from)) / (to - from || 1)}%`;
  const line = (a, b, kind) => a === null || a === undefined || b === null || b === undefined ? null
    : html`<line x1=${at(a)} x2=${at(b)} y1="8" y2="8" class=${kind} />`;
  return html`<svg class="interval" height="16" aria-hidden="true" focusable="false">
    <line x1="0" x2="100%" y1="8" y2="8" class="base" />
    ${zero && html`<line x1=${at(0)} x2=${at(0)} y1="1" y2="15" class="zero" />`}
    ${line(low, high, "thin")}${line(lowSamples, highSamples, "thick")}
    <circle cx=${at(value)} cy="8" r="3.5" /></svg>`;
}

/** A small line of [x, share] points. */
export function Sparkline({ points, label }) {
  const known = (points ?? []).filter(([, y]) => y !== null);
  if (known.length < 2) return html`<span class="quiet">${known.length ? scoreText(known[0][1]) : "–"}</span>`;
  const first = known[0][0], width = known.at(-1)[0] - first || 1;
  const at = ([x, y]) => `${(2 + (96 * (x - first)) / width).toFixed(1)},${(18 - 16 * Math.max(0, Math.min(1, y))).toFixed(1)}`;
  const name = label ?? [known[0], known.at(-1)].map(([x, y], at) =>
    `${at ? "to" : "from"} ${scoreText(y)} at step ${x}`).join(" ");
  const [x, y] = at(known.at(-1)).split(",");
  return html`<svg class="spark" viewBox="0 0 100 20" width="100" height="20" role="img" aria-label=${name}><title>
    ${name}</title>
    <polyline points=${known.map(at).join(" ")} /><circle cx=${x} cy=${y} r="2" /></svg>`;
}

export function Copy({ text, label = "Copy" }) {
  const [done, setDone] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      setDone("Not allowed here");
    }
    timer.current = setTimeout(() => setDone(""), 2000);
  };
  return html`<button type="button" class="plain copy" onClick=${copy}><span aria-live="polite">${done
    || label}</span></button>`;
}

const LONG = 20000;

/** A text of a run. A very long one is cut until its reader wants all of it. */
export function Long({ text, kind = "text" }) {
  const [all, setAll] = useState(false);
  const whole = typeof text === "string" ? text : String(text ?? "");
  const cut = !all && whole.length > LONG;
  return html`<div class=${kind} dir="auto">${visible(cut ? whole.slice(0, LONG) : whole)}</div>
    ${cut && html`<button type="button" onClick=${() => setAll(true)}>Show all ${number(whole.length)} characters</button>`}`;
}

/** Pages of a table: `to` makes the address for an offset. */
export function Pager({ total, offset, limit, atLeast, to, name }) {
  if (!total) return null;
  const last = Math.min(offset + limit, total);
  const step = (label, start, allowed) => allowed
    ? html`<a class="button" href=${to(start)} rel=${label === "Previous" ? "prev" : "next"}>${label}</a>`
    : html`<span class="button off" aria-disabled="true">${label}</span>`;
  return html`<nav class="pager" aria-label="Pages of ${name}">
    <span class="num">${number(offset + 1)}–${number(last)} of ${atLeast ? "more than " : ""}${plural(total, name.replace(/s$/,
      ""), name)}</span>
    <span class="steps">${step("Previous", Math.max(0, offset - limit), offset > 0)}${step("Next", offset + limit, last < total
      || (atLeast && last === total))}</span></nav>`;
}

/** The head of a column by which a table can be sorted. */
export function SortHead({ name, up, down, sort, to, kind }) {
  const now = sort === up ? "ascending" : sort === down ? "descending" : "none";
  const next = sort === down || !down ? up : down;
  const sign = now === "ascending" ? "▲" : now === "descending" ? "▼" : "";
  return html`<th scope="col" class=${kind} aria-sort=${now}><a href=${to(next)}>${name} <span aria-hidden="true" class="sign">
    ${sign}</span></a></th>`;
}

/** A table that scrolls inside its frame if the window is narrow. */
export function Frame({ label, children, busy }) {
  return html`<div class="frame" role="region" aria-label=${label} tabindex="0" aria-busy=${busy ? "true" : "false"}>
    ${children}</div>`;
}

export function Tabs({ label, items, current }) {
  return html`<nav class="tabs" aria-label=${label}>${items.map(([name, text, href]) =>
    html`<a key=${name} href=${href} aria-current=${name === current ? "page" : undefined}>${text}</a>`)}</nav>`;
}

/** A field whose value goes into the address: at once when it is left, after a pause while a key is pressed. */
export function Field({ label, name, query, to, type = "text", ...more }) {
  const [draft, setDraft] = useState(null); // what is typed and not yet in the address
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (value, replace) => {
    clearTimeout(timer.current);
    setDraft(null);
    if (value !== (query[name] ?? "")) go(to({ [name]: value, offset: "" }), replace);
  };
  return html`<label class="field ${name}"><span>${label}</span>
    <input type=${type} name=${name} value=${draft ?? query[name] ?? ""} autocomplete="off" ...${more}
      onInput=${(event) => {
        const value = event.currentTarget.value;
        setDraft(value);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => change(value, true), 350);
      }}
      onChange=${(event) => change(event.currentTarget.value, false)} /></label>`;
}

/** Chooses one of the sources of a stage's episodes: a benchmark stage has one for each task. */
export function SourceChoice({ sources, query, to }) {
  if (!(sources?.length > 1) && !query.source) return null;
  return html`<label class="field source"><span>Task</span>
    <select value=${query.source ?? ""} onChange=${(event) => go(to({ source: event.currentTarget.value, offset: "" }))}>
    <option value="">all</option>${[...new Set([...(sources ?? []), query.source].filter(Boolean))].map((one) =>
      html`<option key=${one} value=${one}>${oneLine(one)}</option>`)}</select></label>`;
}

/** The views of a stage, as far as it has data for them. */
export function viewsOf(run, stage) {
  const has = new Set(stage.has ?? []);
  const views = [];
  if (has.has("steps")) views.push(["curves", "Curves"]);
  if (has.has("result")) views.push(["results", "Results"]);
  if (has.has("episodes")) views.push(["groups", "Groups"], ["episodes", "Episodes"], ["problems", "Problems"]);
  if (has.has("corpus")) views.push(["corpus", stage.kind === "autopsy" ? "Findings" : "Corpus"]);
  return views.map(([name, text]) => [name, text, link([run, stage.name, name])]);
}
