"""Conversations turn by turn as token ids: what a policy drew stays as it was drawn, what others say is tokenised by itself."""

from collections.abc import Sequence
from typing import Any

from ..core import Message
from .initial import prompt_tokens

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
    if not tokenizer.chat_template:
        return tokenizer(f"\n{text}\n", add_special_tokens=False)["input_ids"]
    before = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
    try:
        rendered = tokenizer.apply_chat_template(
            [*before, {"role": role, "content": text}], add_generation_prompt=True, tokenize=False
        )
    except Exception:  # templates raise on roles they do not know
        return turn_tokens(tokenizer, "user", text, said) if role != "user" else []
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
    for message in messages[first:]:
        if message["role"] == "assistant":
            said = next(left)
            new, written = list(said), 1
        else:
            new, written = turn_tokens(tokenizer, message["role"], message["content"], said), 0
        ids += new
        mask += [written] * len(new)
    return ids, mask
