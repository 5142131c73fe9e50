// The problems of a stage with their mean scores, and histograms.
import { html } from "./dom.js";
import { api, useData } from "./data.js";
import { number, oneLine, scoreText, withoutSharedStart } from "./format.js";
import { Field, Frame, NoRows, Notice, Pager, SortHead, SourceChoice, Sparkline } from "./parts.js";
import { go, link } from "./route.js";

const PROBLEMS = 50;
const OF = { rate: "Mean score of problems", score: "Score of episodes", tokens: "Tokens of episodes" };

/** Bars that open what is in them. `href(low, high, isLast)` makes the address. */
function Bars({ edges, counts, label, href, current }) {
  const most = Math.max(1, ...counts);
  return html`<ol class="bars" aria-label=${label}>${counts.map((count, at) => {
    const low = edges[at], high = edges[at + 1], name = `${number(low)} to ${number(high)}: ${number(count)}`;
    return html`<li key=${at}><a href=${href(low, high, at === counts.length - 1)} aria-label=${name} title=${name}
      aria-current=${current?.(low, high) ? "true" : undefined}>
      <span class="count num" aria-hidden="true">${count ? number(count) : ""}</span>
        <span class="bar" style=${{ height: `${(100 * count) / most}%` }}></span></a>
      <span class="edge num" aria-hidden="true">${number(low)}</span>${at === counts.length - 1
        && html`<span class="edge last num" aria-hidden="true">${number(high)}</span>`}</li>`;
  })}</ol>`;
}

/** A histogram of a stage: of=rate (problems), score or tokens (episodes). */
export function Histogram({ run, stage, of, query }) {
  const answer = useData(api(["runs", run, "stages", stage, "histogram"], { source: query.source, of }));
  const { data } = answer;
  if (!data) return html`<div class="panel histogram"><h2>${OF[of]}</h2><${Notice} ...${answer} /></div>`;
  if (!data.counts.length) return null;
  const above = (high, isLast) => isLast ? high
    : Number((high - 1e-6).toPrecision(12)); // an edge belongs to the bar on its right
  const href = (low, high, isLast) => {
    if (of === "rate") return link([run, stage, "problems"], { ...query, offset: "", min_rate: low, max_rate: above(high,
      isLast) });
    const most = of === "tokens" ? (isLast ? Math.ceil(high) : Math.ceil(high) - 1) : above(high, isLast);
    return link([run, stage, "episodes"], { source: query.source, [`min_${of}`]: of === "tokens" ? Math.ceil(low) : low,
      [`max_${of}`]: most });
  };
  return html`<section class="panel histogram" aria-label=${OF[of]}><h2>${OF[of]}</h2>
    <${Bars} edges=${data.edges} counts=${data.counts} label="${OF[of]}: number in each range" href=${href}
      current=${of === "rate" ? (low) => query.min_rate !== undefined && Number(query.min_rate) === low : null} /></section>`;
}

export function Problems({ run, stage, query }) {
  const to = (changes) => link([run, stage, "problems"], { ...query, ...changes });
  const offset = Number(query.offset) || 0, sort = query.sort ?? "problem";
  const answer = useData(api(["runs", run, "stages", stage, "problems"], { source: query.source, sort, offset, limit: PROBLEMS,
    text: query.text, min_rate: query.min_rate, max_rate: query.max_rate }));
  const { data, busy } = answer;
  const prompts = withoutSharedStart((data?.rows ?? []).map((row) => row.prompt));
  const sources = useData(api(["runs", run, "stages", stage, "episodes"], { offset: 0, limit: 1 })).data?.sources;
  const bySort = (next) => to({ sort: next, offset: "" });
  const hasSteps = (data?.rows ?? []).some((row) => row.by_step?.length > 1);
  return html`<div class="histograms">${["rate", "tokens"].map((of) =>
    html`<${Histogram} key=${of} run=${run} stage=${stage} of=${of} query=${query} />`)}</div>
    <form class="controls" role="search" aria-label="Filter problems" onSubmit=${(event) => event.preventDefault()}>
      <${SourceChoice} sources=${sources} query=${query} to=${to} />
        <${Field} label="Text of the prompt" name="text" type="search" query=${query} to=${to} />
      <${Field} label="Least mean" name="min_rate" type="number" step="any" min="0" max="1" query=${query} to=${to} />
        <${Field} label="Greatest mean" name="max_rate" type="number" step="any" min="0" max="1" query=${query} to=${to} />
      ${(query.min_rate || query.max_rate || query.text)
        && html`<button type="button" class="clear"
          onClick=${() => go(to({ min_rate: "", max_rate: "", text: "", offset: "" }))}>Clear filters</button>`}</form>
    ${!data ? html`<${Notice} ...${answer} />` : !data.rows.length
      ? html`<${NoRows} data=${data}>No problem fits these filters.<//>` : html`
    <${Frame} label="Problems" busy=${busy}><table class="problems"><caption
      class="hidden">Problems of ${oneLine(stage)}</caption><thead><tr>
        <${SortHead} name="Problem" up="problem" sort=${sort} to=${bySort} kind="num" /><th scope="col">Prompt</th>
      <th scope="col" class="num">Samples</th><${SortHead} name="Mean" up="rate" down="-rate" sort=${sort} to=${bySort}
        kind="num" />${hasSteps && html`<th scope="col">By step</th>`}</tr></thead>
      <tbody>${data.rows.map((row, at) =>
        html`<tr key=${`${row.source}/${row.problem}`}><td class="num"><a class="row"
          href=${link([run, stage, "episodes"], { source: row.source, problem: row.problem })}>${number(row.problem)}</a></td>
        <td class="text-cell"><div class="cut" dir="auto" title=${oneLine(row.prompt)}>${prompts[at]}</div>
          <div class="small quiet cut">${oneLine(row.problem_id)}</div></td><td class="num">${number(row.samples)}</td>
            <td class="num">${scoreText(row.mean)}</td>
        ${hasSteps && html`<td><${Sparkline} points=${row.by_step} /></td>`}</tr>`)}</tbody></table><//>
    <${Pager} total=${data.total} offset=${offset} limit=${PROBLEMS} name="problems"
      to=${(start) => to({ offset: start || "" })} />`}`;
}
