"""The overall figure of BFCL-V4."""

import importlib.util
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tenfold import cli
from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.report import bfcl, table
from tenfold.core import Completion, Conversation, Sampling
from tenfold.envs.problems import sources

SINGLE = {
    **{"simple_python": 0.9, "simple_java": 0.6, "simple_javascript": 0.3},
    **{"multiple": 0.8, "parallel": 0.7, "parallel_multiple": 0.5},
    **{"live_simple": 0.6, "live_multiple": 0.5, "live_parallel": 0.25, "live_parallel_multiple": 0.5},
    **{"irrelevance": 0.8, "live_irrelevance": 0.6, "live_relevance": 1.0},
}
needs_data = pytest.mark.skipif(importlib.util.find_spec("bfcl_eval") is None, reason="needs bfcl-eval")


SIZES = {category: 20 for category in SINGLE} | {"live_multiple": 50, "live_parallel": 16, "live_parallel_multiple": 20}
TURNS = {"multi_turn_base": 0.4, "multi_turn_miss_func": 0.2, "multi_turn_miss_param": 0.3, "multi_turn_long_context": 0.1}
AGENTIC = dict(zip(itertools.chain(*bfcl.AGENTIC), [0.2, 0.0, 0.1, 0.2, 0.3], strict=True))


def policy(means: dict[str, float], problems: int = 20) -> dict[str, dict[str, list[float]]]:
    """Returns scores of one sample per problem with these means."""
    return {
        category: {f"_{number}": [float(number < round(mean * problems))] for number in range(problems)}
        for category, mean in means.items()
    }


def test_sections_have_the_leaderboards_weights() -> None:
    sections = bfcl.sections(policy(SINGLE | TURNS | AGENTIC))
    live = (258 * 0.6 + 1053 * 0.5 + 16 * 0.25 + 24 * 0.5) / 1351
    expected = {"non-live": 0.65, "live": live, "irrelevance": 0.7, "multi-turn": 0.25, "web search": 0.1, "memory": 0.2}
    overall = 0.065 + 0.1 * live + 0.07 + 0.075 + 0.06
    assert {name: found.mean for name, found in sections.items()} == pytest.approx(expected | {"overall": overall})
    assert all(0 <= found.low < found.mean < found.high <= 1 for found in sections.values())


def test_a_section_that_is_not_measured_counts_as_0_and_is_named() -> None:
    measured = policy(SINGLE | {"multi_turn_base": 0.5})
    sections = bfcl.sections(measured)
    assert [*sections] == ["non-live", "live", "irrelevance", "overall"]
    assert sections["overall"].mean == pytest.approx(0.1 * sum([found.mean for found in sections.values()][:3]))
    printed = io.StringIO()
    Console(file=printed, width=200).print(table.bfcl(measured))
    missing = "multi-turn (multi_turn_miss_func, multi_turn_miss_param, multi_turn_long_context), web search, memory"
    assert f"not measured, so 0: {missing}" in " ".join(printed.getvalue().split())
    assert bfcl.sections(policy({"simple_python": 1.0, "multiple": 1.0})) == {}


def test_a_policy_that_solves_nothing_has_an_interval() -> None:
    overall = bfcl.sections(policy(dict.fromkeys([*SINGLE, *TURNS, *AGENTIC], 0.0)))["overall"]
    assert overall.mean == overall.low == 0
    assert 0.01 < overall.high < 0.1


FACTORS = dict(zip([*SINGLE, *TURNS, *AGENTIC], itertools.cycle([0.9, 0.5, 0.7, 0.3]), strict=False))
"""The pass rate of a problem is the ability of a policy for it, times the factor of the category."""


