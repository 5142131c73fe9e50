"""The overall figure of BFCL-V4."""

import importlib.util
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tenfold import cli
from tenfold.benchmarks import catalogue, evaluate
from tenfold.benchmarks.report import bfcl, table
from tenfold.benchmarks.result import Result
from tenfold.core import Completion, Conversation, Sampling
from tenfold.envs.bfcl import calls
from tenfold.envs.problems import sources
from tenfold.policies.scripted import ScriptedPolicy

SINGLE = {
    **{"simple_python": 0.9, "simple_java": 0.6, "simple_javascript": 0.3},
    **{"multiple": 0.8, "parallel": 0.7, "parallel_multiple": 0.5},
    **{"live_simple": 0.6, "live_multiple": 0.5, "live_parallel": 0.25, "live_parallel_multiple": 0.5},
    **{"irrelevance": 0.8, "live_irrelevance": 0.6, "live_relevance": 1.0},
}
needs_data = pytest.mark.skipif(importlib.util.find_spec("bfcl_eval") is None, reason="needs bfcl-eval")


def result(figures: dict[str, float]) -> Result:
    """Returns a result with the scores of categories."""
    made = evaluate.evaluate("chain_sum", ScriptedPolicy("7"), limit=2, samples=1)
    made.figures.update({f"category {name}": score for name, score in figures.items()})
    return made


def test_sections_have_the_leaderboards_weights() -> None:
    turns = {"multi_turn_base": 0.4, "multi_turn_miss_func": 0.2, "multi_turn_miss_param": 0.3, "multi_turn_long_context": 0.1}
    agentic = dict(zip(itertools.chain(*bfcl.AGENTIC), [0.2, 0.0, 0.1, 0.2, 0.3], strict=True))
    sections = bfcl.sections([result(SINGLE), result(turns | agentic)])
    live = (258 * 0.6 + 1053 * 0.5 + 16 * 0.25 + 24 * 0.5) / 1351
    expected = {"non-live": 0.65, "live": live, "irrelevance": 0.7, "multi-turn": 0.25, "agentic": 0.15}
    assert sections == pytest.approx(expected | {"overall": 0.065 + 0.1 * live + 0.07 + 0.075 + 0.06})


def test_a_section_that_is_not_measured_counts_as_0_and_is_named() -> None:
    sections = bfcl.sections([result(SINGLE)])
    assert [*sections] == ["non-live", "live", "irrelevance", "overall"]
    assert sections["overall"] == pytest.approx(0.1 * sum([*sections.values()][:3]))
    printed = io.StringIO()
    Console(file=printed, width=100).print(table.bfcl(sections))
    assert "not measured, so 0: multi-turn, agentic" in " ".join(printed.getvalue().split())
    assert bfcl.sections([result({"simple_python": 1.0, "multiple": 1.0})]) == {}


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
    problems = sources.load(f"{uri}&each=3")
    for problem in problems:
        answer = problem.answer
        made = [(name, first_values(call)) for gold in answer["calls"] for name, call in gold.items()]  # type: ignore[index]
        text = f"[{', '.join(calls.of_data(name, arguments) for name, arguments in made)}]"
        if answer["language"] != "python":  # type: ignore[index]
            text = str(problem.meta["solution"])
        if answer.get("any_call"):  # type: ignore[attr-defined]
            text = f"[{answer['functions'][0]['name']}()]"  # type: ignore[index]
        answers[problem.prompt[-1]["content"]] = text
    scored = evaluate.evaluate("bfcl_v4_single_turn", AnswersPolicy(answers), samples=1, problems=f"{uri}&each=3")
    assert len(scored.figures) == 13
    assert {name: score for name, score in scored.figures.items() if score < 1} == {}


def first_values(arguments: dict[str, list[object]]) -> dict[str, object]:
    """Returns the first correct value of each parameter that must be given."""
    return {name: plain(values[0]) for name, values in arguments.items() if values[0] != ""}


def plain(value: object) -> object:
    """Returns a gold value with the first choice for each key."""
    if isinstance(value, dict):
        return {key: plain(choices[0]) for key, choices in value.items() if choices[0] != ""}
    return [*map(plain, value)] if isinstance(value, list) else value


@needs_data
def test_the_suite_has_the_tasks_and_the_command_prints_the_sections(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [request.name for request in catalogue.expand(["bfcl_v4"])] == [*catalogue.BFCL]
    uri = "generate:tenfold.envs.bfcl.problems:multi_turn?each=1"
    cli.main(["bench", "env:tenfold/BFCLMultiTurn-v0", "--problems", uri, "--policy", "scripted:Done.", "--samples", "1"])
    printed = capsys.readouterr().out
    assert "multi-turn" in printed
    assert "overall" in printed
