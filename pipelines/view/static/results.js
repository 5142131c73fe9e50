// Results of a benchmark, and tables of a corpus.
import { html } from "./dom.js";
import { api, useData } from "./data.js";
import { number, oneLine, percent, pretty, visible, withInterval } from "./format.js";
import { Empty, Frame, Interval, Long, Notice } from "./parts.js";
import { Histogram } from "./problems.js";
import { link } from "./route.js";

function listOf(value) {
  if (value === null || value === undefined || value === "") return [];
  return Array.isArray(value) ? value : [value];
}

function Texts({ title, items }) {
  const all = listOf(items);
  if (!all.length) return null;
  return html`<h3>${title}</h3><ul class="plain-list">${all.map((one) =>
    html`<li key=${pretty(one)}>${typeof one === "string" ? oneLine(one) : oneLine(pretty(one))}</li>`)}</ul>`;
}

/** Further figures, as far as the result has them. */
function More({ task }) {
  const figures = [["Tokens of a response", number(task.tokens), task.tokens], [`pass@${task.samples}`,
    percent(task.pass_at_k), task.pass_at_k],
    ...Object.entries(task.figures ?? {}).map(([name, value]) => [name, percent(value), value]),
    ["Truncated", `${percent(task.truncated)}%`, task.truncated], ["Without a score", number(task.without_score),
      task.without_score]];
  return figures.filter(([, , value]) => value !== null && value !== undefined).map(([name, text]) =>
    html`<div key=${name}><dt>${oneLine(name)}</dt><dd class="num">${text}</dd></div>`);
}

function Task({ task }) {
  const hasSamples = task.low_samples !== null && task.low_samples !== undefined;
  const isShare = task.score === null || Math.abs(task.score) <= 1;
  const to = isShare ? 1 : Math.max(10, task.high ?? task.score);
  return html`<section class="panel task"><h2>${oneLine(task.task)}</h2>
    <div class="score"><strong class="num big">${percent(task.score)}</strong><div class="drawn"><${Interval}
      value=${task.score} low=${task.low} high=${task.high} lowSamples=${task.low_samples} highSamples=${task.high_samples}
        to=${to} />
      <div class="ends num quiet small" aria-hidden="true"><span>0</span>${hasSamples
        && html`<span class="wide">thin: over new problems, thick: over new samples</span>`}<span>${isShare ? 100
          : number(to)}</span></div></div></div>
    <dl class="facts wide-facts"><div><dt>95% interval ${oneLine(task.interval ?? "over new problems")}</dt><dd class="num">
      ${withInterval(task.score, task.low, task.high)}</dd></div>
      ${hasSamples && html`<div><dt>95% interval over new samples</dt><dd class="num">${withInterval(task.score,
        task.low_samples, task.high_samples)}</dd></div>`}
      <div><dt>Problems</dt><dd class="num">${number(task.problems)}</dd></div><div><dt>Samples of each</dt><dd class="num">
        ${number(task.samples)}</dd></div>
      <${More} task=${task} /></dl>
    <${Texts} title="Protocol" items=${task.protocol} /><${Texts} title="Cautions" items=${task.cautions} />
    ${task.settings && Object.keys(task.settings).length > 0
      && html`<details><summary>Settings</summary><dl class="settings">${Object.entries(task.settings).map(([name, value]) =>
      html`<div key=${name}><dt>${oneLine(name)}</dt><dd>${value === null ? "–" : typeof value === "object"
        ? html`<${Long} kind="text code" text=${pretty(value)} />` : visible(value)}</dd></div>`)}</dl></details>`}</section>`;
}

export function Results({ run, stage, has }) {
  const answer = useData(api(["runs", run, "stages", stage, "results"]));
  const { data } = answer;
  if (!data) return html`<${Notice} ...${answer} />`;
  if (!data.tasks.length) return html`<${Empty}>No results yet.<//>`;
  const hasEpisodes = has?.includes("episodes");
  return html`<div class="tasks">${data.tasks.map((task) => html`<${Task} key=${task.task} task=${task} />`)}</div>
    <p class="links">${hasEpisodes
      && html`<a class="button" href=${link([run, stage, "problems"], { sort: "rate" })}>Problem by problem</a>`}
      <a class="button" href=${link(["compare"], { a: `${run}/${stage}` })}>Compare with another result</a></p>
    ${hasEpisodes && html`<${Histogram} run=${run} stage=${stage} of="rate" query=${{}} />`}`;
}

function isNumber(value) {
  return typeof value === "number" || (typeof value === "string" && /^[-+−]?[\d,.]+ ?%?$/.test(value.trim()));
}

export function Corpus({ run, stage }) {
  const answer = useData(api(["runs", run, "stages", stage, "corpus"]));
  const { data } = answer;
  if (!data) return html`<${Notice} ...${answer} />`;
  if (!data.tables.length) return html`<${Empty}>This stage has written no tables yet.<//>`;
  return html`${data.tables.map((table, place) => {
    const right = table.head.map((_, column) => table.rows.length > 0 && table.rows.every((row) => row[column] === null
      || row[column] === "" || isNumber(row[column])));
    return html`<section class="panel" key=${place}><h2 id="table-${place}">${oneLine(table.title)}</h2>
      <${Frame} label=${oneLine(table.title)}><table aria-labelledby="table-${place}"><thead><tr>${table.head.map((name,
        column) => html`<th scope="col" key=${column} class=${right[column] ? "num" : ""}>${oneLine(name)}</th>`)}</tr></thead>
        <tbody>${table.rows.map((row, at) =>
          html`<tr key=${at}>${row.map((value, column) =>
            html`<td key=${column} class=${right[column] ? "num" : "long"} dir="auto">${typeof value === "number"
              ? number(value) : value === null ? "–" : typeof value === "object" ? oneLine(pretty(value))
                : visible(value)}</td>`)}</tr>`)}</tbody></table><//></section>`;
  })}`;
}
