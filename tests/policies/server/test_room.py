"""The room that a server's error names for a response."""

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
        ("max_tokens=9999 cannot be greater than max_model_len=max_total_tokens=256. Please request fewer output tokens.", 255),
        ("temperature is not supported", None),
    ],
)
def test_the_room_is_the_window_without_the_prompt(message: str, left: int | None) -> None:
    assert errors.room({"message": message, "code": 400}, 9999) == left
    assert errors.room({"message": message, "code": 400}, left or 1) is None
