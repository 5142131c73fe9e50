"""Tokens and loss mask of a conversation with tools, as the model's own chat template writes it.

The template writes the whole conversation with the declarations of the tools. The loss mask covers what it writes for the
assistant: text, tool calls and the end of each turn. It does not cover tools' replies and declarations. If the template marks
the assistant's turns (`{% generation %}`), these marks decide. Otherwise each turn is located by the text that the template
adds for it.

For a template without support for tools, declarations become text in the system prompt and calls become text in `<tool_call>`,
as in `policies/chat/tools.py` and `core.message_text`.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...core import Message, UserError, message_text
from ...policies.chat import tools as declarations
from ...policies.chat.tools import PLACEHOLDER, Render, Turn, renderer, template_of, writes_tools
from ...texts import without_surrogates

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANCHOR, SHARED = 200, 4
"""Number of characters before a turn that are compared to locate it, and how many of them must be equal. Our choice."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")

Span = tuple[int, int]
"""Start and end in a text, in characters."""


def has_tools(messages: Sequence[Message]) -> bool:
    """True if a conversation has declarations of tools or tool calls."""
    return any("tools" in message or "tool_calls" in message for message in messages)


class Written(NamedTuple):
    """A conversation in the form that a chat template can write."""

    turns: list[Turn]
    render: Render


def written(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], name: str) -> Written | list[Message]:
    """Returns a conversation in a form whose calls and replies the template writes; plain messages if it supports no tools.

    Templates expect arguments as objects or as JSON, and missing content as an empty text or as None. Some require ids of nine
    characters.

    Args:
        tokenizer: the model's tokenizer.
        messages: the conversation, with the declarations of its tools.
        name: id of the example, for errors.

    Raises:
        UserError: the template supports tools, but rejects this conversation.
    """
    template = template_of(tokenizer)
    tools, turns_alone = declarations.split(messages)
    has_calls, tools_written = any("tool_calls" in message for message in messages), writes_tools(tokenizer, tools)
    if not template or not (has_calls or tools_written):
        return _plain(tokenizer, messages, name)
    if tools and "tool_calls" in template and not tools_written:
        turns_alone, tools = declarations.as_text(messages), ()
    if not has_calls:
        return Written([dict(message) for message in turns_alone], renderer(tokenizer, tools))
    render, trouble = renderer(tokenizer, tools), ""
    for turns in _forms(turns_alone):
        try:
            render(turns)
            if _writes_calls(render, turns):
                return Written(turns, render)
        except Exception as error:  # templates raise exceptions of any type
            trouble = trouble or str(error)
    if "tool_calls" in template:
        reason = trouble or "it leaves them out"
        raise UserError(f"{name}: the model's chat template cannot write its tool calls: {' '.join(reason.split())[:200]}")
    return _plain(tokenizer, messages, name)


def _plain(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], name: str) -> list[Message]:
    """Returns the conversation as text. The system prompt joins the user's turn if the template does not support it."""
    plain = [Message(role=turn["role"], content=message_text(turn)) for turn in declarations.as_text(messages)]
    plain = declarations.accepted(tokenizer, plain)
    first = next(index for index, turn in enumerate(plain) if turn["role"] == "assistant")
    if trouble := declarations.refusal(tokenizer, plain[:first]):
        raise UserError(f"{name}: the model's chat template rejects its turns: {trouble}")
    return plain


def tokens(tokenizer: "PreTrainedTokenizerBase", conversation: Written, name: str) -> tuple[list[int], list[int]]:
    """Returns a conversation's token ids and loss mask, up to the last token of the assistant's last turn.

    Args:
        tokenizer: the model's tokenizer.
        conversation: the conversation; see `written`.
        name: id of the example, for errors.

    Returns:
        Token ids, and a mask that is 1 for the assistant's tokens, (tokens,) each.

    Raises:
        UserError: the template rewrites a turn so that it cannot be located.
    """
    turns, render = conversation
    if _MARKED.search(template_of(tokenizer)) and (marked := _by_marks(tokenizer, conversation)):
        return marked
    text = render(turns)
    spans: list[Span] = []
    for index, turn in enumerate(turns):
        if turn["role"] == "assistant" and index:  # a first turn has no prompt
            span = _span(render, turns, index, text, spans[-1][1] if spans else 0)
            if span is None:
                raise UserError(
                    f"{name}: the model's chat template rewrites turn {index + 1}, so that its tokens cannot be located; "
                    "remove the example, or that turn"
                )
            spans.append((span[0], _end(tokenizer, text, span)))
    ids, mask = _masked(tokenizer, text[: spans[-1][1]], spans)
    if ids[-1] not in _end_tokens(tokenizer):  # some templates write the end of a turn only before the next turn
        ids.append(tokenizer.eos_token_id)
        mask.append(1)
    return ids, mask


