"""Training examples: labels, thinking, shares of sources."""

import json
import math
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.pipelines.recipe import runner
from tenfold.pipelines.sft import examples
from tenfold.pipelines.trainer.data.tokenized import IGNORED
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=1&heads=2"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[1]


def test_labels_cover_the_answer_alone(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"question": "2 + 2?", "answer": "it is 4 #### 4"}))
    (problem,) = sources.load(f"jsonl:{tmp_path}/r.jsonl?answer_after=%23%23%23%23")
    made = examples.example(problem, tokenizer, "{prompt} Go.", None, "So: {answer}", None)
    labels = [token for token in made["labels"] if token != IGNORED]
    assert tokenizer.decode(made["input_ids"]) == "<|user|>2 + 2? Go.<|end|><|assistant|>So: it is 4 #### 4<|end|>"
    assert tokenizer.decode(labels) == "So: it is 4 #### 4<|end|>"
    assert made["input_ids"][-len(labels) :] == labels


def text_and_labels(
    path: Path, row: dict[str, Any], tokenizer: Any, thinking_template: str | None = None, options: str = ""
) -> tuple[str, list[str]]:
    """Returns the whole text of a row's example, and the parts of it that have labels."""
    path.write_text(json.dumps(row))
    (problem,) = sources.load(f"jsonl:{path}{options}")
    made = examples.example(problem, tokenizer, "{prompt}", None, "{answer}", thinking_template)
    parts: list[list[int]] = [[]]
    for token, label in zip(made["input_ids"], made["labels"], strict=True):
        assert label in (token, IGNORED)
        parts[-1].append(token) if label == token else parts.append([])
    return tokenizer.decode(made["input_ids"]), [tokenizer.decode(tokens) for tokens in parts if tokens]


