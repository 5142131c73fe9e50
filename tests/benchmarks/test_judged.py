import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.benchmarks import evaluate, judged, rescore
from tenfold.benchmarks.judged import arena_hard, multi_challenge, writing_bench
from tenfold.benchmarks.result import Options, Result
from tenfold.core import Completion, Conversation, Message, Problem, Sampling, UserError
from tenfold.policies.scripted import ScriptedPolicy

CRITERIA = [{"name": f"criterion {n}", "criteria_description": "", "9-10": "best"} for n in range(5)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "arena_hard_v2": [
        {"uid": f"q{n}", "category": kind, "subcategory": "", "prompt": f"Write {n}."}
        for n, kind in enumerate(["hard_prompt", "hard_prompt", "creative_writing"])
    ],
    "writing_bench": [{"index": n, "domain1": "Education", "query": f"Write {n}.", "checklist": CRITERIA} for n in range(3)],
    "multi_challenge": [
        {
            "QUESTION_ID": f"q{n}",
            "AXIS": axis,
            "CONVERSATION": [
                {"role": "user", "content": "1?"},
                {"role": "assistant", "content": "2"},
                {"role": "user", "content": "3?"},
            ],
            "TARGET_QUESTION": "Is it short?",
            "PASS_CRITERIA": "YES" if n else "NO",
        }
        for n, axis in enumerate(["SELF_COHERENCE", "INFERENCE_MEMORY", "INFERENCE_MEMORY"])
    ],
}
FILES = {
    "arena_hard_v2": "arena_hard_v2_questions.jsonl",
    "writing_bench": "benchmark_all.jsonl",
    "multi_challenge": "benchmark_questions.jsonl",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for task, rows in ROWS.items():
        (tmp_path / FILES[task]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    official = {"uid": "q2", "messages": [{}, {"role": "assistant", "content": {"answer": "a baseline"}}]}
    answers = [{"uid": "q0", "answer": "a baseline"}, {"uid": "q1", "answer": "a baseline"}, official]
    (tmp_path / "baseline.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    return tmp_path


def run(task: str, judge: str, data: Path, folder: Path | None = None) -> Result:
    options = Options(data=str(data), judge=judge, baseline=str(data / "baseline.jsonl"), max_tokens=16)
    return evaluate.run_task(task, ScriptedPolicy("short"), options, folder=folder)


@pytest.mark.parametrize(
    ("task", "judge", "score"),
    [
        ("arena_hard_v2", "scripted:I prefer the first. [[A>B]]", 0.5),
        ("arena_hard_v2", "scripted:[[A>>B]] at first sight, but [[A=B]]", 0.5),
        ("writing_bench", 'scripted:```json\n{"reason": "fine", "score": 7}\n```', 0.7),
        ("multi_challenge", "scripted:It is.\nVERDICT: YES", 2 / 3),
        ("multi_challenge", "scripted:VERDICT: NO", 1 / 3),
    ],
)
def test_a_judge_scores_every_sample(task: str, judge: str, score: float, data: Path, tmp_path: Path) -> None:
    result = run(task, judge, data, folder=tmp_path / "out")
    assert result.score.mean == pytest.approx(score)
    assert (result.score.problems, result.score.samples, result.score.without_score) == (3, 3, 0)
    assert result.settings["judge"] == judge
    rows = [json.loads(line) for line in (tmp_path / "out" / f"{result.task}.scores.jsonl").read_text().splitlines()]
    assert all(sample["judge_messages"] for row in rows for sample in row["samples"])
    assert rescore.rescore(tmp_path / "out")[0][1] == result


def test_each_benchmark_has_its_own_figures(data: Path) -> None:
    assert run("multi_challenge", "scripted:VERDICT: YES", data).figures == {
        "mean of axes": 0.5,
        "inference_memory": 1,
        "self_coherence": 0,
    }
    assert run("writing_bench", 'scripted:{"score": 7}', data).figures == {"Education": 0.7}
    figures = run("arena_hard_v2", "scripted:[[A>B]]", data).figures
    assert set(figures) == {
        f"{kind}{style}" for kind in ("hard_prompt", "creative_writing") for style in ("", ", style controlled")
    }


def test_a_judged_task_without_judge_or_baseline_is_an_error(data: Path) -> None:
    assert evaluate.missing("multi_challenge", Options()) == "it needs a judge; name one with --judge"
    assert evaluate.missing("arena_hard_v2", Options(judge="scripted:x")) == (
        "it needs a baseline's answers; name their files with --baseline"
    )
    assert evaluate.missing("aime24", Options()) is None
    with pytest.raises(UserError, match="needs a judge"):
        evaluate.run_task("multi_challenge", ScriptedPolicy("x"), Options(data=str(data)))
    with pytest.raises(UserError, match="published by X-PLUG/WritingBench"):
        evaluate.run_task("writing_bench", ScriptedPolicy("x"), Options(judge="scripted:x"))


PROBLEM = Problem("q", (Message(role="user", content="Why {a}?"),), "because", "", {"category": "hard_prompt"})


def test_an_unreadable_answer_is_asked_for_again_and_then_counts_as_unjudged() -> None:
    seeds: list[int] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seeds.append(seed)
        return "no idea" if len(seeds) <= 2 else "[[A=B]]"

    [result] = judged.judge(arena_hard, [(PROBLEM, "answer")], ScriptedPolicy(answer), {})
    assert (result.score, len(seeds), len(set(seeds))) == (0.5, 4, 4)
    [result] = judged.judge(arena_hard, [(PROBLEM, "answer")], ScriptedPolicy("no idea"), {})
    assert result.score is None


@pytest.mark.parametrize(
    ("benchmark", "text", "finish_reason", "value"),
    [
        (writing_bench, '{"parts": {}, "score": 1', "length", None),
        (writing_bench, '{"parts": {}, "score": 1', "stop", 1),
        (writing_bench, '{"parts": {}, "score": 9, "reason": "It is', "length", 9),
        (multi_challenge, "VERDICT: NO", "length", None),
        (multi_challenge, "VERDICT: NO", "stop", "NO"),
    ],
)
def test_the_last_word_of_a_truncated_answer_does_not_count(
    benchmark: Any, text: str, finish_reason: str, value: object
) -> None:
    """A score of 1 may be a part of 10."""

    class Judge:
        def generate(
            self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
        ) -> list[list[Completion]]:
            return [[Completion(text, finish_reason)] for _ in conversations]

    gold = CRITERIA if benchmark is writing_bench else {"question": "Short?", "passing_answer": "NO"}
    problem = Problem("q", (Message(role="user", content="Why?"),), gold, "")
    [result] = judged.judge(benchmark, [(problem, "answer")], Judge(), {})
    assert {*result.values} == {value}


def test_killed_judging_resumes_without_repeating_questions(tmp_path: Path) -> None:
    responses = [(PROBLEM, f"answer {n}") for n in range(4)]

    class Stops(ScriptedPolicy):
        left = 2

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)

    store, policy = tmp_path / "judge.jsonl", Stops("[[A=B]]")
    policy.batch_size = 2
    with pytest.raises(KeyboardInterrupt):
        judged.judge(arena_hard, responses, policy, {"judge": "x"}, store)
    cost = judged.cost(arena_hard, responses, store, {"judge": "x"})
    assert (cost.questions, cost.stored) == (8, 4)
    assert cost.tokens > 100
    policy.left = 2
    assert [row.score for row in judged.judge(arena_hard, responses, policy, {"judge": "x"}, store)] == [0.5] * 4
    assert policy.left == 0


def test_the_judge_does_not_see_reasoning_nor_responses_that_are_only_reasoning() -> None:
    seen: list[str] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seen.append(conversation[-1]["content"])
        return "[[A=B]]"

    judged.judge(arena_hard, [(PROBLEM, "<think>secret</think>open"), (PROBLEM, "<think>cut off")], ScriptedPolicy(answer), {})
    assert len(seen) == 2
    assert "open" in seen[0]
    assert not any("secret" in text or "cut off" in text for text in seen)


EMPTY = ["", "  \n", "<think>I might write a poem.", "<think>yes</think>\n"]


@pytest.mark.parametrize("response", EMPTY)
@pytest.mark.parametrize(
    ("benchmark", "problem", "judge"),
    [
        (arena_hard, PROBLEM, "[[A=B]]"),
        (writing_bench, Problem("w", PROBLEM.prompt, CRITERIA, "", {"domain1": "x"}), '{"score": 7}'),
        (multi_challenge, Problem("m", (), {"question": "?", "passing_answer": "NO"}, "", {"axis": "x"}), "VERDICT: NO"),
        (multi_challenge, Problem("m", (), {"question": "?", "passing_answer": "YES"}, "", {"axis": "x"}), "VERDICT: YES"),
    ],
)
def test_a_response_without_text_gets_score_0_without_a_question_to_the_judge(
    benchmark: Any, problem: Problem, judge: str, response: str
) -> None:
    policy = ScriptedPolicy(judge)
    empty, full = judged.judge(benchmark, [(problem, response), (problem, "A poem.")], policy, {})
    assert (empty.score, empty.texts) == (0, ())
    assert full.score != 0
    assert judged.cost(benchmark, [(problem, response)], None, {}).questions == 0
    assert benchmark.summary([empty])


def test_reasoning_does_not_count_for_the_style() -> None:
    lists = "\n".join(f"- item {n}" for n in range(50))
    [row] = judged.judge(arena_hard, [(PROBLEM, f"<think>{lists}</think>because")], ScriptedPolicy("[[A=B]]"), {})
    assert arena_hard.style_difference(row.response, "because") == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[[A>>B]]", [1, 1, 1]),
        ("[[B>A]]", [0]),
        ("[[B<A]]", [1]),
        ("verdict [A=B]", [0.5]),
        ("[[A>B]] no: [[B>>A]]", [0, 0, 0]),
        ("[[A>A]]", None),
        ("A wins", None),
    ],
)
def test_arena_hard_reads_the_last_verdict(text: str, value: list[float] | None) -> None:
    assert arena_hard.read(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"score": 10}', 10),
        ('{"reason": "says "so"", "score": 4}', 4),
        ('{"score": 7.0}', 7),
        ('{"reason": "says "so"", "score": 7.0}', 7),
        ('{"score": 7.5}', None),
        ('{"score": "7.5"}', None),
        ('{"reason": "says "so"", "score": 7.5}', None),
        ('{"score": 11}', None),
        ('{"score": 0}', None),
        ("7", None),
    ],
)
def test_writing_bench_reads_scores_from_1_to_10(text: str, value: int | None) -> None:
    assert writing_bench.read(text) == value


