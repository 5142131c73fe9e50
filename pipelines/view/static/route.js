// The address of a view: #/part/part?name=value. All that a view shows is in it, so that a link shows the same.

/** Reads a hash into its parts and its parameters. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { parts, query: Object.fromEntries(new URLSearchParams(query)), path };
}

export function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a link that was cut
  }
}

/** The parameters of a query that have a value, as a text. */
export function queryText(query) {
  const known = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return known.length ? "?" + new URLSearchParams(known) : "";
}

/** Builds the address of a view. */
export function link(parts, query = {}) {
  return "#/" + parts.map(encodeURIComponent).join("/") + queryText(query);
}

const listeners = new Set();

export function onRoute(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed() {
  for (const listener of listeners) listener();
}

/** Goes to an address. `replace` leaves no entry for Back: for changes at every key. */
export function go(address, replace = false) {
  if (address === location.hash) return;
  const state = { entry: replace ? history.state?.entry : nextEntry() };
  if (replace) history.replaceState(state, "", address);
  else history.pushState(state, "", address);
  changed();
}

let entries = Date.now();

function nextEntry() {
  entries += 1;
  return entries;
}

/** The number of this entry of the history. One that a link made has none yet. */
export function entry() {
  if (!history.state?.entry) history.replaceState({ entry: nextEntry() }, "", location.hash || "#/");
  return history.state.entry;
}

globalThis.addEventListener("hashchange", changed);
globalThis.addEventListener("popstate", changed);
