"""The variable `enable_thinking` of chat templates, and a caution for a policy without a chat template."""

import contextlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ...core import Policy, UserError


@runtime_checkable
class SupportsThinking(Protocol):
    """A policy whose server applies the chat template."""

    enable_thinking: bool | None
    """Value of `enable_thinking` in the chat template; None: the template's default."""


@contextlib.contextmanager
def thinking(policy: Policy, value: str | None) -> Iterator[None]:
    """Sets `enable_thinking` in the chat template of a policy for the duration of the block.

    For a policy on a server, the variable is part of the requests.

    Args:
        policy: the policy.
        value: "on", "off", or None for the template's default.

    Raises:
        UserError: the policy has no chat template with this variable.
    """
    if value is None:
        yield
        return
    if isinstance(policy, SupportsThinking):
        before, policy.enable_thinking = policy.enable_thinking, value == "on"
        try:
            yield
        finally:
            policy.enable_thinking = before
        return
    tokenizer = getattr(policy, "tokenizer", None)
    template = getattr(tokenizer, "chat_template", None)
    if tokenizer is None or not isinstance(template, str) or "enable_thinking" not in template:
        raise UserError("thinking: the policy has no chat template with the variable enable_thinking; omit --thinking")
    # "+%}" keeps a newline at the start of the template.
    tokenizer.chat_template = f"{{% set enable_thinking = {'true' if value == 'on' else 'false'} +%}}{template}"
    try:
        yield
    finally:
        tokenizer.chat_template = template


def cautions(policy: Policy, text: bool | None) -> list[str]:
    """Returns a caution if a policy has a tokenizer without a chat template, as base models do.

    Args:
        policy: the policy.
        text: true if its prompts are plain text anyway.
    """
    tokenizer = getattr(policy, "tokenizer", None)
    if text or tokenizer is None or getattr(tokenizer, "chat_template", None):
        return []
    return [
        "no chat template, so the turns are joined by newlines; for a base model, set text (--text) and fewshot (--fewshot N)"
    ]