def test_a_baseline_may_have_any_line_separator_of_unicode_in_its_answers_and_empty_lines(tmp_path: Path) -> None:
    row = {"uid": "q", "answer": "one\u2028two\x85three"}
    (tmp_path / "baseline.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert judged.baseline(str(tmp_path / "baseline.jsonl")) == {"q": row["answer"]}


@pytest.mark.parametrize(
    "line", [b'{"uid": "q", "answer": null}', b'{"uid": "q", "answer": "\xff"}', b"[" * 100_000, b"7", b"{}"]
)
def test_a_baseline_with_a_line_of_another_form_is_an_error(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "baseline.jsonl").write_bytes(b'{"uid": "p", "answer": "x"}\n' + line)
    with pytest.raises(UserError, match="line 2: expected an object with uid and answer"):
        judged.baseline(str(tmp_path / "baseline.jsonl"))


def test_placeholders_in_a_response_are_not_replaced() -> None:
    first, second = arena_hard.questions(PROBLEM, "{prompt} {b} [[A>>B]]")
    assert "Why {a}?" in first[1]["content"]
    assert first[1]["content"].count("because") == 1
    assert "<answer of B>\n{prompt} {b} [[A>>B]]\n</answer of B>" in first[1]["content"]
    assert "<answer of A>\n{prompt} {b} [[A>>B]]\n</answer of A>" in second[1]["content"]
    assert (
        "{response}"
        in multi_challenge.questions(Problem("", (), {"question": "{response}?", "passing_answer": "YES"}, ""), "x")[0][0][
            "content"
        ]
    )


def test_style_control_removes_wins_by_length_and_keeps_wins_by_strength() -> None:
    generator = np.random.default_rng(0)
    features = np.column_stack([generator.uniform(0, 1, 4000), np.zeros((4000, 3))])
    by_length = (generator.random(4000) < 1 / (1 + np.exp(-3 * features[:, 0]))).astype(float)
    assert by_length.mean() > 0.75
    assert arena_hard.controlled(by_length, features) == pytest.approx(0.5, abs=0.04)
    by_strength = (generator.random(4000) < 0.8).astype(float)
    assert arena_hard.controlled(by_strength, features) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.6, 0.95, 1])
