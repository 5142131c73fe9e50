"""Episodes of a step as text."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines.rl import show


def episode(step: int, problem: int, sample: int, text: str, score: float | None = 1.0) -> dict[str, Any]:
    verdict = {"status": "scored" if score is not None else "fault", "score": score, "method": "exact", "reason": text}
    messages = [{"role": "user", "content": f"{problem}?"}, {"role": "assistant", "content": text}]
    return {
        "step": step,
        "problem": problem,
        "problem_id": f"p{problem}",
        "sample": sample,
        "messages": messages,
        "verdict": verdict,
        "tokens": 3,
        "finish_reason": "length" if text == "cut" else "stop",
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run/grpo/episodes"
    folder.mkdir(parents=True)
    rows = [episode(1, 2, 0, "two"), episode(1, 1, 1, "cut", None), episode(1, 1, 0, "one"), episode(2, 1, 0, "later")]
    (folder / "7.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    return tmp_path / "run"


def test_the_episodes_of_a_step_are_sorted_by_problem_and_sample(run: Path) -> None:
    step, episodes = show.read(run, step=1)
    assert (step, [(row["problem_id"], row["sample"]) for row in episodes]) == (1, [("p1", 0), ("p1", 1), ("p2", 0)])
    assert show.read(run / "grpo")[1][0]["messages"][1]["content"] == "later"
    assert show.read(run, "grpo") == show.read(run)


def test_the_command_shows_messages_and_verdicts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(run), "--step", "1", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "=== p1, sample 0: score 1 (scored, by exact: one); 3 tokens",
        "user: 1?",
        "assistant: one",
        "",
        "=== p1, sample 1: no score (fault, by exact: cut); 3 tokens, truncated",
        "user: 1?",
        "assistant: cut",
        "",
        "step 1: 2 of 3 episodes",
    ]
    assert cli.main(["show", str(run), "--step", "1", "--problem", "p2"]) == 0
    assert "assistant: two" in capsys.readouterr().out
    assert cli.main(["show", str(run), "--problem", "p9"]) == 2


def test_tool_calls_of_a_prompt_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = episode(3, 1, 0, "It is 4.")
    call = {"type": "function", "function": {"name": "add", "arguments": {"x": 2}}}
    row["messages"].insert(1, {"role": "assistant", "content": "", "tool_calls": [call]})
    (run / "grpo/episodes/8.jsonl").write_text(json.dumps(row) + "\n")
    assert cli.main(["show", str(run)]) == 0
    assert '<tool_call>\n{"name": "add", "arguments": {"x": 2}}\n</tool_call>' in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["problem_id", "finish_reason", "status", "method"])
def test_an_episode_without_a_field_is_an_error(run: Path, missing: str) -> None:
    row = episode(3, 1, 0, "one")
    (row if missing in row else row["verdict"]).pop(missing)
    (run / "grpo/episodes/8.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=f"KeyError: '{missing}'"):
        show.read(run, step=3)


@pytest.mark.parametrize(
    ("stage", "step", "words"),
    [("sft", None, "no GRPO stage 'sft'; choose one with --stage: grpo"), (None, 3, "no step 3; use 1 to 2")],
)
def test_unknown_stages_and_steps_are_errors_that_list_the_valid_ones(
    run: Path, stage: str | None, step: int | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        show.read(run, stage, step)
    with pytest.raises(UserError, match="no folder"):
        show.read(run / "nowhere")
    (run / "second/episodes").mkdir(parents=True)
    with pytest.raises(UserError, match="choose one with --stage: grpo, second"):
        show.read(run)
    with pytest.raises(UserError, match="no episodes yet"):
        show.read(run, "second")


def test_the_best_and_the_worst_samples_of_a_step(run: Path) -> None:
    rows = [episode(3, 1, sample, f"text {sample}", sample / 10) for sample in range(6)]
    (run / "grpo/episodes/8.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = show.Extremes(run / "grpo")
    assert len(samples(1, 5)) == 2, "a sample without a score is neither good nor bad"
    assert [text.splitlines()[2] for text in samples(3, 2)] == [f"assistant: text {n}" for n in (5, 4, 1, 0)]
    with (run / "grpo/episodes/8.jsonl").open("a") as file:
        file.write(json.dumps(episode(4, 1, 0, "new")) + "\n")
    assert [text.splitlines()[2] for text in samples(4, 2)] == ["assistant: new"]
    assert samples(99, 2) == []


def test_a_line_says_what_matters_of_a_step() -> None:
    row = {"step": 12, "reward": 0.40625, "correct": 0.25, "zero_variance": 0.0625, "truncated": 0.5, "entropy": 0.3079}
    rest = {"kl": 0.0041338, "response_length": 33.4, "seconds": 2.34, "without_score": 2}
    assert show.line(row | rest, 50) == (
        "step 12/50: reward 0.406, 25% correct, 6% groups all equal, 50% truncated, 33 tokens, entropy 0.31, kl 0.00413, "
        "2.3 s, 2 without a score"
    )
    assert show.line({"step": 1, "reward": None, "without_score": 0}, 50) == "step 1/50: "