def _writes_calls(render: Render, turns: Sequence[Turn]) -> bool:
    """True if the template writes the name and arguments of every call, and every tool's reply."""
    placeholders: list[str] = []

    def placeholder() -> str:
        placeholders.append(f"{PLACEHOLDER}{len(placeholders)}x")
        return placeholders[-1]

    copies = []
    for turn in turns:
        copy = dict(turn)
        if "tool_calls" in copy:
            copy["tool_calls"] = [
                {
                    **call,
                    "function": {
                        "name": placeholder(),
                        "arguments": {"x": placeholder()}
                        if isinstance(call["function"]["arguments"], Mapping)
                        else f'"{placeholder()}"',
                    },
                }
                for call in copy["tool_calls"]
            ]
        elif copy["role"] == "tool":
            copy["content"] = placeholder()
        copies.append(copy)
    text = render(copies)
    return all(word in text for word in placeholders)


def _forms(messages: Sequence[Message]) -> Iterator[list[Turn]]:
    for with_ids in (False, True):
        for arguments in (dict, json.dumps):
            for no_content in ("", None):
                yield _form(messages, with_ids, arguments, no_content)


def _form(
    messages: Sequence[Message],
    with_ids: bool,
    arguments: Callable[[Mapping[str, object]], object],
    no_content: str | None,
) -> list[Turn]:
    """Returns the messages in one of the forms that templates expect."""
    turns: list[Turn] = []
    waiting: list[tuple[str | None, str, str]] = []
    """Calls without a reply so far: their own id, the new id, the name of the function."""
    count = 0
    for message in messages:
        turn: Turn = dict(message) | {"content": without_surrogates(message["content"])}
        if "tool_calls" in message:
            turn["content"] = turn["content"] or no_content
            calls, waiting = [], []
            for call in message["tool_calls"]:
                count += 1
                function = call["function"]
                new: Turn = {**call, "function": {"name": function["name"], "arguments": arguments(function["arguments"])}}
                if with_ids:
                    new["id"] = f"call{count:05}"
                waiting.append((call.get("id"), f"call{count:05}", function["name"]))
                calls.append(new)
            turn["tool_calls"] = calls
        elif message["role"] == "tool" and waiting:
            call_id = message.get("tool_call_id")
            answered = next((ids for ids in waiting if call_id is not None and ids[0] == call_id), waiting[0])
            waiting.remove(answered)
            turn.setdefault("name", answered[2])
            if with_ids:
                turn["tool_call_id"] = answered[1]
        turns.append(turn)
    return turns