def test_labels_cover_the_assistants_turns_and_not_a_tools_reply(tmp_path: Path, tokenizer: Any) -> None:
    turns = [("user", "2 + 2?"), ("assistant", "add(2, 2)"), ("tool", "4"), ("assistant", "It is 4.")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    whole, parts = text_and_labels(tmp_path / "r.jsonl", row, tokenizer)
    assert whole == "<|user|>2 + 2?<|end|><|assistant|>add(2, 2)<|end|><|tool|>4<|end|><|assistant|>It is 4.<|end|>"
    assert parts == ["add(2, 2)<|end|>", "It is 4.<|end|>"]


def test_the_assistant_may_begin_and_may_have_two_turns_in_a_row(tmp_path: Path, tokenizer: Any) -> None:
    turns = [("assistant", "Hello."), ("user", "2 + 2?"), ("assistant", "It is"), ("assistant", "4.")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    whole, parts = text_and_labels(tmp_path / "r.jsonl", row, tokenizer)
    assert whole == "".join(f"<|{role}|>{text}<|end|>" for role, text in turns)
    assert parts == ["It is<|end|>", "4.<|end|>"]


def test_thinking_without_reasoning_tags_needs_thinking_as(tmp_path: Path, tokenizer: Any) -> None:
    row = {"question": "2 + 2?", "answer": "4", "thinking": "Two twice."}
    with pytest.raises(UserError, match="no <think> tags; set thinking_template"):
        text_and_labels(tmp_path / "r.jsonl", row, tokenizer)
    assert text_and_labels(tmp_path / "r.jsonl", row, tokenizer, "{thinking} So: {answer}")[1] == ["Two twice. So: 4<|end|>"]
    assert text_and_labels(tmp_path / "r.jsonl", row, tokenizer, "")[1] == ["4<|end|>"]
    row["thinking"] = "print('{answer}')"  # is not a template
    assert text_and_labels(tmp_path / "r.jsonl", row, tokenizer, "{thinking} So: {answer}")[1] == [
        "print('{answer}') So: 4<|end|>"
    ]


@pytest.mark.parametrize("missing", [None, "", " ", float("nan"), "nan", []])
def test_a_missing_solution_or_thinking_is_not_a_text(tmp_path: Path, tokenizer: Any, missing: object) -> None:
    row = {"question": "2 + 2?", "answer": "4", "worked": missing, "reasons": missing}
    options = "?solution=worked&thinking=reasons"
    assert text_and_labels(tmp_path / "r.jsonl", row, tokenizer, options=options)[1] == ["4<|end|>"]
    (tmp_path / "r.jsonl").write_text(json.dumps(row | {"answer": None}))
    (problem,) = sources.load(f"jsonl:{tmp_path}/r.jsonl{options}")
    assert not examples.is_trainable(problem)


@pytest.mark.parametrize("opens", [False, True])
def test_the_opening_tag_of_thinking_appears_once(tmp_path: Path, opens: bool) -> None:
    thinks = checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[1]
    opening = "<think>\n" if opens else ""
    thinks.chat_template = thinks.chat_template.replace(
        "<|assistant|>' }}", "<|assistant|>" + opening.replace("\n", "\\n") + "' }}"
    )
    thinks.chat_template += "{# <think> #}"
    row = {"question": "2 + 2?", "answer": "4", "thinking": "Two twice."}
    whole, parts = text_and_labels(tmp_path / "r.jsonl", row, thinks)
    assert whole == "<|user|>2 + 2?<|end|><|assistant|><think>\nTwo twice.\n</think>\n\n4<|end|>"
    assert parts == [("" if opens else "<think>\n") + "Two twice.\n</think>\n\n4<|end|>"]


def test_the_opening_tag_of_each_turns_reasoning_appears_once(tmp_path: Path) -> None:
    thinks = checkpoints.load(checkpoints.checkpoint(TINY), torch.float32)[1]
    thinks.chat_template = thinks.chat_template.replace("<|assistant|>'", "<|assistant|><think>\n'")
    turns = ["<think>\nAdd.\n</think>\nadd(2, 2)", "<think>\nFour.\n</think>\nIt is 4."]
    messages = [("user", "2 + 2?"), ("assistant", turns[0]), ("tool", "4"), ("assistant", turns[1])]
    row = {"messages": [{"role": role, "content": text} for role, text in messages]}
    whole, parts = text_and_labels(tmp_path / "r.jsonl", row, thinks)
    assert whole.count("<think>") == 2
    assert parts == [turn.removeprefix("<think>\n") + "<|end|>" for turn in turns]


@hypothesis.given(st.lists(st.lists(st.integers(1, 200), min_size=1, max_size=30), min_size=2, max_size=4), st.integers(0, 99))
def test_every_source_has_its_share_of_the_tokens_at_every_point(lengths: list[list[int]], seed: int) -> None:
    """A source's tokens differ from its share by at most the number of sources times the longest example."""
    shares = [number / sum(range(1, len(lengths) + 1)) for number in range(1, len(lengths) + 1)]
    chosen = examples.in_shares(lengths, shares, 300, seed).tolist()
    assert chosen[:100] == examples.in_shares(lengths, shares, 100, seed).tolist()
    totals = [0] * len(lengths)
    longest = max(max(row) for row in lengths)
    for source, number in chosen:
        totals[source] += lengths[source][number]
        limit = len(lengths) * longest
        assert all(abs(total - share * sum(totals)) <= limit for total, share in zip(totals, shares, strict=True))
    for source, row in enumerate(lengths):
        passes = [number for chosen_source, number in chosen if chosen_source == source]
        for start in range(0, len(passes) - len(row) + 1, len(row)):
            assert sorted(passes[start : start + len(row)]) == list(range(len(row)))


def run_sft(lab: Path, name: str = "sft", **changes: Any) -> dict[str, Any]:
    stage = {"kind": "sft", "name": "sft", "steps": 25, "batch_size": 8, "learning_rate": 1e-3} | changes
    content = {"name": "shares", "seed": 1, "policy": TINY, "stages": [stage]}
    (lab / "recipe.yaml").write_text(json.dumps(content))
    runner.run(lab / "recipe.yaml", out=lab / name)
    return json.loads((lab / name / "sft/stage.json").read_text())["metrics"]


def test_a_mixture_has_its_shares_within_one_percent(lab: Path) -> None:
    for name, words in (("short", 2), ("long", 20)):
        rows = [{"question": f"{name} {n}?", "answer": " ".join([str(n)] * (words + n % 7))} for n in range(30)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_sft(lab, problems=["jsonl:short.jsonl", "jsonl:long.jsonl"], shares=[0.3, 0.7])
    assert list(found["shares"].values()) == pytest.approx([0.3, 0.7], abs=0.01)


def test_answers_that_the_verifier_rejects_are_left_out_and_counted(lab: Path) -> None:
    rows = [{"question": f"1 + {n}?", "answer": str(1 + n), "worked": f"It is {1 + n + (n % 3 == 0)}."} for n in range(30)]
    Path("r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_sft(lab, problems="jsonl:r.jsonl?solution=worked", verifier="math")
    assert (found["examples"], found["why_left_out"]) == (20, {"incorrect": 10})


def test_longer_examples_are_left_out_or_truncated_and_counted(lab: Path) -> None:
    rows = [{"question": "?", "answer": "1 " * n} for n in (1, 2, 90, 91)]
    Path("r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_sft(lab, problems="jsonl:r.jsonl", max_tokens=40)
    assert (found["examples"], found["why_left_out"]) == (2, {"too long": 2})
    found = run_sft(lab, problems="jsonl:r.jsonl", max_tokens=40, truncate=True, name="cut")
    assert (found["examples"], found["cut"], found["left_out"]) == (4, 2, 0)


def test_an_example_whose_target_is_truncated_away_is_left_out_and_not_counted_as_truncated(lab: Path) -> None:
    rows = [{"question": "1 " * before, "answer": "1 " * after} for before, after in ((1, 1), (1, 90), (90, 1))]
    Path("r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_sft(lab, problems="jsonl:r.jsonl", max_tokens=40, truncate=True)
    assert (found["examples"], found["cut"], found["left_out"]) == (2, 1, 1)
    assert found["why_left_out"] == {"no target within max_tokens": 1}
    Path("r.jsonl").write_text(json.dumps(rows[-1]))
    with pytest.raises(UserError, match=r"no usable example \(1 no target within max_tokens; max_tokens=40\)"):
        run_sft(lab, problems="jsonl:r.jsonl", max_tokens=40, truncate=True, name="none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": [0.5, 0.4]}, "sum to 1, got a sum of 0.9"),
        ({"shares": [math.nan, 1.0]}, "sum to 1, got a sum of nan"),
        ({"problems": []}, "problems: expected at least one URI"),
        ({"shares": [1.0]}, "1 numbers, but problems has 2 URIs"),
        ({"verifier": "nobody"}, "no verifier named 'nobody'"),
    ],
)
def test_impossible_settings_are_errors_before_training(lab: Path, changes: dict[str, Any], message: str) -> None:
    Path("r.jsonl").write_text(json.dumps({"question": "?", "answer": "1"}))
    with pytest.raises(UserError, match=message):
        run_sft(lab, **{"problems": ["jsonl:r.jsonl", "jsonl:r.jsonl?limit=1"]} | changes)
