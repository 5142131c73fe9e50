"""Conversations turn by turn as token ids: what a policy drew stays as it was sampled, what others say is tokenised by
itself."""

import itertools
from collections.abc import Sequence
from typing import Any

from ..core import Message, without_surrogates
from .checkpoints import prompt_tokens

SENTINEL = "\u241etenfold\u241e"
"""Stands for the policy's turn when the tokens around it are looked for; no chat template writes it by itself."""


def turn_tokens(tokenizer: Any, role: str, text: str, said: Sequence[int]) -> list[int]:
    """What follows the policy's turn: its closing, the environment's turn, the opening of the policy's next.

    Args:
        tokenizer: the policy's, with its chat template.
        role: who speaks, in the template's terms; a role it does not know speaks as the user.
        text: what is said.
        said: the tokens the policy drew; when they already close its turn, the closing is not said twice.
    """
    return reply_tokens(tokenizer, [Message(role=role, content=text)], said)


def reply_tokens(tokenizer: Any, replies: Sequence[Message], said: Sequence[int]) -> list[int]:
    """As `turn_tokens`, of several turns one after the other, as several tools reply: the policy's next turn is opened once."""
    replies = [Message(role=reply["role"], content=without_surrogates(reply["content"])) for reply in replies]
    if not tokenizer.chat_template:
        told = "\n".join(reply["content"] for reply in replies)
        return tokenizer(f"\n{told}\n", add_special_tokens=False)["input_ids"]
    before = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
    try:
        rendered = tokenizer.apply_chat_template(
            [*before, *(dict(reply) for reply in replies)], add_generation_prompt=True, tokenize=False
        )
    except Exception:  # templates raise on roles they do not know
        if [reply["role"] for reply in replies] == ["user"]:
            return []
        joined = "\n".join(reply["content"] for reply in replies)
        return reply_tokens(tokenizer, [Message(role="user", content=joined)], said)
    following = tokenizer(rendered.split(SENTINEL, 1)[1], add_special_tokens=False)["input_ids"]
    closes = bool(said and following and said[-1] == following[0])
    return following[1:] if closes else following


def conversation_tokens(
    tokenizer: Any, messages: Sequence[Message], turns: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """A whole episode as a policy saw it.

    Args:
        tokenizer: the policy's.
        messages: of the episode.
        turns: the tokens that the policy drew in each of its turns.

    Returns:
        The token ids, and a mask that is 1 where the policy wrote.
    """
    first = next(place for place, turn in enumerate(messages) if turn["role"] == "assistant")
    ids = prompt_tokens(tokenizer, messages[:first])
    mask = [0] * len(ids)
    left = iter(turns)
    said: Sequence[int] = []
    for by_policy, group in itertools.groupby(messages[first:], lambda message: message["role"] == "assistant"):
        for new in [list(next(left)) for _ in group] if by_policy else [reply_tokens(tokenizer, list(group), said)]:
            said = new if by_policy else said
            ids += new
            mask += [int(by_policy)] * len(new)
    return ids, mask