def _by_marks(tokenizer: "PreTrainedTokenizerBase", conversation: Written) -> tuple[list[int], list[int]] | None:
    """Returns ids and mask from the template's own marks; None if it marks nothing in this conversation."""
    try:
        encoded = conversation.render(conversation.turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    except Exception:  # a tokenizer without offsets
        return None
    ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    if 1 not in mask:
        return None
    end_tokens, start = _end_tokens(tokenizer), 0
    # Each marked part shall end with the token that ends the turn, and without spaces after it.
    while start < len(ids):
        end = start + next((number for number, flag in enumerate(mask[start:]) if flag != mask[start]), len(mask) - start)
        if mask[start]:
            stripped = end
            while stripped > start and not tokenizer.decode(ids[stripped - 1 : stripped]).strip():
                stripped -= 1
            if stripped > start and ids[stripped - 1] in end_tokens:
                mask[stripped:end] = [0] * (end - stripped)
            elif end < len(ids) and ids[end] in end_tokens:
                mask[end] = 1
                end += 1
        start = end
    last = len(mask) - mask[::-1].index(1)
    return ids[:last], mask[:last]


def _span(render: Render, turns: list[Turn], index: int, text: str, begin: int) -> Span | None:
    """Returns the span of an assistant's turn in the whole text, without the prompt before it; None if it is not found."""
    probe, after = {"role": "assistant", "content": PLACEHOLDER}, {"role": "user", "content": PLACEHOLDER}
    try:
        prompt = render(turns[:index], add_generation_prompt=True)
        through = render(turns[: index + 1])
        head, found, closing = render([*turns[:index], probe]).partition(PLACEHOLDER)
    except Exception:  # a template may reject a conversation that ends here
        return None
    starts = [start for start in (prompt, head) if through.startswith(start)]
    for start in starts:  # a template that only appends: the text up to here does not change later
        if text.startswith(through[: len(through.rstrip())]):
            return len(start), len(through.rstrip())
    before, pieces = [prompt, head], [through[len(start) :].rstrip() for start in starts]
    with contextlib.suppress(Exception):  # if other turns follow, the template may write the turn without its reasoning
        earlier, _, rest = render([*turns[:index], probe, after]).partition(PLACEHOLDER)
        followed = render([*turns[: index + 1], after])
        if followed.startswith(earlier) and followed.endswith(rest) and len(followed) >= len(earlier) + len(rest):
            piece = followed[len(earlier) : len(followed) - len(rest)]
            ends = closing.rstrip() if rest.startswith(closing.rstrip()) else ""
            before, pieces = [*before, earlier], [*pieces, piece + ends]
    if matches := list(_matches(text, pieces, before, begin)):
        place = _place(render, turns, index, text)
        matches = [match for match in matches if match[1] <= place < match[2]] or matches
        end = max(matches)[2]
        return min(start for _, start, match_end in matches if match_end == end), end
    if not found or not closing.strip() or "tool_calls" in turns[index]:
        return None
    # The template changes the turn's content if other turns follow. A placeholder as the content shows where the turn is.
    whole = render([*turns[:index], {**turns[index], "content": PLACEHOLDER}, *turns[index + 1 :]])
    position = whole.find(PLACEHOLDER)
    end = text.find(closing.strip(), max(position, 0))
    is_found = position >= 0 and end >= 0 and text[:position] == whole[:position]
    return (position, end + len(closing.strip())) if is_found else None


def _place(render: Render, turns: list[Turn], index: int, text: str) -> int:
    """Returns a position inside a turn: the first in the whole text that changes if the turn changes; -1 if it is unknown."""
    turn = {**turns[index], "content": PLACEHOLDER}
    if "tool_calls" in turn:
        turn["tool_calls"] = [{**call, "function": {**call["function"], "name": PLACEHOLDER}} for call in turn["tool_calls"]]
    with contextlib.suppress(Exception):
        return _shared(text, render([*turns[:index], turn, *turns[index + 1 :]]))
    return -1


def _matches(text: str, pieces: Sequence[str], before: Sequence[str], begin: int) -> Iterator[tuple[int, int, int]]:
    """Yields the occurrences of the pieces from `begin` on, if the characters before them equal the end of a text in `before`.

    The same words may occur elsewhere. The turn is the occurrence with the largest number of equal characters.

    Yields:
        The number of equal characters, those of the piece included; start and end of the piece.
    """
    for piece in filter(None, pieces):
        start = text.find(piece, begin)
        while start >= 0:
            shared = max(_shared(text[max(0, start - ANCHOR) : start][::-1], opening[: -ANCHOR - 1 : -1]) for opening in before)
            if shared >= SHARED:
                yield shared + len(piece), start, start + len(piece)
            start = text.find(piece, start + 1)


def _shared(first: str, second: str) -> int:
    """Returns the length of the common prefix of two texts."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _end(tokenizer: "PreTrainedTokenizerBase", text: str, span: Span) -> int:
    """Returns the end of a turn: after the special token that ends it, without the spaces that follow.

    Some templates have no such token. The model then has to write the token that opens the next turn.
    """
    words = tokenizer.get_added_vocab()
    stripped = text[span[0] : span[1]].rstrip()
    if any(stripped.endswith(word) for word in words):
        return span[0] + len(stripped)
    opening = max((word for word in words if text.startswith(word, span[1])), key=len, default="")
    return span[1] + len(opening) if opening else span[0] + len(stripped)


def _end_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Returns the special tokens. One of them ends a turn."""
    return {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}


def _masked(tokenizer: "PreTrainedTokenizerBase", text: str, spans: Sequence[Span]) -> tuple[list[int], list[int]]:
    """Returns the tokens of a text, and a mask of those that begin inside a span."""
    if not getattr(tokenizer, "is_fast", False):
        ids: list[int] = []
        mask: list[int] = []
        position = 0
        for start, end in spans:
            for part, flag in ((text[position:start], 0), (text[start:end], 1)):
                new = tokenizer(part, add_special_tokens=False)["input_ids"]
                ids += new
                mask += [flag] * len(new)
            position = end
        return ids, mask
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = []
    left = list(spans)
    for start, end in encoded["offset_mapping"]:
        while left and start >= left[0][1]:
            left.pop(0)
        mask.append(int(bool(left) and start >= left[0][0] and end > start))
    return list(encoded["input_ids"]), mask
