// Requests, a cache of their answers, and events that say what has changed.
import { useEffect, useRef, useState } from "./dom.js";
import { embeddedAnswer, readEmbedded } from "./embedded.js";
import { queryText } from "./route.js";

const stored = readEmbedded();
export const isExport = stored !== null;

const MAX_CACHED = 80;
const WAIT = 400; // milliseconds from an event to the request; events of one moment are one request
const PAUSE = 1500; // milliseconds from one refresh to the next, while files change all the time
const RETRY = 10000;
const cache = new Map(); // path -> {data, error}
const running = new Map(); // path -> promise
const again = new Set(); // paths that changed while they were requested
const watchers = new Map(); // path -> set of functions

/** The path of a request: parts are encoded, parameters without a value are left out. */
export function api(parts, query = {}) {
  return "/api/" + parts.map(encodeURIComponent).join("/") + queryText(query);
}

async function request(path) {
  if (stored) return embeddedAnswer(stored, path);
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("the server does not answer: is `tenfold view` still running?");
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    // reported below
  }
  if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered with status ${response.status}`);
  return body;
}

function keep(path, value) {
  cache.delete(path); // the newest is last
  cache.set(path, value);
  for (const old of cache.keys()) {
    if (cache.size <= MAX_CACHED) break;
    if (!watchers.has(old)) cache.delete(old);
  }
}

/** Requests a path, once at a time. The last data stay if it fails. */
export function load(path) {
  if (running.has(path)) return running.get(path);
  const job = request(path)
    .then((data) => {
      keep(path, { data, error: null });
      if (data.incomplete) reload(path.split("/")[3]); // until all episodes are indexed
    }, (error) => keep(path, { data: cache.get(path)?.data ?? null,
      error: error.message }))
    .finally(() => {
      running.delete(path);
      for (const tell of watchers.get(path) ?? []) tell();
      if (again.delete(path)) load(path);
    });
  running.set(path, job);
  return job;
}

function watch(path, tell) {
  if (!watchers.has(path)) watchers.set(path, new Set());
  watchers.get(path).add(tell);
  return () => {
    watchers.get(path)?.delete(tell);
    if (!watchers.get(path)?.size) watchers.delete(path);
  };
}

/** The answers of several requests, kept up to date. Null in place of a path: no request. */
export function useMany(paths) {
  const [, redraw] = useState(0);
  const key = paths.join("\n");
  useEffect(() => {
    const known = paths.filter(Boolean);
    const stops = known.map((path) => watch(path, () => redraw((count) => count + 1)));
    for (const path of known) if (!cache.has(path)) load(path);
    return () => stops.forEach((stop) => stop());
  }, [key]);
  return paths.map((path) => {
    const found = path ? cache.get(path) : undefined;
    return { data: found?.data ?? null, error: found?.error ?? null, busy: Boolean(path) && !found };
  });
}

/** The answer of one request. While a page or a filter changes, the former rows stay, so that nothing jumps. */
export function useData(path) {
  const last = useRef({ name: "", data: null });
  const [answer] = useMany([path]);
  const name = path?.split("?")[0] ?? "";
  if (answer.data) last.current = { name, data: answer.data };
  else if (answer.busy && last.current.name === name) return { ...answer, data: last.current.data };
  return answer;
}

/** Requests what will be shown next, unless it is known. */
export function prefetch(path) {
  if (!cache.has(path)) load(path);
}

/** Requests all that is shown of a run. */
export function reload(run) {
  changedRuns.add(run);
  timer ??= setTimeout(refresh, Math.max(WAIT, refreshed + PAUSE - performance.now()));
}

function mentions(path, run) {
  return path.split(/[/?&=]|%2F/).includes(run) || path === "/api/runs";
}

const changedRuns = new Set();
let timer = null, refreshed = -PAUSE;

function refresh() {
  timer = null;
  refreshed = performance.now();
  for (const path of [...new Set([...cache.keys(), ...running.keys()])]) {
    if (![...changedRuns].some((run) => mentions(path, run))) continue;
    if (!watchers.has(path)) cache.delete(path);
    else if (running.has(path)) again.add(path);
    else load(path);
  }
  changedRuns.clear();
}

/** Listens to the server. `tell` receives "live" or "lost". A hidden page does not: a browser allows few connections. */
export function listen(tell) {
  if (isExport) return;
  let source = null, missed = false;
  const open = () => {
    source = new EventSource("/api/events");
    source.onopen = () => {
      if (missed) for (const path of watchers.keys()) load(path);
      missed = false;
      tell("live");
    };
    source.onerror = () => {
      missed = true;
      tell("lost");
      if (source?.readyState === EventSource.CLOSED) setTimeout(restart, RETRY); // refused: the browser does not try again
    };
    source.onmessage = (event) => {
      try {
        reload(String(JSON.parse(event.data).run));
      } catch {
        // not an event of ours
      }
    };
  };
  const close = () => {
    source?.close();
    source = null;
    missed = true;
  };
  const restart = () => {
    close();
    if (!document.hidden) open();
  };
  document.addEventListener("visibilitychange", restart);
  if (!document.hidden) open();
}
