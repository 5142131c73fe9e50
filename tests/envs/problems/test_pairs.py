import json
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet
import pytest

from tenfold.core import UserError
from tenfold.envs.problems import pairs

GSM8K = {
    "question": "How many are 2 and 3?",
    "ground_truth": "5",
    "6b_finetuning": {"is_correct": False, "solution": "2 + 3 = 6"},
    "6b_verification": {"is_correct": True, "solution": "2 + 3 = 5"},
    "175b_finetuning": {"is_correct": True, "solution": "5"},
    "175b_verification": {"is_correct": False, "solution": "It is 7"},
}


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{path}"


def test_a_row_is_a_prompt_with_a_better_and_a_worse_response(tmp_path: Path) -> None:
    (pair,) = pairs.load(written(tmp_path / "p.jsonl", {"prompt": "Say hello.", "chosen": "Hello!", "rejected": "No."}))
    assert (pair.prompt, pair.chosen, pair.rejected) == (({"role": "user", "content": "Say hello."},), "Hello!", "No.")


def test_responses_may_be_conversations_with_the_prompt(tmp_path: Path) -> None:
    prompt, better, worse = (
        {"role": role, "content": text} for role, text in (("user", "Hi?"), ("assistant", "Hi!"), ("assistant", "no"))
    )
    (pair,) = pairs.load(written(tmp_path / "p.jsonl", {"chosen": [prompt, better], "rejected": [prompt, worse]}))
    assert (pair.prompt, pair.chosen, pair.rejected, pair.prompt_text) == ((prompt,), "Hi!", "no", "Hi?")


def test_a_null_prompt_is_no_prompt(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi!"}]
    row = {"prompt": None, "chosen": turns, "rejected": [turns[0], {"role": "assistant", "content": "no"}]}
    (pair,) = pairs.load(written(tmp_path / "p.jsonl", row))
    assert (pair.prompt_text, pair.chosen) == ("Hi?", "Hi!")


def test_a_prompt_may_be_a_conversation_as_text_with_a_system_column(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi?"}]
    row = {"messages": json.dumps(turns), "system": "Be kind.", "chosen": "a", "rejected": "b"}
    (pair,) = pairs.load(written(tmp_path / "p.jsonl", row))
    assert pair.prompt == ({"role": "system", "content": "Be kind."}, *turns)


def test_texts_can_be_encoded(tmp_path: Path) -> None:
    (pair,) = pairs.load(written(tmp_path / "p.jsonl", {"prompt": "q\ud800", "chosen": "a\ud800", "rejected": "b"}))
    assert (pair.prompt_text, pair.chosen) == ("q\ufffd", "a\ufffd")


def test_calls_in_a_table_have_only_their_own_arguments(tmp_path: Path) -> None:
    def turns(**arguments: int) -> list[dict[str, Any]]:
        return [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]

    row = {"prompt": "q", "chosen": turns(a=1), "rejected": turns(b=2)}
    other = {"prompt": "r", "chosen": turns(b=1), "rejected": turns(a=2)}
    arrow.parquet.write_table(arrow.Table.from_pylist([row, other]), tmp_path / "p.parquet")
    for pair in pairs.load(f"parquet:{tmp_path / 'p.parquet'}"):
        assert "null" not in pair.chosen + pair.rejected


def test_columns_can_be_named(tmp_path: Path) -> None:
    arrow.parquet.write_table(arrow.Table.from_pylist([{"task": "t", "refined": "r", "raw": "u"}]), tmp_path / "p.parquet")
    (pair,) = pairs.load(f"parquet:{tmp_path / 'p.parquet'}?prompt=task&chosen=refined&rejected=raw")
    assert (pair.prompt_text, pair.chosen, pair.rejected) == ("t", "r", "u")


def test_graded_solutions_give_a_pair_of_each_correct_and_each_incorrect_one(tmp_path: Path) -> None:
    uri = written(
        tmp_path / "p.jsonl", GSM8K, {**GSM8K, "question": "all wrong", "6b_verification": None, "175b_finetuning": None}
    )
    found = list(pairs.load(uri))
    assert {(pair.chosen, pair.rejected) for pair in found} == {
        (right, wrong) for right in ("2 + 3 = 5", "5") for wrong in ("2 + 3 = 6", "It is 7")
    }
    assert len(found) == 4
    assert {pair.prompt_text for pair in found} == {"How many are 2 and 3?"}
    named = list(pairs.load(written(tmp_path / "q.jsonl", GSM8K | {"a": "5", "b": "6"}) + "?chosen=a&rejected=b"))
    assert [(pair.chosen, pair.rejected) for pair in named] == [("5", "6")]
    assert list(pairs.load(f"{uri}?per_question=3")) == list(found[:3])
    assert list(pairs.load(f"{uri}?limit=1")) == list(found[:1])


def test_null_solutions_of_a_table_make_no_pair(tmp_path: Path) -> None:
    null = {"is_correct": None, "solution": None}
    rows = [GSM8K | {"175b_verification": null}, GSM8K | {"question": "none?"} | dict.fromkeys([*GSM8K][2:], null)]
    arrow.parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    found = list(pairs.load(f"parquet:{tmp_path / 'p.parquet'}"))
    assert {pair.rejected for pair in found} == {"2 + 3 = 6"}
    assert {pair.prompt_text for pair in found} == {GSM8K["question"]}


def test_pairs_of_equal_responses_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no pairs"):
        list(pairs.load(written(tmp_path / "p.jsonl", {"prompt": "q", "chosen": "a", "rejected": "a "})))


def test_a_function_may_generate_pairs(lab: Path) -> None:
    row = "{'prompt': f'question {n}', 'chosen': 'refined', 'rejected': 'unrefined'}"
    (lab / "lab_pairs.py").write_text(f"def refined(size=3):\n    return [{row} for n in range(size)]\n")
    assert [pair.prompt_text for pair in pairs.load("generate:lab_pairs:refined?size=2")] == ["question 0", "question 1"]


def test_a_share_of_the_prompts_is_held_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {n // 3}", "chosen": f"good {n}", "rejected": "bad"} for n in range(900)]
    found = list(pairs.load(written(tmp_path / "p.jsonl", *rows)))
    held_out = {pair.prompt_text for pair in found if pairs.in_held_out(pair.prompt_text, 0.2)}
    assert 0.12 < len(held_out) / 300 < 0.28
    assert not any(pairs.in_held_out(pair.prompt_text, 0.0) for pair in found)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"prompt": "q", "chosen": "a"}, "", r"row 1: there is no column 'rejected'; the columns are prompt, chosen"),
        ({"chosen": "a", "rejected": "b"}, "", r"row 1: there is no prompt"),
        ({"prompt": "q", "chosen": 3, "rejected": "b"}, "", r"row 1: chosen must be text or a list of messages, got 3"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "", r"row 1: rejected must be text or a list of messages, got None"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "", r"row 1: a prompt must be text or a list"),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "", r"row 1: there is no prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "?most=2", r"unknown option 'most'; the options are prompt, chosen"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "?limit=-1", r"limit: expected an integer"),
    ],
)
def test_a_row_without_a_pair_is_reported(tmp_path: Path, row: dict[str, Any], options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(pairs.load(written(tmp_path / "p.jsonl", row) + options))


@pytest.mark.parametrize("uri", ["p.jsonl", "reasoning_gym:chain_sum", "jsonl:nowhere.jsonl", "jsonl:"])
def test_an_invalid_uri_is_rejected(uri: str) -> None:
    with pytest.raises(UserError):
        list(pairs.load(uri))
