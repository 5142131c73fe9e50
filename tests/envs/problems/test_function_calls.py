import json
from pathlib import Path

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs.problems import sources

ROW = {
    "question": "How large is a triangle of base 10 and height 5?",
    "function": [{"name": "area", "parameters": {"properties": {"base": {"type": "integer"}}, "required": ["base"]}}],
    "ground_truth": [{"area": {"base": [10]}}],
}
CALL = '<tool_call>{"name": "area", "arguments": {"base": 10}}</tool_call>'


def own_category(folder: Path, rows: bytes, golds: bytes) -> None:
    """Writes the files of the category "own"."""
    (folder / "possible_answer").mkdir()
    (folder / "BFCL_v4_own.json").write_bytes(rows)
    (folder / "possible_answer/BFCL_v4_own.json").write_bytes(golds)


def test_rows_of_the_leaderboard_become_problems(lab: Path) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(ROW))
    env = tenfold.make("tenfold/FunctionCalls-v0", problems="jsonl:rows.jsonl")
    prompt, info = env.reset(seed=0)
    assert [turn["role"] for turn in info["messages"]] == ["system", "user"]
    assert '"name": "area"' in prompt
    assert env.step(CALL)[1] == 1
    env.reset(seed=0)
    assert env.step("It is 25.")[1] == 0


def test_the_prompt_names_the_language_and_keeps_the_system_turn(lab: Path) -> None:
    turns = [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How large?"}]]
    (lab / "rows.jsonl").write_text(json.dumps(ROW | {"question": turns, "language": "java"}))
    (problem,) = sources.load(f"jsonl:{lab}/rows.jsonl")
    assert [turn["role"] for turn in problem.prompt] == ["system", "user"]
    assert problem.prompt[0]["content"].startswith("Be brief.")
    assert "source text in Java" in problem.prompt[0]["content"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": [[{"role": "user", "content": turn}] for turn in ("How large?", "And now?")]}, "has several turns"),
        ({"function": 5}, "expected a row with question, function and ground_truth"),
    ],
)
def test_a_row_of_another_form_gives_a_one_line_error(lab: Path, change: dict[str, object], words: str) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(ROW | change))
    with pytest.raises(UserError, match=words):
        sources.load(f"jsonl:{lab}/rows.jsonl")


def test_an_absent_language_is_python(lab: Path) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(ROW | {"language": None}))
    (problem,) = sources.load(f"jsonl:{lab}/rows.jsonl")
    assert "source text" not in problem.prompt[0]["content"]
    assert tenfold.verify(problem.answer, CALL, verifier="function_calls").score == 1


def test_an_unknown_category_lists_the_categories() -> None:
    assert len(sources.load("bfcl:simple_python")) == 400
    irrelevant = sources.load("bfcl:irrelevance,parallel?limit=1")[0]
    assert irrelevant.answer["calls"] == []
    assert tenfold.verify(irrelevant.answer, CALL, verifier="function_calls").score == 0


@pytest.mark.parametrize(
    ("rows", "golds", "words"),
    [
        (b'{"id": "\xe9"}', b"", "line 1: not JSON"),
        (b"[1]", b"", "line 1: expected a JSON object with an id"),
        (b'{"id": "a"}', b"{}", "line 1: expected a JSON object with an id"),
        (b'{"id": "a"}', b'{"id": "a"}', "own has no gold calls for a"),
    ],
)
def test_an_unreadable_category_gives_a_one_line_error(lab: Path, rows: bytes, golds: bytes, words: str) -> None:
    own_category(lab, rows, golds)
    with pytest.raises(UserError, match=words):
        sources.load(f"bfcl:own?folder={lab}")


def test_blank_lines_of_a_category_are_skipped(lab: Path) -> None:
    gold = json.dumps({"id": "a", "ground_truth": ROW["ground_truth"]})
    own_category(lab, f"\ufeff{json.dumps(ROW | {'id': 'a'})}\n\n".encode(), f"{gold}\n\n".encode())
    assert [problem.id for problem in sources.load(f"bfcl:own?folder={lab}")] == ["a"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bfcl:simple_cobol", "the categories are .*simple_java"),
        ("bfcl:multi_turn_base", "expected a row with question"),
        ("bfcl:?folder=nowhere", "the categories are none"),
    ],
)
def test_a_user_error_is_one_line(uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        sources.load(uri)
