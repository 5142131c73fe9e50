// A conversation, laid out by role.
import { html } from "./dom.js";
import { number, oneLine, plural, pretty } from "./format.js";
import { Long } from "./parts.js";

const ROLES = { system: "System", user: "User", assistant: "Assistant", tool: "Tool", text: "Text" };
const NAMES = "(?:think|thinking|thought|reasoning|seed:think)";
const CHANNEL = "<\\|channel\\|>", MESSAGE = "<\\|message\\|>"; // the marks of gpt-oss
const OPENING = new RegExp([`<${NAMES}>`, "\\[THINK\\]", "◁think▷", `${CHANNEL}analysis(?:${MESSAGE})?`,
  `${CHANNEL}commentary${MESSAGE}`].join("|"));
const FINAL = `${CHANNEL}final(?: ?(?:<\\|constrain\\|>)?\\w{1,20})?${MESSAGE}`;
const CLOSING = new RegExp([`</${NAMES}>`, "\\[/THINK\\]", "◁/think▷", FINAL].join("|"), "g");

/** Splits a response into its reasoning and the part that is judged, at the marks that the verifiers know. */
export function thinkingOf(content) {
  const opening = OPENING.exec(content);
  let last = null;
  for (const match of content.matchAll(CLOSING)) last = match;
  if (last && (!opening || opening.index < last.index)) {
    const start = opening ? opening.index + opening[0].length : 0;
    const before = opening ? content.slice(0, opening.index) : "";
    return { before, thinking: content.slice(start, last.index), answer: content.slice(last.index + last[0].length),
      closed: true };
  }
  if (opening) return { before: content.slice(0, opening.index), thinking: content.slice(opening.index + opening[0].length),
    answer: "", closed: false };
  return { before: "", thinking: null, answer: content, closed: true };
}

function textOf(content) {
  if (typeof content === "string") return content;
  if (content === null || content === undefined) return "";
  if (Array.isArray(content) && content.every((part) => part && typeof part.text === "string")) return content.map((part) =>
    part.text).join("\n");
  return pretty(content);
}

function Call({ call }) {
  const called = call?.function ?? call ?? {};
  return html`<div class="call"><p class="what"><span aria-hidden="true">→</span> calls <code>
    ${oneLine(called.name ?? "?")}</code>
    ${call?.id && html` <span class="quiet small">${oneLine(call.id)}</span>`}</p>
    <${Long} kind="text code" text=${pretty(called.arguments ?? {})} /></div>`;
}

function Answer({ content }) {
  const { before, thinking, answer, closed } = thinkingOf(content);
  return html`${before.trim() && html`<${Long} text=${before} />`}
    ${thinking !== null && html`<details class="thinking"><summary>Thinking, ${plural(thinking.trim().length,
      "character")}${closed ? "" : ", not closed"}</summary>
      <${Long} text=${thinking.trim()} /></details>`}
    ${(answer.trim() || thinking === null) && html`<${Long} text=${answer.trim()} />`}`;
}

export function Message({ message, turn }) {
  const role = String(message.role ?? "?"), content = textOf(message.content);
  const thinking = textOf(message.reasoning_content ?? message.reasoning ?? message.thinking);
  const id = `turn-${turn}`;
  return html`<section class="message ${Object.hasOwn(ROLES, role) ? role : "other"}" aria-labelledby=${id}>
    <h3 id=${id}><span class="role">${ROLES[role] ?? oneLine(role)}</span>
      ${message.name && html` <code>${oneLine(message.name)}</code>`} ${message.tool_call_id
        && html` <span class="quiet small plain-weight">answers ${oneLine(message.tool_call_id)}</span>`}
      <span class="quiet small num turn">message ${number(turn + 1)}</span></h3>
    ${message.tools?.length > 0
      && html`<details><summary>${plural(message.tools.length, "function")} that may be called</summary>
      <${Long} kind="text code" text=${pretty(message.tools)} /></details>`}
    ${thinking && html`<details class="thinking"><summary>Thinking, ${plural(thinking.length, "character")}</summary>
      <${Long} text=${thinking} /></details>`}
    ${role === "assistant" ? (content || !message.tool_calls?.length) && html`<${Answer} content=${content} />`
      : html`<${Long} kind=${role === "tool" ? "text code" : "text"} text=${role === "tool" ? pretty(content) : content} />`}
    ${(message.tool_calls ?? []).map((call, at) => html`<${Call} key=${at} call=${call} />`)}
    ${role === "assistant" && !content.trim() && !message.tool_calls?.length && html`<p class="quiet">(no text)</p>`}
  </section>`;
}
