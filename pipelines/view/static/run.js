// One run: stages, scores, curves, recipe.
import { html, useEffect, useRef, useState } from "./dom.js";
import { FewCurves } from "./curves.js";
import { isExport, reload } from "./data.js";
import { duration, number, oneLine, signed, visible, withInterval } from "./format.js";
import { Copy, Frame, Interval, Notice, Progress, State, viewsOf } from "./parts.js";
import { link } from "./route.js";

function Board({ run, board }) {
  if (!board?.length) return null;
  const isShare = board.every((row) => row.score === null || Math.abs(row.score) <= 1);
  const to = isShare ? 1 : Math.max(...board.map((row) => row.high ?? row.score ?? 0));
  const changes = board.some((row) => row.change);
  return html`<section class="panel" aria-labelledby="board"><h2 id="board">Scores</h2><${Frame} label="Scores">
    <table class="board"><thead><tr><th scope="col">Stage</th><th scope="col">Task</th>
      <th scope="col" class="num">Score [95% interval]</th><th scope="col" class="wide"><span class="hidden">Drawn</span></th>
        ${changes && html`<th scope="col" class="num">Change [95% interval]</th>`}</tr></thead>
    <tbody>${board.map((row) =>
      html`<tr key=${`${row.stage}/${row.task}`}><th scope="row"><a href=${link([run, row.stage, "results"])}>
        ${oneLine(row.stage)}</a></th><td>${oneLine(row.task)}</td>
      <td class="num">${withInterval(row.score, row.low, row.high)}</td><td class="wide drawn-cell">
        <${Interval} value=${row.score} low=${row.low} high=${row.high} to=${to} /></td>
      ${changes && html`<td class="num">${row.change
        ? `${signed(row.change.value)} [${signed(row.change.low)}, ${signed(row.change.high)}]`
          : ""}</td>`}</tr>`)}</tbody></table><//></section>`;
}

function Values({ values }) {
  const known = Object.entries(values ?? {}).filter(([, value]) => value !== null).slice(0, 8);
  if (!known.length) return null;
  return html`<dl class="values">${known.map(([name, value]) =>
    html`<div key=${name}><dt>${oneLine(name)}</dt><dd class="num">${number(value)}</dd></div>`)}</dl>`;
}

function Stage({ run, stage }) {
  const views = viewsOf(run, stage), isRunning = stage.state === "running";
  const speed = stage.per_second ? (stage.per_second >= 0.1 ? `${number(stage.per_second)}/s`
    : `${duration(1 / stage.per_second)} each`) : "";
  const times = [isRunning && stage.seconds_left !== null && stage.seconds_left !== undefined
    ? `${duration(stage.seconds_left)} left` : "", isRunning ? speed : "", stage.seconds ? isRunning
      ? `${duration(stage.seconds)} so far` : `took ${duration(stage.seconds)}` : ""].filter(Boolean);
  return html`<li class="stage"><div class="stage-name"><h3>${views.length
    ? html`<a href=${views[0][2]}>${oneLine(stage.name)}</a>` : oneLine(stage.name)}</h3>${stage.kind !== stage.name
      && html`<span class="tag">${oneLine(stage.kind)}</span>`}</div>
    <div class="stage-state"><${State} state=${stage.state} />${(isRunning || (stage.state !== "finished" && stage.done > 0))
      && html`<${Progress} done=${stage.done} total=${stage.total} label="progress of ${oneLine(stage.name)}" />`}
      ${times.length > 0 && html`<span class="quiet small num">${times.join(" · ")}</span>`}</div>
    <div class="stage-result">${stage.summary ? html`<p>${visible(stage.summary)}</p>` : null}${isRunning
      && html`<${Values} values=${stage.values} />`}
      ${views.length > 0 && html`<p class="links small">${views.map(([name, text, href]) =>
        html`<a key=${name} href=${href} aria-label="${text} of ${oneLine(stage.name)}">${text}</a>`)}</p>`}</div></li>`;
}

/** Says each further tenth of the running stage, for screen readers. */
function Said({ stages }) {
  const running = stages.find((stage) => stage.state === "running");
  const tenth = running?.total ? Math.floor((10 * running.done) / running.total) : -1;
  const [text, setText] = useState("");
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) setText(running ? `${running.name}: ${running.done} of ${running.total ?? "?"}`
      : "No stage is running");
    first.current = false;
  }, [running?.name, tenth]);
  return html`<p class="hidden" role="status">${oneLine(text)}</p>`;
}

/** Says how much of the episodes can be searched, and asks again until all can. */
export function Indexing({ run }) {
  const isPart = !isExport && typeof run.indexing === "number" && run.indexing < 1;
  useEffect(() => {
    if (!isPart) return undefined;
    const timer = setInterval(() => reload(run.id), 1500);
    return () => clearInterval(timer);
  }, [isPart, run.id]);
  if (run.indexing_error) return html`<${Notice} error=${run.indexing_error} />`;
  return isPart ? html`<p class="notice">
    <progress max="1" value=${run.indexing} aria-label="index of episodes"></progress> ${" "}
    <span class="num">${Math.floor(100 * run.indexing)}%</span> of the episodes are indexed. Tables are complete at 100%.</p>`
      : null;
}

/** Asks again for summaries: the server has none until it has imported the kinds of stages. */
function useSummaries(run) {
  const isLacking = !isExport && (run.stages ?? []).some((stage) => stage.state === "finished" && !stage.summary);
  useEffect(() => {
    const timers = isLacking ? [3, 8, 20, 60].map((seconds) => setTimeout(() => reload(run.id), 1000 * seconds)) : [];
    return () => timers.forEach(clearTimeout);
  }, [isLacking, run.id]);
}

export function RunOverview({ run }) {
  const stages = run.stages ?? [];
  useSummaries(run);
  const machines = [...new Set(stages.map((stage) => [stage.machine, stage.commit
    && `commit ${stage.commit}`].filter(Boolean).join(", ")).filter(Boolean))];
  return html`<${Said} stages=${stages} />
    ${run.error && html`<p class="notice bad" role="alert">${visible(run.error)}</p>`}
    <${Indexing} run=${run} />
    ${run.command && html`<div class="notice command"><span>Resume with</span> <code>${oneLine(run.command)}</code> <${Copy}
      text=${run.command} /></div>`}
    <${Board} run=${run.id} board=${run.board} />
    <section class="panel" aria-labelledby="stages"><h2 id="stages">Stages</h2><ol class="stages">${stages.map((stage) =>
      html`<${Stage} key=${stage.name} run=${run.id} stage=${stage} />`)}</ol></section>
    ${stages.filter((stage) => stage.has?.includes("steps")).map((stage) =>
      html`<section class="panel" key=${stage.name} aria-label="Curves of ${oneLine(stage.name)}">
        <h2>Curves of ${oneLine(stage.name)} <a class="more" href=${link([run.id, stage.name, "curves"])}>all values</a></h2>
      <${FewCurves} run=${run.id} stage=${stage.name} /></section>`)}
    ${machines.length > 0 && html`<p class="quiet small">${machines.map((text) => oneLine(text)).join("; ")}</p>`}`;
}

export function Recipe({ run }) {
  return html`<section class="panel" aria-labelledby="recipe"><h2 id="recipe">Recipe <${Copy} text=${run.recipe ?? ""} /></h2>
    <pre class="text code recipe" tabindex="0" aria-label="Recipe">${visible(run.recipe)}</pre></section>`;
}