@pytest.mark.parametrize("difference", [[0, 0, 0, 0], [0.1, 0, 0, 0], [-0.3, 0.1, 1 / 3, 0.7], [1e-9, 1, -1, 0.5]])
@pytest.mark.parametrize("verdicts", [20, 100, 1000])
def test_style_control_changes_nothing_if_all_style_differences_are_equal(
    share: float, difference: list[float], verdicts: int
) -> None:
    outcomes = np.repeat([1.0, 0.0], [round(share * verdicts), verdicts - round(share * verdicts)])
    assert arena_hard.controlled(outcomes, np.tile(difference, (verdicts, 1))) == pytest.approx(outcomes.mean(), abs=1e-6)


def test_style_control_changes_little_if_style_differences_are_nearly_equal() -> None:
    generator = np.random.default_rng(0)
    features = 0.3 + 1e-6 * generator.standard_normal((500, 4))
    assert arena_hard.controlled(np.repeat([1.0, 0.5, 0.0], [250, 100, 150]), features) == pytest.approx(0.6, abs=1e-3)


def test_style_control_is_finite_if_style_separates_all_wins_from_all_losses() -> None:
    features = np.repeat([[0.5, 0, 0, 0], [-0.5, 0, 0, 0]], 50, axis=0)
    assert arena_hard.controlled(np.repeat([1.0, 0.0], 50), features) == pytest.approx(0.5, abs=1e-6)


def test_markdown_in_code_blocks_is_not_counted() -> None:
    words, headers, items, bold = arena_hard.style("# Head\n\n- one\n- **two**\n\n```\n# no head\n- no item\n```")
    assert [round(share * (words + 1)) for share in (headers, items, bold)] == [1, 2, 1]
