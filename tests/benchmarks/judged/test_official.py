"""Cases whose expected values come from the programs of the benchmarks' authors. Each file says from which one, and how."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import catalogue, judged
from tenfold.benchmarks.judged import Judged, arena_hard, hle, multi_challenge, style, writing_bench
from tenfold.benchmarks.stats import pooled
from tenfold.core import Problem

ARENA, HLE, MULTI, WRITING = (
    json.loads((Path(__file__).parent / f"{name}.json").read_text())
    for name in ("arena_hard", "hle", "multi_challenge", "writing_bench")
)


def rated(benchmark: judged.Benchmark, problem: Problem, values: tuple[Any, ...]) -> Judged:
    score = None if None in values else benchmark.score(problem, values)
    return Judged(problem, "response", values, ("",) * len(values), score)


def score(benchmark: judged.Benchmark, rows: list[list[Judged]]) -> float:
    """The mean of the result."""
    return pooled.score([[None if row.score is None else benchmark.part(row) for row in problem] for problem in rows]).mean


@pytest.mark.parametrize("case", ARENA["reading"], ids=lambda case: case["text"])
def test_verdicts_of_arena_hard(case: dict[str, Any]) -> None:
    """The authors' program ends with an error for some labels, such as A>A. Here they count as no verdict."""
    expected = None if isinstance(case["value"], str) else case["value"]
    assert arena_hard.read(case["text"]) == expected


@pytest.mark.parametrize("case", ARENA["battles"], ids=lambda case: str(case["games"])[:80])
def test_scores_of_arena_hard(case: dict[str, Any]) -> None:
    """The authors' interval has few rounds, so that its ends may be a step away: one verdict."""
    rows = []
    for number, (category, *labels) in enumerate(case["games"]):
        problem = Problem(str(number), (), "baseline", "", {"category": category})
        rows.append(rated(arena_hard, problem, tuple(arena_hard.read(f"[[{label}]]") if label else None for label in labels)))
    figures = arena_hard.summary(rows)
    for category, expected in case["categories"].items():
        assert figures[category] == pytest.approx(expected["mean"])
        for end in ("low", "high"):
            step = 0.02 + 1 / expected["verdicts"]
            assert figures[f"{category}, {end} (90%, over verdicts)"] == pytest.approx(expected[end], abs=step)
    if main := case["categories"].get("hard_prompt"):
        counted = [[row] for row in rows if arena_hard.stratum(row.problem)]
        assert score(arena_hard, counted) == pytest.approx(main["mean"])


@pytest.mark.parametrize("case", ARENA["style"], ids=lambda case: case["text"][:20])
def test_style_of_arena_hard(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The length in tokens is the published one, because the tokenizer is optional."""
    tokens, *counts = case["tokens_headers_items_bold"]
    monkeypatch.setattr(style, "length", lambda text: tokens)
    found = style.style(case["text"])
    assert found == (tokens, *(pytest.approx(count / (tokens + 1)) for count in counts))


@pytest.mark.parametrize("case", MULTI["cases"], ids=lambda case: str(case["problems"])[:80])
def test_scores_of_multi_challenge(case: dict[str, Any]) -> None:
    """The authors' program counts a problem as passed if any attempt passes. Its published scores have one attempt.

    It counts an error of the judge as a failure on an axis "NA", and a missing response as a failure. Here both are left out.
    """
    rows = []
    for number, (axis, expected, verdicts) in enumerate(case["problems"]):
        problem = Problem(str(number), (), {"question": "?", "passing_answer": expected}, "", {"axis": axis})
        values = [None if verdict == "ERROR" else verdict for verdict in verdicts or [None]]
        rows.append([rated(multi_challenge, problem, (value,)) for value in values])
    if any(row.score is None for problem in rows for row in problem):
        assert multi_challenge.differences([row for problem in rows for row in problem])
        return
    figures = multi_challenge.summary([row for problem in rows for row in problem])
    assert figures["any attempt"] == pytest.approx(case["scores"]["overall_score"] / 100)
    if all(len(problem) == 1 for problem in rows):
        assert score(multi_challenge, rows) == pytest.approx(case["scores"]["overall_score"] / 100)
        for axis, expected in case["scores"]["axis_scores"].items():
            assert figures[axis.lower()] == pytest.approx(expected / 100)


@pytest.mark.parametrize("case", WRITING["reading"], ids=lambda case: case["text"][:40])
def test_scores_in_answers_of_writing_bench(case: dict[str, Any]) -> None:
    assert writing_bench.read(case["text"]) == case["value"]


@pytest.mark.parametrize("case", WRITING["runs"], ids=lambda case: str(case["responses"])[:80])
def test_scores_of_writing_bench(case: dict[str, Any]) -> None:
    rows = []
    for number, (domain, values) in enumerate(case["responses"]):
        criteria = [{"name": str(criterion)} for criterion in range(len(values))]
        rows.append(rated(writing_bench, Problem(str(number), (), criteria, "", {"domain1": domain}), tuple(values)))
    assert score(writing_bench, [[row] for row in rows]) == pytest.approx(case["scores"]["overall"] / 10)
    figures = writing_bench.summary(rows)
    for domain, expected in case["scores"]["domains"].items():
        assert figures[domain] == pytest.approx(expected / 10)


@pytest.mark.parametrize("case", HLE["reading"], ids=lambda case: case["text"][:120])
def test_judgements_of_humanitys_last_exam(case: dict[str, Any]) -> None:
    expected = None if case["value"] is None else hle.Judgement(*case["value"])
    assert hle.read(case["text"]) == expected


@pytest.mark.parametrize("case", HLE["runs"], ids=lambda case: str(case)[:80])
def test_accuracy_and_calibration_error_of_humanitys_last_exam(case: dict[str, Any]) -> None:
    """The authors' program counts a response without a judgement as incorrect. Here it is left out, and the result says so."""
    responses = case.get("responses") or [
        ["yes" if number < round(share * count) else "no", confidence]
        for confidence, share, count in case["bins"]
        for number in range(count)
    ]
    values: list[hle.Judgement | None] = [hle.Judgement(correct == "yes", confidence) for correct, confidence in responses]
    missing = case.get("missing", 0)
    rows = [rated(hle, Problem(str(number), (), "42", ""), (value,)) for number, value in enumerate(values + [None] * missing)]
    assert hle.summary(rows)["calibration error"] == pytest.approx(case["scores"]["unrounded"])
    assert round(hle.summary(rows)["calibration error"], 2) * 100 == pytest.approx(case["scores"]["calibration_error"])
    share_of_all = score(hle, [[row] for row in rows]) * len(values) / len(rows)
    assert 100 * share_of_all == pytest.approx(case["scores"]["accuracy"], abs=0.005)
    assert any(f"{missing} responses are left out" in text for text in hle.differences(rows)) == (missing > 0)


def test_the_request_to_the_judge_of_humanitys_last_exam() -> None:
    metadata = catalogue.settings("hle")["metadata"]
    asked = judged.settings.of_task(hle, metadata, f"openai:{HLE['request']['model']}", None)
    assert judged.settings.is_published(metadata, f"openai:{HLE['request']['model']}")
    assert asked.sampling.max_tokens == HLE["request"]["max_completion_tokens"]
    assert asked.sampling.temperature == 1  # the API's default, because the program sets none
    assert HLE["request"]["response_format"] == hle.RESPONSE_FORMAT
