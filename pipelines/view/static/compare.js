// Two benchmark results, paired by problem.
import { html } from "./dom.js";
import { api, useData, useMany } from "./data.js";
import { number, oneLine, pretty, scoreText, signed, withInterval, withoutSharedStart } from "./format.js";
import { Empty, Frame, Interval, Notice } from "./parts.js";
import { go, link } from "./route.js";

const SHOWN = 50;

/** All stages of all runs that have results: [value, name, tasks]. */
function useResults() {
  const runs = useData("/api/runs");
  const ids = (runs.data?.runs ?? []).filter((one) => one.stages > 0).slice(0, 200);
  const details = useMany(ids.map((one) => api(["runs", one.id])));
  const found = details.flatMap(({ data }) => (data?.stages ?? []).filter((one) => one.has?.includes("result")).map((one) => ({
    value: `${data.id}/${one.name}`, name: `${data.name} / ${one.name}`, tasks: (data.board ?? []).filter((row) =>
      row.stage === one.name).map((row) => row.task) })));
  return { found, busy: runs.busy || details.some((one) => one.busy), error: runs.error };
}

function Choice({ name, label, value, items, to }) {
  return html`<label class="field grow"><span>${label}</span>
    <select value=${value} onChange=${(event) => go(to({ [name]: event.currentTarget.value }))}>
    <option value="">${name === "task" ? "first common task" : "choose a result"}</option>${items.map(([one, text]) =>
      html`<option key=${one} value=${one} selected=${one === value}>${oneLine(text)}</option>`)}</select></label>`;
}

function Side({ name, side }) {
  return side && typeof side === "object"
    ? html`<div><dt>${oneLine(name)}</dt><dd class="num">${withInterval(side.score, side.low, side.high)}</dd></div>` : null;
}

function Difference({ answer, a, b }) {
  const { difference, problems } = answer;
  const better = (sign) => problems.filter((row) => row.a !== null && row.b !== null
    && Math.sign(row.b - row.a) === sign).length;
  const reach = Math.max(0.05, ...[difference.low, difference.high, difference.value].filter((one) => one !== null
    && one !== undefined).map(Math.abs)) * 1.15;
  const hasInterval = difference.low !== null && difference.low !== undefined;
  const isClear = difference.low > 0 || difference.high < 0;
  return html`<section class="panel"><h2>Difference, second minus first</h2>
    <div class="score"><strong class="num big">${signed(difference.value)}</strong><div class="drawn"><${Interval}
      value=${difference.value} low=${difference.low} high=${difference.high} from=${-reach} to=${reach} zero=${true} />
      <div class="ends num quiet small" aria-hidden="true"><span>${signed(-reach)}</span><span>0</span><span>
        ${signed(reach)}</span></div></div></div>
    <p>95% interval <span class="num">[${signed(difference.low)}, ${signed(difference.high)}]</span>, paired by problem.${" "}
      ${hasInterval && (isClear ? "Zero is outside of it." : "Zero is inside: chance alone can explain the difference.")}</p>
    ${answer.differing_settings?.length > 0
      && html`<p class="caution"><strong>Caution:</strong> these settings differ: ${answer.differing_settings.map((one) =>
        oneLine(typeof one === "string" ? one : pretty(one))).join(", ")}.</p>`}
    <dl class="facts wide-facts"><${Side} name=${a} side=${answer.a} /><${Side} name=${b} side=${answer.b} /><div><dt>
      ${oneLine(b)} is better on</dt><dd class="num">${number(better(1))}</dd></div><div><dt>${oneLine(a)} is better on</dt>
        <dd class="num">${number(better(-1))}</dd></div>
      <div><dt>Equal on</dt><dd class="num">${number(better(0))}</dd></div><div><dt>Problems</dt><dd class="num">
        ${number(problems.length)}</dd></div></dl></section>`;
}

