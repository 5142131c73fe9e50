"""Responses in the formats of the format sensitivity get the verdicts of the leaderboard's own code."""

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tenfold import UserError
from tenfold.core import Problem
from tenfold.envs.bfcl import problems, prompt_formats, services
from tenfold.verifiers import function_calls
from tenfold.verifiers.calls import leaderboard

from .official_cases import official_verdicts

try:
    services.package()
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)

REPLACED = (
    *(("<TOOLCALL>", ""), ("</TOOLCALL>", ""), ("[", ""), ("]", ""), ("=", ":"), ("'", '"'), ('"', "'"), ("<", "&lt;")),
    *(('"function"', '"name"'), ('"parameters"', '"arguments"'), (">", "/>"), (", ", ","), ("{", "("), (' type="string"', "")),
    *(('type="integer"', 'type="float"'), ('type="float"', 'type="integer"'), ('type="string"', 'type="str"')),
    *(('type="array"', 'type="tuple"'), ("<params>", ""), ("</params>", ""), ("param ", "parameter ")),
    *(("functions>", "function_calls>"), (' name="', ' id="')),
)
"""Parts of a response, and what replaces them."""
CALLS_NOTHING = ("", "None of them fits.", "[]", "5", "{}", "<functions></functions>", "<TOOLCALL></TOOLCALL>")


def case(problem: Problem, response: str) -> dict[str, Any]:
    answer: Any = problem.answer
    return {
        **{"response": response, "answer": answer, "category": problem.id.split(":")[-1]},
        **{"format": answer["format"], "tagged": answer["tagged"]},
    }


def changed_text(problem: Problem, generator: random.Random) -> Iterator[str]:
    """Yields the gold response in all formats, with other text around it, and with damage."""
    answer: Any = problem.answer
    gold = str(problem.meta["solution"])
    for form in leaderboard.FORMATS:
        for tagged in (True, False):
            yield function_calls.gold_response(answer | {"format": form, "tagged": tagged})
    yield from (f"```\n{gold}\n```", f"```json\n{gold}```", f"Here: {gold}", f"{gold} Done.", f"{gold}\n{gold}")
    yield from (f"'{gold}'", f"[{gold}]", *CALLS_NOTHING)
    for old, new in REPLACED:
        if old in gold:
            yield gold.replace(old, new)
            yield gold.replace(old, new, 1)
    for _ in range(6):
        at = generator.randrange(len(gold))
        yield gold[:at]
        yield gold[:at] + gold[at + 1 :]
        yield gold[:at] + generator.choice("[]{}()<>\"'=,:/&\\ \n0a") + gold[at:]


def changed_arguments(problem: Problem, generator: random.Random) -> Iterator[str]:
    """Yields responses in the right format whose calls have other arguments."""
    answer: Any = problem.answer
    form, tagged = answer["format"], answer["tagged"]
    read = leaderboard.read(str(problem.meta["solution"]), form, tagged)
    calls = [(call.name, dict(call.arguments)) for call in read]
    if not calls or not calls[0][1]:
        return
    name, arguments = calls[0]
    key = generator.choice([*arguments])
    value = arguments[key]
    others = ["another", 7, 7.5, True, None, [value], {"a": value}, str(value), f"{value}!", f" {value} ", ""]
    if isinstance(value, int | float):
        others += [value + 1, float(value), -value]
    if isinstance(value, list) and value:
        others += [value[::-1], value[:-1], [*value, value[0]], value[0]]
    for other in others:
        yield leaderboard.write([(name, arguments | {key: other}), *calls[1:]], form, tagged)
    without = {other: item for other, item in arguments.items() if other != key}
    for first in ((name, without), (name, arguments | {"extra": 1}), (f"{name}_of", arguments)):
        yield leaderboard.write([first, *calls[1:]], form, tagged)
    for all_calls in ([*calls, calls[0]], calls[1:], calls[::-1]):
        yield leaderboard.write(all_calls, form, tagged)


@pytest.fixture(scope="module")
def every() -> list[Problem]:
    return [*problems.format_sensitivity()]


@pytest.mark.parametrize("step", [61, pytest.param(5, marks=pytest.mark.slow)])
def test_verdicts_are_those_of_the_leaderboard(every: list[Problem], step: int) -> None:
    generator = random.Random(0)
    cases, ours, covered = [], [], set()
    for problem in every[::step]:
        covered.add(problem.meta["category"])
        for response in [*changed_text(problem, generator), *changed_arguments(problem, generator)]:
            cases.append(case(problem, response))
            ours.append(function_calls.verify(problem, response))
    assert len(covered) == len(prompt_formats.CONFIGURATIONS)
    assert len(cases) > 5_000
    assert 0.1 < sum(verdict.score == 1 for verdict in ours) / len(ours) < 0.5
    different = [
        (case["response"], verdict, them)
        for case, verdict, them in zip(cases, ours, official_verdicts(cases), strict=True)
        if (verdict.score == 1) != (them is True)
    ]
    assert different == []


def test_gold_responses_are_correct_except_for_lists_of_objects_in_json(every: list[Problem]) -> None:
    """The leaderboard reads JSON to the first "}]". A gold call with a list of objects is then incomplete."""
    wrong = [each for each in every if function_calls.verify(each, str(each.meta["solution"])).score != 1]
    texts = [str(each.meta["solution"]).removeprefix("<TOOLCALL>").removesuffix("</TOOLCALL>") for each in wrong]
    assert len(texts) < len(every) / 100
    assert all(text.startswith('[{"function"') and "}]" in text[:-2] for text in texts)


def test_an_answer_with_an_unknown_format_is_undecided(every: list[Problem]) -> None:
    problem = every[0]
    for changes, known in (({"format": "yaml"}, "python, json"), ({"language": "java"}, "java, got 'python'")):
        answer: Any = problem.answer
        reason = function_calls.invalid_gold(dataclasses.replace(problem, answer=answer | changes))
        assert f"format: expected one of {known}" in str(reason)
