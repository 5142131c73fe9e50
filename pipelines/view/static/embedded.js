// Answers of an exported page: it has stored answers of the server, and filters, sorts and pages their rows itself.

/** Reads the data of an exported page; null if a server answers. */
export function readEmbedded() {
  const element = document.getElementById("data");
  return element ? new Map(Object.entries(JSON.parse(element.textContent))) : null;
}

const SORTS_OF_EPISODES = {
  score: (a, b) => compareValues(a.score, b.score), "-score": (a, b) => compareValues(b.score, a.score),
  tokens: (a, b) => compareValues(a.tokens, b.tokens), "-tokens": (a, b) => compareValues(b.tokens, a.tokens),
  step: (a, b) => compareValues(a.step, b.step) || a.number - b.number, number: (a, b) => a.number - b.number,
};
const SORTS_OF_PROBLEMS = {
  rate: (a, b) => compareValues(a.mean, b.mean), "-rate": (a, b) => compareValues(b.mean, a.mean),
  problem: (a, b) => compareValues(a.problem, b.problem),
};

function compareValues(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}

function within(value, low, high) {
  if (low === undefined && high === undefined) return true;
  if (value === null || value === undefined) return false;
  return (low === undefined || value >= Number(low)) && (high === undefined || value <= Number(high));
}

function equal(value, wanted) {
  return wanted === undefined || String(value) === wanted;
}

function holds(row, text) {
  if (text === undefined) return true;
  const all = [row.start, row.prompt, row.reason, row.problem_id].join("\n").toLowerCase();
  return all.includes(text.toLowerCase());
}

function isEpisode(row, query) {
  return ["source", "step", "problem", "attempt", "sample", "status", "finish"].every((name) => equal(row[name], query[name]))
    && within(row.score, query.min_score, query.max_score) && within(row.tokens, query.min_tokens, query.max_tokens)
    && holds(row, query.text);
}

function isProblem(row, query) {
  return equal(row.source, query.source) && within(row.mean, query.min_rate, query.max_rate) && holds(row, query.text);
}

function counts(rows, name) {
  const found = {};
  for (const row of rows) found[row[name] ?? ""] = (found[row[name] ?? ""] ?? 0) + 1;
  return found;
}

function pageOf(rows, query) {
  const offset = Number(query.offset ?? 0);
  return rows.slice(offset, offset + Number(query.limit ?? 50));
}

function rowsOf(answers, key) {
  const rows = new Map();
  for (const one of answers) for (const row of one.rows ?? []) rows.set(`${key === "problem" ? row.source : ""}/${row[key]}`,
    row);
  return [...rows.values()];
}

/** Returns the stored answer of a request, or one that is made of the stored rows. Throws if nothing fits. */
export function embeddedAnswer(store, path) {
  if (store.has(path)) return store.get(path);
  const [name, text = ""] = path.split("?");
  const query = Object.fromEntries(new URLSearchParams(text));
  const keys = [...store.keys()].filter((key) => key.split("?")[0] === name);
  const view = name.split("/").at(-1);
  if (keys.length && view === "episodes") {
    const answers = keys.map((key) => store.get(key)), all = rowsOf(answers, "number");
    const rows = all.filter((row) => isEpisode(row, query)), total = Math.max(...answers.map((one) => one.total));
    rows.sort(SORTS_OF_EPISODES[query.sort] ?? SORTS_OF_EPISODES.number);
    return { total: rows.length, kept: [all.length, total], sources: [...new Set(all.map((row) =>
      row.source).filter(Boolean))], facets: { status: counts(rows, "status"), finish: counts(rows, "finish") },
      rows: pageOf(rows, query) };
  }
  if (keys.length && view === "problems") {
    const rows = rowsOf(keys.map((key) => store.get(key)), "problem").filter((row) => isProblem(row, query));
    rows.sort(SORTS_OF_PROBLEMS[query.sort] ?? SORTS_OF_PROBLEMS.problem);
    return { total: rows.length, rows: pageOf(rows, query) };
  }
  if (keys.length && view === "groups") {
    const all = keys.map((key) => store.get(key)), stored = all.filter((one) => equal(one.step, query.step));
    if (stored.length) {
      const rows = stored.filter((one) => one === stored.at(-1)).flatMap((one) => one.rows).filter((row) => equal(row.source,
        query.source));
      const steps = [...new Set(all.map((one) => one.step).filter((step) => step !== null))].sort((a, b) => a - b);
      return { ...stored.at(-1), steps, total: rows.length, rows: pageOf(rows, query) };
    }
  }
  throw new Error("this page was exported without these data: use `tenfold view` with the run's folder");
}
