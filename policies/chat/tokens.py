"""Token ids of a conversation, turn by turn. Sampled turns keep their sampled tokens; other turns are tokenized separately."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core import Conversation, Message
from ...texts import without_surrogates
from .prompts import prompt_text, prompt_tokens
from .special_tokens import split_special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = "tenfoldreply"
"""Placeholder for a reply, used to find out whether a template shows the replies of a role."""
SENTINEL = "\u241etenfold\u241e"
"""Placeholder for the policy's turn, used to find the text after it. No chat template contains it."""


def prompts_tokens(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Conversation]) -> list[list[int]]:
    """Returns `prompt_tokens` of each conversation, faster."""
    if not _is_plain(tokenizer):
        return [prompt_tokens(tokenizer, conversation) for conversation in conversations]
    texts = [prompt_text(tokenizer, conversation) for conversation in conversations]
    by_kind = {kind: [text for text, special in texts if special is kind] for kind in (False, True)}
    found = {kind: iter(_encoded(tokenizer, of_kind, kind)) for kind, of_kind in by_kind.items()}
    return [next(found[special]) for _, special in texts]


def texts_tokens(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Returns the tokens of each text without special tokens, faster than one call of the tokenizer for each."""
    if not _is_plain(tokenizer):
        return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return _encoded(tokenizer, texts, False)


def _is_plain(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """True if a tokenizer's calls only apply its chat template and the encoder of the package tokenizers, as most do."""
    from transformers import PreTrainedTokenizerFast

    own, plain = type(tokenizer), PreTrainedTokenizerFast
    return isinstance(tokenizer, plain) and all(
        getattr(own, name) is getattr(plain, name) for name in ("__call__", "_encode_plus", "apply_chat_template")
    )


def _encoded(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], special: bool) -> list[list[int]]:
    """Returns the tokens of each text. The encoder is called directly, because each call of the tokenizer converts much more.

    Args:
        tokenizer: a tokenizer for which `_is_plain` holds.
        texts: the texts.
        special: whether the tokenizer adds its special tokens.
    """
    tokenizer("", add_special_tokens=False)  # removes limits and padding that the encoder may have from its file
    encoder = tokenizer.backend_tokenizer
    return [encoding.ids for encoding in encoder.encode_batch_fast(list(texts), add_special_tokens=special)]


def turn_tokens(tokenizer: "PreTrainedTokenizerBase", role: str, text: str, sampled: Sequence[int]) -> list[int]:
    """Returns the tokens after a turn of the policy: its end mark, the environment's turn, the start of the next policy turn.

    Special tokens in the environment's turn are split; see `split_special_tokens`.

    Args:
        tokenizer: the policy's, with its chat template.
        role: role of the environment's turn. A role that the template does not support is replaced by "user".
        text: content of the environment's turn.
        sampled: tokens of the policy's turn. If they include the end mark, it is not repeated.

    Returns:
        The token ids; empty if the chat template does not support a user turn after the policy's turn.
    """
    return reply_tokens(tokenizer, [Message(role=role, content=text)], sampled)


def reply_tokens(tokenizer: "PreTrainedTokenizerBase", replies: Sequence[Message], sampled: Sequence[int]) -> list[int]:
    """Returns the same as `turn_tokens` for several consecutive replies, such as those of several tools.

    Args:
        tokenizer: the policy's, with its chat template.
        replies: the turns; none if the policy's next turn follows at once.
        sampled: tokens of the policy's turn.
    """
    texts = (split_special_tokens(tokenizer, without_surrogates(reply["content"])) for reply in replies)
    replies = [Message(role=reply["role"], content=text) for reply, text in zip(replies, texts, strict=True)]
    if not tokenizer.chat_template:
        joined = "\n".join(reply["content"] for reply in replies)
        return tokenizer(f"\n{joined}\n", add_special_tokens=False)["input_ids"]
    before = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]

    def rendered(replies: Sequence[Message]) -> str:
        turns = [*before, *map(dict, replies)]
        return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False).split(SENTINEL, 1)[1]

    try:
        text = rendered(replies)
        if rendered([{**reply, "content": PROBE} for reply in replies]).count(PROBE) < len(replies):
            raise ValueError("the template leaves out a reply")
    except Exception:  # templates raise on unsupported roles
        if [reply["role"] for reply in replies] == ["user"]:
            return []
        joined = "\n".join(reply["content"] for reply in replies)
        return reply_tokens(tokenizer, [Message(role="user", content=joined)], sampled)
    following = tokenizer(text, add_special_tokens=False)["input_ids"]
    is_closed = bool(sampled and following and sampled[-1] == following[0])
    return following[1:] if is_closed else following


def conversation_tokens(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    turns: Sequence[Sequence[int]],
    prompt: Sequence[int] | None = None,
) -> tuple[list[int], list[int]]:
    """Returns the tokens of a whole episode.

    Args:
        tokenizer: the policy's.
        messages: messages of the episode.
        turns: sampled tokens of each turn of the policy; one turn or more. Earlier turns of the assistant belong to the prompt.
        prompt: tokens of the messages before the first of these turns, if they are known.

    Returns:
        The token ids, and a mask that is 1 for tokens of the policy's turns.
    """
    first = [index for index, turn in enumerate(messages) if turn["role"] == "assistant"][-len(turns)]
    ids = prompt_tokens(tokenizer, messages[:first]) if prompt is None else list(prompt)
    mask = [0] * len(ids)

    def add(new: Sequence[int], by_policy: bool) -> None:
        ids.extend(new)
        mask.extend([int(by_policy)] * len(new))

    remaining = iter(turns)
    sampled: Sequence[int] = []
    for by_policy, group in itertools.groupby(messages[first:], lambda message: message["role"] == "assistant"):
        if not by_policy:
            add(reply_tokens(tokenizer, list(group), sampled), False)
            continue
        for number, _ in enumerate(group):
            if number:
                add(reply_tokens(tokenizer, [], sampled), False)
            sampled = next(remaining)
            add(sampled, True)
    return ids, mask
