// The table of a stage's episodes, with filters.
import { html } from "./dom.js";
import { api, useData } from "./data.js";
import { number, oneLine, plural, scoreText, withoutSharedStart } from "./format.js";
import { Cell, Field, Frame, NoRows, Notice, Pager, SortHead, SourceChoice, State } from "./parts.js";
import { go, link } from "./route.js";

export const FILTERS = ["source", "step", "problem", "attempt", "sample", "status", "finish", "min_score", "max_score",
  "min_tokens", "max_tokens", "text", "sort"];
const SIZES = ["20", "50", "100", "200"];

/** The filters of an address, in the order of the interface. */
export function filtersOf(query) {
  return Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]));
}

/** Values of a column with their numbers of episodes; each is a button that filters. */
function Facet({ title, name, counts, query, to, atLeast }) {
  const values = Object.entries(counts ?? {});
  if (query[name] && !(query[name] in (counts ?? {}))) values.push([query[name], 0]);
  if (!values.length) return null;
  return html`<fieldset class="facet"><legend>${title}</legend>${values.map(([value, count]) =>
    html`<button type="button" key=${value}
    aria-pressed=${query[name] === value} onClick=${() => go(to({ [name]: query[name] === value ? "" : value, offset: "" }))}>
    ${oneLine(value) || "none"} <span class="num">${number(count)}${atLeast ? "+" : ""}</span></button>`)}</fieldset>`;
}

function Filters({ query, to, facets, hasSteps, sources, atLeast }) {
  const active = FILTERS.filter((name) => name !== "sort" && query[name]).length;
  return html`<form class="filters" role="search" aria-label="Filter episodes" onSubmit=${(event) => event.preventDefault()}>
    <div class="controls"><${SourceChoice} sources=${sources} query=${query} to=${to} />
      <${Field} label="Text of the response" name="text" type="search" query=${query} to=${to}
        placeholder=${`words or "a phrase"`} />
      ${hasSteps && html`<${Field} label="Step" name="step" type="number" query=${query} to=${to} />`}
      <${Field} label="Problem" name="problem" type="number" query=${query} to=${to} />
      <${Field} label="Least score" name="min_score" type="number" step="any" query=${query} to=${to} />
      <${Field} label="Greatest score" name="max_score" type="number" step="any" query=${query} to=${to} />
      <${Field} label="Least tokens" name="min_tokens" type="number" query=${query} to=${to} />
      <${Field} label="Most tokens" name="max_tokens" type="number" query=${query} to=${to} />
    </div>
    <div class="controls"><${Facet} title="Verdict" name="status" counts=${facets?.status} query=${query} to=${to}
        atLeast=${atLeast} />
      <${Facet} title="Finish reason" name="finish" counts=${facets?.finish} query=${query} to=${to}
        atLeast=${atLeast} />
      ${active > 0 && html`<button type="button" class="clear"
        onClick=${() => go(to(Object.fromEntries(["offset", ...FILTERS.filter((name) => name !== "sort")].map((name) => [name,
          ""]))))}>
        Clear ${active === 1 ? "the filter" : `${active} filters`}</button>`}</div></form>`;
}

function Row({ row, href, hasSteps, prompt }) {
  return html`<tr><td class="num"><a class="row" href=${href}>${number(row.number)}</a></td>
    <td><${Cell} value=${row.score} /></td>
    <td class="text-cell"><div class="cut" dir="auto" title=${oneLine(row.prompt)}>${prompt}</div>
      <div class="cut start" dir="auto">${oneLine(row.start)}</div></td>
    <td><${State} state=${row.status} />${row.reason && html`<div class="small quiet cut">${oneLine(row.reason)}</div>`}</td>
    ${hasSteps && html`<td class="num">${number(row.step)}</td>`}
    <td class="num" title=${oneLine(row.problem_id)}>${number(row.problem)}</td><td class="num wide">${number(row.sample)}</td>
    <td class="num">${number(row.tokens)}</td><td class="wide">${oneLine(row.finish)}</td></tr>`;
}

export function Episodes({ run, stage, query }) {
  const to = (changes) => link([run, stage, "episodes"], { ...query, ...changes });
  const filters = filtersOf(query), offset = Number(query.offset) || 0;
  const limit = SIZES.includes(query.limit) ? Number(query.limit) : 50;
  const answer = useData(api(["runs", run, "stages", stage, "episodes"], { ...filters, offset, limit }));
  const { data, busy } = answer;
  const sort = query.sort ?? "", bySort = (next) => to({ sort: next, offset: "" });
  const hasSteps = Boolean(query.step) || (data?.rows ?? []).some((row) => row.step !== null && row.step !== undefined);
  const prompts = withoutSharedStart((data?.rows ?? []).map((row) => row.prompt));
  const href = (row, at) => link([run, stage, "episode", String(row.number)], { ...filters, at: offset + at });
  return html`<${Filters} query=${query} to=${to} facets=${data?.facets} hasSteps=${hasSteps} sources=${data?.sources}
      atLeast=${data?.total_at_least} />
    ${!data ? html`<${Notice} ...${answer} />` : html`
    ${answer.error && html`<${Notice} error=${answer.error} />`}
    ${data.kept?.[0] < data.kept?.[1]
      && html`<p class="notice quiet">This exported page has ${number(data.kept[0])} of ${number(data.kept[1])} episodes.</p>`}
    ${data.broken > 0
      && html`<p class="notice quiet">${plural(data.broken, "line")} of the files cannot be read, and ${data.broken === 1
        ? "is" : "are"} left out.</p>`}
    <p class="hidden" role="status">${busy ? "Loading" : `${number(data.total)} episodes`}</p>
    ${!data.rows.length ? html`<${NoRows} data=${data}>No episode fits these filters.<//>` : html`
    <${Frame} label="Episodes" busy=${busy}><table class="episodes">
      <caption class="hidden">Episodes of ${oneLine(stage)}</caption><thead><tr>
      <${SortHead} name="Episode" up="number" sort=${sort || "number"} to=${bySort} kind="num" />
      <${SortHead} name="Score" up="score" down="-score" sort=${sort} to=${bySort} /><th scope="col">Prompt and response</th>
        <th scope="col">Verdict</th>
      ${hasSteps && html`<${SortHead} name="Step" up="step" sort=${sort} to=${bySort} kind="num" />`}
      <th scope="col" class="num">Problem</th><th scope="col" class="num wide">Sample</th>
      <${SortHead} name="Tokens" up="tokens" down="-tokens" sort=${sort} to=${bySort} kind="num" />
        <th scope="col" class="wide">Finish</th>
      </tr></thead><tbody>${data.rows.map((row, at) =>
        html`<${Row} key=${row.number} row=${row} href=${href(row, at)} hasSteps=${hasSteps}
          prompt=${prompts[at]} />`)}</tbody></table><//>
    <${Pager} total=${data.total} atLeast=${data.total_at_least} offset=${offset} limit=${limit} name="episodes"
      to=${(start) => to({ offset: start || "" })} />
    <label class="field inline"><span>Rows on a page</span>
      <select value=${String(limit)} onChange=${(event) => go(to({ limit: event.currentTarget.value, offset: "" }))}>
      ${SIZES.map((size) => html`<option key=${size} value=${size}>${size}</option>`)}</select></label>`}`}`;
}

/** The mean of scores as a text, without those that are missing. */
export function meanText(scores) {
  const known = scores.filter((value) => value !== null && value !== undefined);
  return known.length ? scoreText(known.reduce((sum, value) => sum + value, 0) / known.length) : "–";
}
