// The frame of the page: which view an address shows, the way back, and the events.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./dom.js";
import { Compare } from "./compare.js";
import { Curves } from "./curves.js";
import { api, isExport, listen, useData } from "./data.js";
import { EpisodePage } from "./episode.js";
import { Episodes } from "./episodes.js";
import { number, oneLine, visible } from "./format.js";
import { Groups } from "./groups.js";
import { Empty, Notice, State, Tabs, viewsOf } from "./parts.js";
import { Problems } from "./problems.js";
import { Corpus, Results } from "./results.js";
import { entry, link, onRoute, parse } from "./route.js";
import { Indexing, Recipe, RunOverview } from "./run.js";
import { Runs } from "./runs.js";

const SCHEMES = ["auto", "light", "dark"];
const KEY = "tenfold-view-scheme";
const places = new Map(); // entry of the history -> how far the page was scrolled

function SchemeSwitch() {
  const [scheme, setScheme] = useState(document.documentElement.dataset.scheme ?? "auto");
  const choose = (next) => {
    if (next === "auto") delete document.documentElement.dataset.scheme;
    else document.documentElement.dataset.scheme = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // the choice then holds for this page only
    }
    setScheme(next);
    dispatchEvent(new Event("schemechange"));
  };
  return html`<label class="scheme"><span class="hidden">Colours</span>
    <select value=${scheme} onChange=${(event) => choose(event.currentTarget.value)}>
    ${SCHEMES.map((one) => html`<option key=${one} value=${one}>${{ auto: "System colours", light: "Light",
      dark: "Dark" }[one]}</option>`)}</select></label>`;
}

function Live({ state }) {
  const [sign, text, kind] = isExport ? ["◇", "exported", "soft"] : state === "live" ? ["●", "live", "good"] : state === "lost"
    ? ["○", "not connected", "bad"] : ["○", "connecting", "soft"];
  return html`<span class="state live ${kind}" role="status"><span aria-hidden="true">${sign}</span> ${text}</span>`;
}

/** The heading of a view. It receives the focus when the view changes, so that a screen reader says it. */
function Head({ crumbs, title, children }) {
  useEffect(() => {
    document.title = [title, ...crumbs.slice(1).map(([name]) => name).reverse(), "tenfold view"].join(" – ");
  });
  return html`<div class="head">${crumbs.length > 0
    && html`<nav class="crumbs" aria-label="Where this is"><ol>${crumbs.map(([name, href]) =>
      html`<li key=${href}><a href=${href}>${oneLine(name)}</a></li>`)}</ol></nav>`}
    <h1 tabindex="-1">${oneLine(title)} ${children}</h1></div>`;
}

function StageView({ run, stage, view, id, query }) {
  const same = { run: run.id, stage: stage.name, query };
  if (view === "curves") return html`<${Curves} ...${same} name=${run.name} />`;
  if (view === "groups") return html`<${Groups} ...${same} />`;
  if (view === "episodes") return html`<${Episodes} ...${same} />`;
  if (view === "episode") return html`<${EpisodePage} ...${same} id=${id} />`;
  if (view === "problems") return html`<${Problems} ...${same} />`;
  if (view === "results") return html`<${Results} ...${same} has=${stage.has} />`;
  if (view === "corpus") return html`<${Corpus} ...${same} />`;
  if (view === undefined) return html`<${Empty}>${stage.summary
    ? visible(stage.summary) : "There is nothing to show of this stage yet."}<//>`;
  return html`<${Notice} error="there is no view ${view} of this stage" />`;
}

