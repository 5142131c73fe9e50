"""A token limit above the model's window is lowered to what a server's error leaves."""

import pytest

from tenfold.policies.server import errors


@pytest.mark.parametrize(
    ("message", "left"),
    [
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 9999. This model's maximum context length is 256 tokens and "
            "your request has 21 input tokens (9999 > 256 - 21).",
            235,
        ),
        (
            "This model's maximum context length is 8192 tokens. However, you requested 10020 tokens (21 in the messages, 9999 "
            "in the completion). Please reduce the length of the messages or completion.",
            8171,
        ),
        (
            "Requested token count exceeds the model's maximum context length of 256 tokens. You requested a total of 10020 "
            "tokens: 21 tokens from the input messages and 9999 tokens for the completion.",
            235,
        ),
        ("This model's maximum context length is 256 tokens. However, your request has 300 input tokens.", None),
        ("temperature is not supported", None),
    ],
)
def test_the_limit_becomes_what_the_prompt_leaves(message: str, left: int | None) -> None:
    request = {"messages": [], "max_tokens": 9999}
    expected = request | {"max_tokens": left} if left else None
    assert errors.lowered(request, {"message": message, "code": 400}) == expected
    assert errors.lowered(request | {"max_tokens": left or 1}, {"message": message, "code": 400}) is None


def test_without_the_length_of_the_prompt_the_limit_is_left_out_or_halved() -> None:
    error = "max_tokens=9999 cannot be greater than max_model_len=max_total_tokens=256. Please request fewer output tokens."
    assert errors.lowered({"messages": [], "max_tokens": 9999}, error) == {"messages": []}
    assert errors.lowered({"prompt": "a", "max_tokens": 9999}, error) == {"prompt": "a", "max_tokens": 128}
    assert errors.lowered({"messages": [], "max_tokens": 100}, error) is None
