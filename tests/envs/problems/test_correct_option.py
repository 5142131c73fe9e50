"""The correct option of rows in all formats of data sets."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import UserError
from tenfold.envs.problems import correct_option, sources

METALS = ["neon", "argon", "iron", "xenon"]
DCBA = ["D", "C", "B", "A"]
DIGITS = ["1", "2", "0"]
TEN = [f"number {n}" for n in range(10)]


@pytest.mark.parametrize(
    ("options", "row", "place"),
    [
        (DCBA, {"answer": "A", "answer_index": 0}, 0),  # MMLU-Pro, with options that are letters
        (DCBA, {"answer": "A", "answer_letter": "D"}, 3),  # SuperGPQA: the answer is the option's text
        (DCBA, {"answer": "A"}, 0),
        (DCBA, {"answer_index": 3}, 3),
        (DCBA, {"answer": 3}, 3),
        (["C", "G", "A", "T"], {"answer": "T"}, 3),  # there is no option with the letter T
        (["C", "G", "A", "T"], {"answer": "A"}, 0),
        (["C", "G", "A", "T"], {"answer": "A", "answer_index": 2}, 2),
        (METALS, {"answer": "iron"}, 2),
        (METALS, {"answer": " Iron "}, 2),
        (METALS, {"answer": "c"}, 2),
        (METALS, {"answer": "(C)"}, 2),
        (METALS, {"answer": "C."}, 2),
        (METALS, {"answer": "C) iron"}, 2),
        (METALS, {"answer": "C: iron"}, 2),
        (METALS, {"answer": "iron", "answer_idx": "C"}, 2),
        (METALS, {"answer": "C", "answer_idx": 2}, 2),
        (METALS, {"answer": "iron", "answer_index": "2"}, 2),
        (METALS, {"answer": "a metal that rusts", "answer_index": 2}, 2),
        (METALS, {"answer": None, "answer_letter": "C"}, 2),
        (METALS, {"answer": 2, "answer_letter": ""}, 2),
        (METALS, {"answer": 2.0, "answer_index": float("nan")}, 2),
        (["The dog", "A cat"], {"answer": "A cat"}, 1),
        (["A. flavus", "E. coli"], {"answer": "E. coli"}, 1),
        (DIGITS, {"answer": "1"}, 0),  # the text of an option, not an index
        (DIGITS, {"answer": 1}, 1),  # a number is an index, from 0
        (DIGITS, {"answer": "0", "answer_index": 2}, 2),
        (DIGITS, {"answer": "1", "answer_letter": "A"}, 0),
        (TEN, {"answer": "J", "answer_index": 9}, 9),
        (TEN, {"answer": "I"}, 8),
        (["same", "same", "other"], {"answer": "same", "answer_index": 1}, 1),
    ],
)
def test_the_correct_option_is_found(options: list[str], row: dict[str, Any], place: int) -> None:
    assert correct_option.correct_index(row, options) == place


@pytest.mark.parametrize(
    ("options", "row", "words"),
    [
        (METALS, {"answer": "B", "answer_index": 2}, "answer_index=2 and answer='B' are different options"),
        (METALS, {"answer": "neon", "answer_letter": "C"}, "answer_letter='C' and answer='neon' are different options"),
        (METALS, {"answer": 1, "answer_index": 2}, "are different options"),
        (METALS, {"answer_index": 1, "answer_letter": "C"}, "answer_index is 1; answer_letter is 'C': these are different"),
        (DCBA, {"answer": "B", "answer_index": 3}, "are different options"),
        (DIGITS, {"answer": "1", "answer_index": 1}, "are different options"),
        (METALS, {"answer": "E"}, "there is no option E: there are 4"),
        (METALS, {"answer": "E", "answer_index": 2}, "there is no option E"),
        (METALS, {"answer": 4}, "there is no option with index 4: there are 4"),
        (METALS, {"answer": -1}, "there is no option with index -1"),
        (METALS, {"answer_index": 7}, "there is no option with index 7"),
        (METALS, {"answer": "2"}, "'2' is neither an option nor the letter"),
        (METALS, {"answer": "B) iron"}, "'B\\) iron' is neither an option nor the letter"),
        (METALS, {"answer": True}, "neither an option"),
        (METALS, {"answer": " ", "answer_index": None}, "no column names the correct option"),
        (METALS, {"answer_index": "third"}, "answer_index='third' is neither an index nor a letter"),
    ],
)
def test_contradictory_columns_are_rejected(options: list[str], row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        correct_option.correct_index(row, options)


def test_the_index_decides_if_options_are_letters(tmp_path: Path) -> None:
    row = {"question_id": 1, "question": "Which comes first?", "options": DCBA, "answer": "A", "answer_index": 0, "src": "x"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert problem.answer == {"letter": "A", "options": DCBA}
    (shuffled,) = sources.load(f"jsonl:{tmp_path}/rows.jsonl?shuffle=3")
    assert shuffled.answer["options"]["ABCD".index(shuffled.answer["letter"])] == "D"


def test_a_contradictory_row_has_no_gold_answer(tmp_path: Path) -> None:
    row = {"question": "Which is a metal?", "options": METALS, "answer": "B", "answer_index": 2}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="different options"):
        sources.load(f"jsonl:{tmp_path}/rows.jsonl")