def simulated(generator: np.random.Generator, gain: float = 1.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the scores of two policies with the same problems. The rates of the second are `gain` times those of the first.

    Half of the abilities are above 2/3. The variants of a problem of several turns have the same ability, and so have those of
    memory and web search.
    """
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    shared = {category: generator.beta(1.2, 0.8, 40) for same in bfcl.SAME_PROBLEMS for category in same[:1]}
    for category, factor in FACTORS.items():
        same = next((same for same in bfcl.SAME_PROBLEMS if category in same), None)
        abilities = shared[same[0]] if same else generator.beta(1.2, 0.8, SIZES[category])
        for scores, rate in ((first, factor), (second, factor * gain)):
            draws = generator.random((len(abilities), 2)) < rate * abilities[:, None]
            scores[category] = {f"_{number}": row for number, row in enumerate(draws.astype(float).tolist())}
    return first, second


def test_95_percent_of_the_intervals_contain_the_true_score_and_the_true_difference() -> None:
    generator, simulations, gain = np.random.default_rng(0), 300, 0.8
    truth = {name: 0.6 * sum(w * FACTORS[category] for category, w in bfcl.weights(name).items()) for name in bfcl.WEIGHTS}
    truth["overall"] = sum(weight * truth[name] for name, weight in bfcl.WEIGHTS.items())
    hits, paired_hits = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(simulations):
        first, second = simulated(generator, gain)
        differences = bfcl.compare("first", first, "second", second).differences
        for name, found in bfcl.sections(first).items():
            hits[name] += found.low <= truth[name] <= found.high
            paired_hits[name] += differences[name].low <= (gain - 1) * truth[name] <= differences[name].high
    for covered in (hits, paired_hits):
        assert all(0.915 <= count / simulations <= 0.99 for count in covered.values()), covered


def test_a_difference_is_paired_by_problem_and_names_what_is_not_compared() -> None:
    first, second = policy(SINGLE | TURNS, 40), policy(SINGLE | AGENTIC, 40)
    for scores in (first["multiple"], second["multiple"]):
        scores["_first_only" if scores is first["multiple"] else "_second_only"] = [0.0]
    second["irrelevance"] = {f"_{number}": [float(number < 36)] for number in range(40)}  # 10 points more
    found = bfcl.compare("A", first, "B", second)
    assert found.name == "B - A"
    assert [*found.differences] == ["non-live", "live", "irrelevance", "overall"]
    assert found.differences["irrelevance"].mean == pytest.approx(0.05)
    assert found.differences["irrelevance"].low > -0.02  # unpaired, it is below -0.1
    assert found.differences["overall"].mean == pytest.approx(0.005)
    assert found.problems == 12 * 40  # all categories of one turn but live_relevance, which is in no section
    assert found.not_compared == ["multi-turn: not measured in B", "web search: not measured in A", "memory: not measured in A"]
    half = bfcl.compare("A", policy(SINGLE), "B", policy({name: mean for name, mean in SINGLE.items() if name != "multiple"}))
    assert half.not_compared[0] == "non-live: multiple not measured in B"


class AnswersPolicy:
    """Answers each prompt with its own text."""

    def __init__(self, answers: dict[str, str]):
        self.answers = answers

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [
            [Completion(self.answers[conversation[-1]["content"]], "stop", (1,))] * samples for conversation in conversations
        ]


@needs_data
def test_gold_calls_get_the_whole_score_in_each_category_of_one_turn(lab: Path) -> None:
    uri = str(catalogue.settings("bfcl_v4_single_turn")["metadata"]["problems"])
    answers = {}
    for problem in sources.load(f"{uri}&each=1"):  # the leaderboard does not read the map in the second problem of Java
        answer: Any = problem.answer
        text = f"[{answer['functions'][0]['name']}()]" if answer.get("any_call") else str(problem.meta["solution"])
        answers[problem.prompt[-1]["content"]] = text
    scored = evaluate.evaluate("bfcl_v4_single_turn", AnswersPolicy(answers), samples=1, problems=f"{uri}&each=1")
    assert len(scored.figures) == 13
    assert {name: score for name, score in scored.figures.items() if score < 1} == {}


@needs_data
def test_the_command_prints_the_sections_and_compares_them(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [request.name for request in catalogue.expand(["bfcl_v4"])] == [*catalogue.BFCL]
    uri = "generate:tenfold.envs.bfcl.problems:single_turn?categories=irrelevance,live_irrelevance&each=4"
    for name, text in (("declines", "None of them fits."), ("calls", "[f(x=1)]")):
        command = ["bfcl_v4_single_turn", "--problems", uri, "--samples", "1", "--json", "--out", name]
        assert cli.main(["bench", *command, "--policy", f"scripted:{text}"]) == 0
        captured = capsys.readouterr()
        row = json.loads(captured.out.splitlines()[-1])
        assert row["name"] == "bfcl_v4"
        assert row["sections"]["irrelevance"]["score"] == (name == "declines")
        assert row["sections"]["overall"]["score"] == pytest.approx(0.1 * (name == "declines"))
        assert [*row["not_measured"]] == ["non-live", "live", "multi-turn", "web search", "memory"]
        assert "not measured, so 0: non-live, live, multi-turn, web search, memory" in " ".join(captured.err.split())
    assert cli.main(["bench", "compare", "declines", "calls", "--json", "--out", "pair.html"]) == 0
    captured = capsys.readouterr()
    task, overall = map(json.loads, captured.out.splitlines())
    assert (task["first"], task["second"], task["difference"], task["problems"]) == ("declines", "calls", -1, 8)
    assert overall["sections"]["irrelevance"]["difference"] == -1
    assert overall["not_compared"][0] == "non-live: not measured in declines, not measured in calls"
    assert "not compared, so 0 in both: web search" in " ".join(captured.err.split())
    page = (lab / "pair.html").read_text()
    assert "BFCL-V4: calls - declines" in page
    assert "-10.0 [" in page
