// One episode: its messages, its verdict, and its neighbours.
import { html, useEffect } from "./dom.js";
import { api, prefetch, useData } from "./data.js";
import { number, oneLine, pretty, scoreText } from "./format.js";
import { filtersOf } from "./episodes.js";
import { Message } from "./messages.js";
import { Cell, Copy, Long, Notice, State } from "./parts.js";
import { go, link } from "./route.js";

function Fact({ name, children }) {
  return html`<div><dt>${name}</dt><dd>${children}</dd></div>`;
}

function Parts({ parts }) {
  const rows = Array.isArray(parts) ? parts : Object.entries(parts ?? {}).map(([name, part]) => typeof part === "object"
    ? { name, ...part } : { name, score: part });
  if (!rows.length) return null;
  return html`<table class="parts"><caption>Parts</caption><thead><tr><th scope="col">Part</th>
    <th scope="col" class="num">Score</th><th scope="col" class="num">Weight</th><th scope="col">Reason</th></tr></thead>
    <tbody>${rows.map((part) =>
      html`<tr key=${part.name}><th scope="row">${oneLine(part.name)}</th><td class="num">${scoreText(part.score)}</td>
      <td class="num">${number(part.weight)}</td><td>${oneLine(part.method)} <span class="quiet">
        ${oneLine(part.reason)}</span></td></tr>`)}</tbody></table>`;
}

function Judgement({ episode }) {
  const verdict = episode.verdict ?? {};
  return html`<section class="panel verdict" aria-labelledby="verdict"><h2 id="verdict">Verdict</h2>
    <p class="result"><${Cell} value=${verdict.score} /> <${State} state=${verdict.status} /> ${verdict.method
      && html`<code>${oneLine(verdict.method)}</code>`}</p>
    ${verdict.reason && html`<${Long} kind="text reason" text=${verdict.reason} />`}
    <${Parts} parts=${verdict.parts} />
    ${verdict.judge_messages?.length > 0
      && html`<details><summary>Messages of the judge (${verdict.judge_messages.length})</summary>
      ${verdict.judge_messages.map((text, at) => html`<${Long} key=${at} kind="text code" text=${pretty(text)} />`)}</details>`}
    ${episode.gold !== null && episode.gold !== undefined
      && html`<h3>Gold answer</h3><${Long} kind="text code gold" text=${pretty(episode.gold)} />`}
    <dl class="facts">${episode.source && html`<${Fact} name="Task">${oneLine(episode.source)}<//>`}<${Fact} name="Problem">
      ${number(episode.problem)} <span class="quiet small id">${oneLine(episode.problem_id)}</span><//>
      ${episode.step !== null && episode.step !== undefined && html`<${Fact} name="Step">${number(episode.step)}<//>`}
      <${Fact} name="Sample">${number(episode.sample)}<//>
      ${episode.attempt ? html`<${Fact} name="Attempt">${number(episode.attempt)}<//>` : null}
      ${episode.advantage !== null && episode.advantage !== undefined
        && html`<${Fact} name="Advantage">${number(episode.advantage)}<//>`}
      <${Fact} name="Tokens">${number(episode.tokens)}<//><${Fact} name="Finish reason">${oneLine(episode.finish) || "–"}<//>
      <${Fact} name="Turns">${number(episode.turns)}<//></dl></section>`;
}

/** The other samples of the problem, at the same step. */
function Siblings({ run, stage, episode }) {
  const filters = { ...(episode.step === null || episode.step === undefined ? {} : { step: String(episode.step) }),
    problem: String(episode.problem), attempt: String(episode.attempt ?? 0),
    ...(episode.source ? { source: episode.source } : {}), sort: "number" };
  const { data } = useData(api(["runs", run, "stages", stage, "episodes"], { ...filters, offset: 0, limit: 64 }));
  if (!data || data.rows.length < 2) return null;
  return html`<nav class="siblings" aria-label="Samples of this problem"><span class="quiet small">Samples</span> <span
    class="cells">${data.rows.map((row, at) => html`<${Cell} key=${row.number}
    value=${row.score} current=${row.number === episode.number} label="sample ${row.sample}"
      href=${link([run, stage, "episode", String(row.number)], { ...filters, at })} />`)}</span></nav>`;
}

function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
}

/** The addresses of the episodes before and after this one, in the order of the list that led here. */
function useNeighbours(run, stage, shown, query) {
  const filters = filtersOf(query), at = Number(query.at);
  const inList = query.at !== undefined && Number.isInteger(at) && at >= 0;
  const start = Math.max(0, at - 1);
  const { data } = useData(inList ? api(["runs", run, "stages", stage, "episodes"], { ...filters, offset: start, limit: 3 })
    : null);
  const around = (data?.rows ?? []).map((row) => row.number).join();
  useEffect(() => {
    for (const one of around ? around.split(",") : []) prefetch(api(["runs", run, "stages", stage, "episodes", one]));
  }, [around]);
  const address = (row, place) => row && link([run, stage, "episode", String(row.number)], { ...filters, at: place });
  if (inList) {
    const here = at - start;
    return { previous: here ? address(data?.rows[here - 1], at - 1) : null, next: address(data?.rows[here + 1], at + 1),
      total: data?.total, at };
  }
  const plain = (number_) => link([run, stage, "episode", String(number_)]);
  return { previous: shown > 0 ? plain(shown - 1) : null, next: plain(shown + 1) };
}

export function EpisodePage({ run, stage, id, query }) {
  const answer = useData(api(["runs", run, "stages", stage, "episodes", id]));
  const episode = answer.data;
  const { previous, next, total, at } = useNeighbours(run, stage, Number(id), query);
  const filters = filtersOf(query);
  const list = link([run, stage, "episodes"], at === undefined ? filters : { ...filters, offset: 50 * Math.floor(at / 50)
    || "" });
  useEffect(() => {
    const press = (event) => {
      if (typing(event)) return;
      const wanted = { j: next, k: previous, u: list }[event.key];
      if (event.key === "t") for (const part of document.querySelectorAll("details.thinking")) part.open = !part.open;
      if (wanted) go(wanted);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [previous, next, list]);
  const step = (name, href, key) => href
    ? html`<a class="button" href=${href} aria-keyshortcuts=${key}>${name} <kbd aria-hidden="true">${key}</kbd></a>`
    : html`<span class="button off" aria-disabled="true">${name} <kbd aria-hidden="true">${key}</kbd></span>`;
  return html`<nav class="between" aria-label="Episodes"><span class="steps">${step("Previous", previous, "k")}${step("Next",
    next, "j")}</span>
      ${at !== undefined && total !== undefined && html`<span class="num quiet">${number(at + 1)} of ${number(total)}</span>`}
      <a class="button" href=${list} aria-keyshortcuts="u">List <kbd aria-hidden="true">u</kbd></a>
      <${Copy} text=${JSON.stringify(episode, null, 1) ?? ""} label="Copy as JSON" /><span class="quiet small keys">
        <kbd>t</kbd> opens and closes thinking</span></nav>
    ${!episode || episode.number !== Number(id) ? html`<${Notice} ...${answer} busy=${!answer.error} />` : html`
    <${Siblings} run=${run} stage=${stage} episode=${episode} />
    <div class="episode"><div class="messages"><h2 class="hidden">Messages</h2>${(episode.messages ?? []).map((message, turn) =>
      html`<${Message} key=${`${id}/${turn}`} message=${message} turn=${turn} />`)}</div>
      <${Judgement} episode=${episode} /></div>`}`;
}
