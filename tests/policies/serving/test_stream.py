"""The text of a stream: in whatever pieces it grows, the pieces make the parts of the whole text."""

import pytest

import tenfold
from tenfold.core import Completion, Sampling
from tenfold.policies.serving import messages
from tenfold.policies.serving.batching import Draw
from tenfold.policies.serving.stream import Growing


@pytest.fixture(scope="module")
def policy() -> object:
    return tenfold.load_policy("micro:")


@pytest.mark.parametrize(
    "text",
    [
        "Seven.",
        "<think>\n3 + 4 < 9\n\nso\n</think>\n\nIt is 7 <b>.\n",
        "<think>\ncut\n",
        "[THINK]hm[/THINK]7",
        "é ü 😀 x",
        "a < b and [c]",
    ],
)
def test_the_pieces_make_the_parts_of_the_text(policy: object, text: str) -> None:
    tokens = policy.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[attr-defined]
    draw = Draw([], [5], Sampling(), 0)
    growing = Growing(policy, draw, splits=True)  # type: ignore[arg-type]
    pieces = []
    for token in tokens:
        draw.tokens.append(token)
        pieces.append(growing.grown())
    pieces.append(growing.ended(Completion(text, "stop", tuple(tokens))))
    said = messages.split(text)
    assert ("".join(piece[0] for piece in pieces), "".join(piece[1] for piece in pieces)) == (said.reasoning, said.content)
    assert len([piece for piece in pieces if any(piece)]) > 1


def test_a_stop_string_is_never_sent(policy: object) -> None:
    draw = Draw([], [5], Sampling(stop=("END",)), 0)
    growing = Growing(policy, draw, splits=False)  # type: ignore[arg-type]
    sent = ""
    for token in policy.tokenizer("one ENE ENDING", add_special_tokens=False)["input_ids"]:  # type: ignore[attr-defined]
        draw.tokens.append(token)
        sent += growing.grown()[1]
    assert sent + growing.ended(Completion("one ENE ", "stop"))[1] == "one ENE "


def test_an_answer_after_reasoning_that_follows_a_text_is_sent(policy: object) -> None:
    text = "Well. <think>\nhm\n</think>\nIt is 7."
    draw = Draw([], [5], Sampling(), 0)
    growing = Growing(policy, draw, splits=True)  # type: ignore[arg-type]
    draw.tokens += policy.tokenizer("Well. ", add_special_tokens=False)["input_ids"]  # type: ignore[attr-defined]
    assert growing.grown() == ("", "Well. ")
    assert growing.ended(Completion(text, "stop"))[1] == "It is 7."
