"""A conversation with tools as tokens to learn, written by the model's own chat template.

The template writes the whole conversation, the tools' declarations included. What it writes for the assistant is learnt:
their words, their tool calls and what ends them. A tool's reply and the declarations are only read. Where the template marks
the assistant's turns (`{% generation %}`), its marks count; else each turn is found by what the template adds for it.

A template that does not know tools is given them as text: declarations in the system's turn and calls in `<tool_call>`, as
`envs/problems/function_calls.py` and `core.message_text` write them.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...core import Message, UserError, message_text, without_surrogates
from ...envs.problems.function_calls import INSTRUCTION

PROBE = "tenfoldprobe"
"""Stands in a rendering for what is looked for there; no template writes it by itself."""
ANCHOR, SHARED = 200, 4
"""Characters before a turn by which it is found again, and how many of them must be there at least."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")

Turn = dict[str, Any]
Tools = Sequence[Mapping[str, Any]]
Span = tuple[int, int]
Render = Callable[..., Any]


def has_tools(messages: Sequence[Message], tools: Tools) -> bool:
    """Whether a conversation is one with tools."""
    return bool(tools) or any("tool_calls" in message for message in messages)


def declared(messages: Sequence[Message], tools: Tools) -> list[Message]:
    """The messages with the tools declared in the system's turn."""
    listed = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    told, rest = INSTRUCTION.format(tools=listed), list(messages)
    if rest and rest[0]["role"] == "system":
        told = f"{rest.pop(0)['content']}\n\n{told}"
    return [Message(role="system", content=told), *rest]


def as_text(messages: Sequence[Message]) -> list[Message]:
    """The messages with their tool calls in their text."""
    return [Message(role=message["role"], content=message_text(message)) for message in messages]


class Written(NamedTuple):
    """A conversation as a chat template takes it."""

    turns: list[Turn]
    render: Render


def written(tokenizer: Any, messages: Sequence[Message], tools: Tools, name: str) -> Written | list[Message]:
    """The form of a conversation that the chat template writes whole; plain messages where it does not know tools.

    Templates want arguments as objects or as JSON, no content as an empty text or as none, and some want ids of nine letters.

    Args:
        tokenizer: of the model.
        messages, tools: the conversation.
        name: of the example, for errors.

    Raises:
        UserError: the template knows tools, and refuses this conversation.
    """
    template = _template(tokenizer)
    if not template:
        return _plain(tokenizer, messages, tools, name)
    if not any("tool_calls" in message for message in messages) and not _tells_tools(tokenizer, tools):
        return _plain(tokenizer, messages, tools, name)
    if tools and "tool_calls" in template and not _tells_tools(tokenizer, tools):
        messages, tools = declared(messages, tools), ()
    if not any("tool_calls" in message for message in messages):
        return Written([dict(message) for message in messages], _renderer(tokenizer, tools))
    render, trouble = _renderer(tokenizer, tools), ""
    for turns in _forms(messages):
        try:
            render(turns)
            if _tells_calls(render, turns):
                return Written(turns, render)
        except Exception as error:  # templates raise what they like
            trouble = trouble or str(error)
    if "tool_calls" in template:
        refused = trouble or "it leaves them out"
        raise UserError(f"{name}: the model's chat template cannot write its tool calls: {' '.join(refused.split())[:200]}")
    return _plain(tokenizer, messages, tools, name)


def _plain(tokenizer: Any, messages: Sequence[Message], tools: Tools, name: str) -> list[Message]:
    """The conversation as text; the system's turn goes to the user where the template has none."""
    told = as_text(declared(messages, tools) if tools else messages)
    first = next(place for place, turn in enumerate(told) if turn["role"] == "assistant")
    trouble = _refused(tokenizer, told[:first])
    if trouble and len(told) > 1 and told[0]["role"] == "system" and told[1]["role"] == "user":
        told = [Message(role="user", content=f"{told[0]['content']}\n\n{told[1]['content']}"), *told[2:]]
        trouble = _refused(tokenizer, told[: first - 1])
    if trouble:
        raise UserError(f"{name}: the model's chat template refuses its turns: {trouble}")
    return told