function Pairs({ problems, query, a, b }) {
  const pages = Math.ceil(problems.length / SHOWN), page = Math.min(Math.max(0, Number(query.page) || 0), Math.max(0,
    pages - 1));
  const to = (next) => link(["compare"], { ...query, page: next || "" });
  const rows = problems.slice(page * SHOWN, (page + 1) * SHOWN);
  const prompts = withoutSharedStart(rows.map((row) => row.prompt));
  return html`<${Frame} label="Problems"><table class="pairs"><caption class="hidden">Mean scores problem by problem</caption>
    <thead><tr><th scope="col">Problem</th><th scope="col" class="num" title=${oneLine(a)}>First</th>
      <th scope="col" class="num" title=${oneLine(b)}>Second</th>
      <th scope="col" class="num">Difference</th><th scope="col" class="wide">
        <span class="hidden">Drawn</span></th></tr></thead>
    <tbody>${rows.map((row, at) => {
      const change = row.a === null || row.b === null ? null : row.b - row.a;
      return html`<tr key=${row.problem_id}><td class="text-cell"><div class="cut" dir="auto" title=${oneLine(row.prompt)}>
        ${prompts[at]}</div><div class="small quiet cut">${oneLine(row.problem_id)}</div></td>
        <td class="num">${scoreText(row.a)}</td><td class="num">${scoreText(row.b)}</td><td class="num">${change === null ? "–"
          : change === 0 ? "0" : (change > 0 ? "+" : "−") + scoreText(Math.abs(change))}</td>
        <td class="wide drawn-cell">${change !== null
          && html`<${Interval} value=${change} low=${Math.min(0, change)} high=${Math.max(0, change)} from=${-1} to=${1}
            zero=${true} />`}</td></tr>`;
    })}</tbody></table><//>
    ${pages > 1 && html`<nav class="pager" aria-label="Pages of problems"><span class="num">
      ${number(page * SHOWN + 1)}–${number(Math.min(problems.length,
        (page + 1) * SHOWN))} of ${number(problems.length)} problems</span>
      <span class="steps">${page > 0 ? html`<a class="button" href=${to(page - 1)}>Previous</a>`
        : html`<span class="button off" aria-disabled="true">Previous</span>`}
      ${page < pages - 1 ? html`<a class="button" href=${to(page + 1)}>Next</a>`
        : html`<span class="button off" aria-disabled="true">Next</span>`}</span></nav>`}`;
}

export function Compare({ query }) {
  const to = (changes) => link(["compare"], { ...query, page: "", ...changes });
  const results = useResults();
  const { a = "", b = "", task = "" } = query;
  const answer = useData(a && b ? "/api/compare?" + new URLSearchParams({ a, b, ...(task ? { task } : {}) }) : null);
  const items = results.found.map((one) => [one.value, one.name]);
  const of = (value) => results.found.find((one) => one.value === value);
  const tasks = answer.data?.tasks ?? (of(a)?.tasks ?? []).filter((one) => !of(b) || of(b).tasks.includes(one));
  const names = [of(a)?.name ?? a, of(b)?.name ?? b];
  return html`<form class="controls" onSubmit=${(event) => event.preventDefault()}><${Choice} name="a" label="First" value=${a}
    items=${items} to=${to} /><${Choice} name="b" label="Second" value=${b} items=${items} to=${to} />
      ${tasks.length > 1 && html`<${Choice} name="task" label="Task" value=${task} items=${tasks.map((one) => [one, one])}
        to=${to} />`}
      <button type="button" disabled=${!a || !b} onClick=${() => go(to({ a: b, b: a }))}>Swap</button></form>
    ${results.error && html`<${Notice} error=${results.error} />`}
    ${!results.busy && !items.length && html`<${Empty}>No run has benchmark results yet.<//>`}
    ${items.length > 0 && (!a || !b) && html`<${Empty}>Choose two results of the same task.<//>`}
    ${a && b && (!answer.data ? html`<${Notice} ...${answer} />`
      : html`<${Difference} answer=${answer.data} a=${names[0]} b=${names[1]} />
        <${Pairs} problems=${answer.data.problems} query=${query} a=${names[0]} b=${names[1]} />`)}`;
}