function RunPage({ id, rest, query }) {
  const answer = useData(api(["runs", id]));
  const run = answer.data;
  const home = ["Runs", link([])];
  const lost = run && answer.error && html`<${Notice} error=${answer.error} />`; // what was read before stays
  if (!run) return html`<${Head} crumbs=${[home]} title=${answer.error ? "Not found" : "Run"} /><${Notice} ...${answer} />`;
  const [name, view, episode] = rest;
  if (name === undefined || (name === "recipe" && view === undefined)) {
    return html`<${Head} crumbs=${[home]} title=${run.name}><${State} state=${run.state} /><//>
      ${run.description && html`<p class="description">${oneLine(run.description)}</p>`}<p class="quiet small path">
        ${oneLine(run.folder)}${run.holder ? `, held by ${oneLine(run.holder)}` : ""}</p>
      ${lost}${run.recipe && html`<${Tabs} label="Views of the run" current=${name ?? "overview"}
        items=${[["overview", "Overview", link([id])], ["recipe", "Recipe", link([id, "recipe"])]]} />`}
      ${name === "recipe" ? html`<${Recipe} run=${run} />` : html`<${RunOverview} run=${run} />`}`;
  }
  const stage = (run.stages ?? []).find((one) => one.name === name);
  const crumbs = [home, [run.name, link([id])]];
  if (!stage) return html`<${Head} crumbs=${crumbs} title="Not found" /><${Notice} error="this run has no stage ${name}" />`;
  const views = viewsOf(id, stage), shown = view ?? views[0]?.[0];
  const title = shown === "episode" ? `Episode ${number(Number(episode))}` : stage.name;
  return html`<${Head} crumbs=${shown === "episode" ? [...crumbs, [stage.name, link([id, stage.name])]] : crumbs}
    title=${title}>${shown !== "episode" && html`<${State} state=${stage.state} />`}<//>
    <${Tabs} label="Views of the stage" items=${views} current=${shown === "episode" ? "episodes" : shown} />
    ${lost}<${Indexing} run=${run} />
    <${StageView} key=${`${id}/${name}/${shown}`} run=${run} stage=${stage} view=${shown} id=${episode} query=${query} />`;
}

function View({ route }) {
  const [first, ...rest] = route.parts;
  if (first === undefined) return html`<${Head} crumbs=${[]} title="Runs" /><${Runs} />`;
  if (first === "compare" && !rest.length) return html`<${Head} crumbs=${[["Runs", link([])]]} title="Compare" />
    <${Compare} query=${route.query} />`;
  return html`<${RunPage} key=${first} id=${first} rest=${rest} query=${route.query} />`;
}

/** Scrolls to where the reader was, once the view is high enough; gives up after a second. */
function scrollBack(top) {
  const end = performance.now() + 1000;
  const tryIt = () => {
    scrollTo(0, top);
    if (Math.abs(scrollY - top) > 2 && performance.now() < end) requestAnimationFrame(tryIt);
  };
  tryIt();
}

function App() {
  const [route, setRoute] = useState(() => parse(location.hash));
  const [live, setLive] = useState("");
  const here = useRef({ path: route.path, number: entry() });
  useEffect(() => onRoute(() => setRoute(parse(location.hash))), []);
  useEffect(() => listen(setLive), []);
  useEffect(() => {
    history.scrollRestoration = "manual";
    const note = () => places.set(here.current.number, scrollY);
    addEventListener("scroll", note, { passive: true });
    return () => removeEventListener("scroll", note);
  }, []);
  useLayoutEffect(() => {
    const now = entry();
    const moved = route.path !== here.current.path;
    here.current = { path: route.path, number: now };
    if (places.has(now)) scrollBack(places.get(now));
    else if (moved) scrollTo(0, 0);
    if (moved) document.querySelector("h1")?.focus({ preventScroll: true });
  }, [route]);
  const skip = (event) => {
    event.preventDefault(); // the address is the view's
    document.getElementById("content").focus();
  };
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <header class="top"><a class="brand" href="#/">tenfold view</a>
      <nav aria-label="Main"><a href="#/" aria-current=${route.parts.length === 0 ? "page" : undefined}>Runs</a>
        <a href="#/compare" aria-current=${route.parts[0] === "compare" ? "page" : undefined}>Compare</a></nav>
      <${Live} state=${live} /><${SchemeSwitch} /></header>
    <main id="content" tabindex="-1"><${View} route=${route} /></main>`;
}

const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
