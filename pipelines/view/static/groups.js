// Groups: the samples of each problem at one step.
import { html } from "./dom.js";
import { api, useData } from "./data.js";
import { number, oneLine, scoreText, withoutSharedStart } from "./format.js";
import { Cell, Frame, NoRows, Notice, Pager, SourceChoice } from "./parts.js";
import { go, link } from "./route.js";

const GROUPS = 50;

function Steps({ steps, step, to }) {
  const at = steps.indexOf(step);
  const move = (next, replace = false) => next >= 0 && next < steps.length && go(to({ step: steps[next], offset: "" }),
    replace);
  return html`<form class="controls steps-form" onSubmit=${(event) => event.preventDefault()}>
    <label class="field step-range"><span>Step <span class="num">${number(step)}</span> of ${number(steps.at(-1))}</span>
      <input type="range" min="0" max=${steps.length - 1} value=${at} aria-valuetext="step ${step}"
        onInput=${(event) => move(Number(event.currentTarget.value), true)} /></label>
    <button type="button" disabled=${at <= 0} onClick=${() => move(at - 1)}>Previous step</button>
    <button type="button" disabled=${at >= steps.length - 1} onClick=${() => move(at + 1)}>Next step</button></form>`;
}

/** What a cell says besides the score of its sample. */
function moreOf(row, at) {
  const advantage = row.advantages?.[at] ?? null, finish = row.finishes?.[at];
  return `${advantage === null ? "" : `, advantage ${number(advantage)}`}${finish ? `, ${oneLine(finish)}` : ""}`;
}

function Group({ run, stage, step, row, prompt }) {
  const hasStep = step !== null && step !== undefined;
  const why = hasStep ? "All scores are equal: the group gives no gradient" : "All scores are equal";
  const order = [...row.numbers].sort((a, b) => a - b);
  const query = { ...(hasStep ? { step } : {}), problem: row.problem, attempt: row.attempt,
    ...(row.source ? { source: row.source } : {}), sort: "number" };
  const hasScores = row.scores.some((value) => value !== null);
  return html`<tr><th scope="row" class="problem"><a href=${link([run, stage, "episodes"], { ...query, sort: "" })}>
    ${number(row.problem)}</a>${row.attempt ? html` <span class="quiet small">attempt ${row.attempt}</span>` : null}</th>
    <td><span class="cells">${row.scores.map((value, at) =>
      html`<${Cell} key=${row.numbers[at]} value=${value} label="episode ${row.numbers[at]}" more=${moreOf(row, at)}
      href=${link([run, stage, "episode", String(row.numbers[at])], { ...query,
        at: order.indexOf(row.numbers[at]) })} />`)}</span></td>
    <td class="num">${scoreText(row.mean)}</td>
    <td class="variance">${row.zero_variance && html`<span class="state ${hasStep ? "warn" : "soft"}" title=${why}>
      <span aria-hidden="true">=</span> zero variance</span>`}${!hasScores && html`<span class="quiet">no score</span>`}</td>
    <td class="text-cell"><div class="cut" dir="auto" title=${`${oneLine(row.problem_id)}: ${oneLine(row.prompt)}`}>
      ${prompt}</div></td></tr>`;
}

export function Groups({ run, stage, query }) {
  const to = (changes) => link([run, stage, "groups"], { ...query, ...changes });
  const offset = Number(query.offset) || 0;
  const answer = useData(api(["runs", run, "stages", stage, "groups"], { source: query.source, step: query.step, offset,
    limit: GROUPS }));
  const { data, busy } = answer;
  const sources = useData(api(["runs", run, "stages", stage, "episodes"], { offset: 0, limit: 1 })).data?.sources;
  if (!data) return html`<${Notice} ...${answer} />`;
  const steps = data.steps ?? [], zero = data.rows.filter((row) => row.zero_variance).length;
  const prompts = withoutSharedStart(data.rows.map((row) => row.prompt));
  const means = data.rows.map((row) => row.mean).filter((value) => value !== null);
  const mean = means.length ? means.reduce((sum, value) => sum + value, 0) / means.length : null;
  return html`<${SourceChoice} sources=${sources} query=${query} to=${to} />${steps.length > 1
    && html`<${Steps} steps=${steps} step=${data.step} to=${to} />`}
    ${answer.error && html`<${Notice} error=${answer.error} />`}
    ${!data.rows.length ? html`<${NoRows} data=${data}>No groups yet.<//>` : html`
    <p class="quiet" role="status">${data.total > data.rows.length ? "On this page: mean" : "Mean"} of the groups <strong
      class="num">${scoreText(mean)}</strong>, ${number(zero)} of ${number(data.rows.length)} with zero variance.</p>
    <${Frame} label="Groups" busy=${busy}><table class="groups"><caption class="hidden">Groups${steps.length
      ? ` of step ${data.step}` : ""}</caption><thead><tr><th scope="col">Problem</th>
      <th scope="col">Scores of the samples</th><th scope="col" class="num">Mean</th><th scope="col">Variance</th>
        <th scope="col">Prompt</th></tr></thead>
      <tbody>${data.rows.map((row, at) =>
        html`<${Group} key=${`${row.source}/${row.problem}/${row.attempt}`} run=${run} stage=${stage}
          step=${steps.length ? data.step : null} row=${row} prompt=${prompts[at]} />`)}</tbody></table><//>
    <${Pager} total=${data.total} offset=${offset} limit=${GROUPS} name="groups"
      to=${(start) => to({ offset: start || "" })} />`}`;
}
