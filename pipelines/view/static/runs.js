// The list of runs.
import { html } from "./dom.js";
import { useData } from "./data.js";
import { ago, moment, number, oneLine } from "./format.js";
import { Empty, Frame, Notice, Progress, State } from "./parts.js";
import { link } from "./route.js";

export function Runs() {
  const answer = useData("/api/runs");
  const { data } = answer;
  if (!data) return html`<${Notice} ...${answer} />`;
  if (!data.runs.length) {
    return html`<${Empty}>There are no runs here. Start one with <code>tenfold run RECIPE</code>, or name folders:${" "}
      <code>tenfold view FOLDER…</code><//>`;
  }
  const working = data.runs.filter((run) => run.state === "running").length;
  return html`${answer.error && html`<${Notice} error=${answer.error} />`}
    <p class="quiet" role="status">${number(data.runs.length)} ${data.runs.length === 1 ? "run" : "runs"}${working
      ? `, ${number(working)} running` : ""}</p>
    <${Frame} label="Runs"><table class="runs"><caption class="hidden">Runs</caption><thead><tr><th scope="col">Run</th>
      <th scope="col">State</th><th scope="col">Stages finished</th><th scope="col" class="wide">Folder</th>
        <th scope="col" class="when">Changed</th></tr></thead>
      <tbody>${data.runs.map((run) =>
        html`<tr key=${run.id}><th scope="row"><a class="row" href=${link([run.id])}>${oneLine(run.name) || "(no name)"}</a>
          ${run.kind === "bench" && html` <span class="tag">benchmark</span>`}
          ${run.error && html`<div class="small bad-text">${oneLine(run.error)}</div>`}</th>
        <td><${State} state=${run.state} /></td><td>
          <${Progress} done=${run.stages_finished} total=${run.stages} label="stages of ${oneLine(run.name)} finished" /></td>
        <td class="wide path">${oneLine(run.folder)}</td><td class="when num" title=${moment(run.updated)}>
          ${ago(run.updated)}</td></tr>`)}</tbody></table><//>`;
}
