// Values as texts.

const NAMES_OF_MARKS = {
  0x00ad: "soft hyphen", 0x061c: "ALM", 0x200b: "zero width space", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "line separator",
  0x2029: "paragraph separator", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF", 0x202d: "LRO", 0x202e: "RLO",
    0x2060: "word joiner",
  0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};
const CONTROLS = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f";
const INVISIBLE = new RegExp(`[${CONTROLS}${Object.keys(NAMES_OF_MARKS).map((code) => String.fromCodePoint(code)).join("")}]`, "g");

/** Replaces control characters and marks of direction by visible names: they could hide or reorder text. */
export function visible(text) {
  if (text === null || text === undefined) return "";
  return String(text).replace(/\r\n/g, "\n").replace(INVISIBLE, (mark) => {
    const code = mark.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return `⟦${NAMES_OF_MARKS[code] ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
  });
}

/** A text in one line, for tables. */
export function oneLine(text) {
  return visible(String(text ?? "").replace(/\s+/g, " ").trim());
}

/** The texts without the beginning that all of them share, which would hide where they differ. */
export function withoutSharedStart(texts) {
  const lines = texts.map(oneLine);
  const first = lines.reduce((a, b) => (a < b ? a : b), lines[0] ?? ""), last = lines.reduce((a, b) => (a > b ? a : b), "");
  let shared = 0;
  while (shared < first.length && first[shared] === last[shared]) shared += 1;
  const cut = first.lastIndexOf(" ", shared) + 1;
  return first === last || cut < 20 ? lines : lines.map((line) => "… " + line.slice(cut));
}

export function pretty(value) {
  if (typeof value === "string") {
    try {
      const parsed = JSON.parse(value);
      if (parsed && typeof parsed === "object") return JSON.stringify(parsed, null, 2);
    } catch {
      // not JSON: shown as it is
    }
    return value;
  }
  return JSON.stringify(value, null, 2) ?? "";
}

/** A number with the digits that a reader needs: 4 significant ones, and all of a whole number. */
export function number(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return oneLine(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

/** A score of an episode: 1, 0, 0.5 and 0.25 fit into a cell. */
export function scoreText(value) {
  if (value === null || value === undefined) return "–";
  return Number.isInteger(value) ? String(value) : value.toFixed(2).replace(/0$/, "");
}

/** A share of 0 to 1 in percent; values of other scales as they are. */
export function percent(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) <= 1 ? (100 * value).toFixed(digits) : number(value);
}

/** A mean with its interval: 58.7 [54.5, 62.8]. */
export function withInterval(value, low, high) {
  const known = low !== null && low !== undefined && high !== null && high !== undefined;
  return known ? `${percent(value)} [${percent(low)}, ${percent(high)}]` : percent(value);
}

export function signed(value) {
  if (value === null || value === undefined) return "–";
  return (value > 0 ? "+" : value < 0 ? "−" : "±") + percent(Math.abs(value));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** A moment in the reader's time zone. */
export function moment(seconds) {
  if (!seconds) return "";
  return new Date(1000 * seconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** How long ago a moment was. */
export function ago(seconds) {
  if (!seconds) return "";
  const past = Math.max(0, Date.now() / 1000 - seconds);
  if (past < 10) return "just now";
  if (past < 60) return `${Math.round(past)} s ago`;
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  if (past < 86400) return `${Math.round(past / 3600)} h ago`;
  return `${Math.round(past / 86400)} d ago`;
}

export function plural(count, one, many = one + "s") {
  return `${number(count)} ${count === 1 ? one : many}`;
}