def _refused(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Why a template does not write these turns; empty where it does."""
    try:
        if tokenizer.chat_template:
            _renderer(tokenizer, ())([dict(message) for message in messages], add_generation_prompt=True)
    except Exception as error:  # templates raise what they like
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


def learnt(tokenizer: Any, conversation: Written, name: str) -> tuple[list[int], list[int]]:
    """A conversation's token ids up to what is learnt last, and a mask that is 1 where the assistant wrote.

    Raises:
        UserError: the template rewrites a turn so that it cannot be found.
    """
    turns, render = conversation
    if _MARKED.search(_template(tokenizer)) and (marked := _by_marks(tokenizer, conversation)):
        return marked
    text = render(turns)
    spans: list[Span] = []
    for place, turn in enumerate(turns):
        if turn["role"] == "assistant":
            span = _span(render, turns, place, text, spans[-1][1] if spans else 0)
            if span is None:
                raise UserError(
                    f"{name}: the model's chat template rewrites turn {place + 1}, so that nobody can tell what is learnt of "
                    "it; leave the example out, or give it without that turn"
                )
            spans.append((span[0], _end(tokenizer, text, span)))
    ids, mask = _tokens(tokenizer, text[: spans[-1][1]], spans)
    if ids[-1] not in _enders(tokenizer):  # some templates end a turn only before the next one
        ids.append(tokenizer.eos_token_id)
        mask.append(1)
    return ids, mask


def _template(tokenizer: Any) -> str:
    given = tokenizer.chat_template
    return "\n".join(given.values()) if isinstance(given, Mapping) else given or ""


def _renderer(tokenizer: Any, tools: Tools) -> Render:
    def render(turns: Sequence[Turn], **options: Any) -> Any:
        told = [dict(tool) for tool in tools] or None
        return tokenizer.apply_chat_template(list(turns), tools=told, **{"tokenize": False, **options})

    return render


def _tells_tools(tokenizer: Any, tools: Tools) -> bool:
    """Whether the template writes the declarations of tools."""
    probes = [{"type": "function", "function": {**tool.get("function", tool), "name": PROBE}} for tool in tools[:1]]
    try:
        return PROBE in _renderer(tokenizer, probes)([{"role": "user", "content": "?"}])
    except Exception:  # it does not take this form of them
        return False


def _tells_calls(render: Render, turns: Sequence[Turn]) -> bool:
    """Whether the template writes every call's name and arguments, and every tool's reply."""
    probes: list[str] = []

    def probe() -> str:
        probes.append(f"{PROBE}{len(probes)}x")
        return probes[-1]

    told = []
    for turn in turns:
        copy = dict(turn)
        if "tool_calls" in copy:
            copy["tool_calls"] = [
                {
                    **call,
                    "function": {
                        "name": probe(),
                        "arguments": {"x": probe()} if isinstance(call["function"]["arguments"], Mapping) else f'"{probe()}"',
                    },
                }
                for call in copy["tool_calls"]
            ]
        elif copy["role"] == "tool":
            copy["content"] = probe()
        told.append(copy)
    text = render(told)
    return all(one in text for one in probes)


def _forms(messages: Sequence[Message]) -> Iterator[list[Turn]]:
    for with_ids in (False, True):
        for arguments in (dict, json.dumps):
            for nothing in ("", None):
                yield _form(messages, with_ids, arguments, nothing)


def _form(messages: Sequence[Message], with_ids: bool, arguments: Callable[[Any], Any], nothing: str | None) -> list[Turn]:
    """The messages as a template may want them."""
    turns: list[Turn] = []
    waiting: list[tuple[str | None, str, str]] = []
    """Calls that have no reply yet: their own id, the id given here, the function."""
    count = 0
    for message in messages:
        turn: Turn = dict(message) | {"content": without_surrogates(message["content"])}
        if "tool_calls" in message:
            turn["content"] = turn["content"] or nothing
            calls, waiting = [], []
            for call in message["tool_calls"]:
                count += 1
                function = call["function"]
                told: Turn = {**call, "function": {"name": function["name"], "arguments": arguments(function["arguments"])}}
                if with_ids:
                    told["id"] = f"call{count:05}"
                waiting.append((call.get("id"), f"call{count:05}", function["name"]))
                calls.append(told)
            turn["tool_calls"] = calls
        elif message["role"] == "tool" and waiting:
            own = message.get("tool_call_id")
            answered = next((one for one in waiting if own is not None and one[0] == own), waiting[0])
            waiting.remove(answered)
            turn.setdefault("name", answered[2])
            if with_ids:
                turn["tool_call_id"] = answered[1]
        turns.append(turn)
    return turns


def _by_marks(tokenizer: Any, conversation: Written) -> tuple[list[int], list[int]] | None:
    """Ids and mask by the template's own marks; None where it marks nothing of this conversation."""
    try:
        told = conversation.render(conversation.turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    except Exception:  # a tokenizer that does not know where its tokens stand
        return None
    ids, mask = list(told["input_ids"]), list(told["assistant_masks"])
    if 1 not in mask:
        return None
    enders, place = _enders(tokenizer), 0
    while place < len(ids):  # the token that ends a turn is learnt wherever the marks stand, and no blank behind it
        end = place + next((number for number, flag in enumerate(mask[place:]) if flag != mask[place]), len(mask) - place)
        if mask[place]:
            bare = end
            while bare > place and not tokenizer.decode(ids[bare - 1 : bare]).strip():
                bare -= 1
            if bare > place and ids[bare - 1] in enders:
                mask[bare:end] = [0] * (end - bare)
            elif end < len(ids) and ids[end] in enders:
                mask[end] = 1
                end += 1
        place = end
    last = len(mask) - mask[::-1].index(1)
    return ids[:last], mask[:last]


def _span(render: Render, turns: list[Turn], place: int, text: str, begin: int) -> Span | None:
    """Where in the whole text a turn of the assistant stands, from behind the prompt for it; None if it is not found."""
    probe, after = {"role": "assistant", "content": PROBE}, {"role": "user", "content": PROBE}
    try:
        prompt = render(turns[:place], add_generation_prompt=True)
        through = render(turns[: place + 1])
        head, found, closing = render([*turns[:place], probe]).partition(PROBE)
    except Exception:  # a template may refuse what ends there
        return None
    starts = [start for start in (prompt, head) if through.startswith(start)]
    for start in starts:  # it is the same text up to there, as templates that only append have it
        if text.startswith(through[: len(through.rstrip())]):
            return len(start), len(through.rstrip())
    before, pieces = [prompt, head], [through[len(start) :].rstrip() for start in starts]
    with contextlib.suppress(Exception):  # how it is written once other turns follow, which may leave out its reasoning
        earlier, _, rest = render([*turns[:place], probe, after]).partition(PROBE)
        followed = render([*turns[: place + 1], after])
        if followed.startswith(earlier) and followed.endswith(rest) and len(followed) >= len(earlier) + len(rest):
            said = followed[len(earlier) : len(followed) - len(rest)]
            ends = closing.rstrip() if rest.startswith(closing.rstrip()) else ""
            before, pieces = [*before, earlier], [*pieces, said + ends]
    if places := list(_places(text, pieces, before, begin)):
        end = max(places)[2]
        return min(start for _, start, its_end in places if its_end == end), end
    if not found or not closing.strip() or "tool_calls" in turns[place]:
        return None
    # The template changes what was said once other turns follow: it stands where other words would stand.
    whole = render([*turns[:place], {**turns[place], "content": PROBE}, *turns[place + 1 :]])
    at = whole.find(PROBE)
    end = text.find(closing.strip(), max(at, 0))
    return (at, end + len(closing.strip())) if at >= 0 and end >= 0 and text[:at] == whole[:at] else None


def _places(text: str, pieces: Sequence[str], before: Sequence[str], begin: int) -> Iterator[tuple[int, int, int]]:
    """Where one of the pieces stands from `begin` on, behind what one of `before` ends in.

    The same words may stand elsewhere: the place that shares most with them is behind the opening of the assistant's turn.

    Yields:
        The characters that are alike, the piece's among them; its start and its end.
    """
    for piece in filter(None, pieces):
        at = text.find(piece, begin)
        while at >= 0:
            shared = max(_shared_end(text[max(0, at - ANCHOR) : at], one[-ANCHOR:]) for one in before)
            if shared >= SHARED:
                yield shared + len(piece), at, at + len(piece)
            at = text.find(piece, at + 1)


def _shared_end(one: str, other: str) -> int:
    """How many characters two texts end in alike."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _end(tokenizer: Any, text: str, span: Span) -> int:
    """Where a turn ends: behind the special token that ends it, without the blanks that follow.

    Some templates have no such token; the one that opens the next turn then is what the model has to write.
    """
    words = tokenizer.get_added_vocab()
    bare = text[span[0] : span[1]].rstrip()
    if any(bare.endswith(word) for word in words):
        return span[0] + len(bare)
    opens = max((word for word in words if text.startswith(word, span[1])), key=len, default="")
    return span[1] + len(opens) if opens else span[0] + len(bare)


def _enders(tokenizer: Any) -> set[int]:
    """Special tokens, one of which ends a turn."""
    return {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}


def _tokens(tokenizer: Any, text: str, spans: Sequence[Span]) -> tuple[list[int], list[int]]:
    """The tokens of a text, and which of them lie in the spans; a token that reaches into a span from before it does not."""
    if not getattr(tokenizer, "is_fast", False):
        ids: list[int] = []
        mask: list[int] = []
        done = 0
        for start, end in spans:
            for part, flag in ((text[done:start], 0), (text[start:end], 1)):
                new = tokenizer(part, add_special_tokens=False)["input_ids"]
                ids += new
                mask += [flag] * len(new)
            done = end
        return ids, mask
    told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = []
    left = list(spans)
    for start, end in told["offset_mapping"]:
        while left and start >= left[0][1]:
            left.pop(0)
        mask.append(int(bool(left) and start >= left[0][0] and end > start))
    return list(told["input_ids"]), mask
