"""Calls of Java and JavaScript functions in the prompt mode get the verdicts of the leaderboard's own code."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tenfold import UserError, verifiers
from tenfold.core import Problem
from tenfold.envs.bfcl import problems, services
from tenfold.verifiers.calls import leaderboard_source
from tenfold.verifiers.calls.call import Malformed

from .official_cases import official_verdicts

try:
    services.package()
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)

VERIFIER = verifiers.load({"name": "function_calls", "unreadable_declines": True, "format": "list"})
JAVA = """
1 | -1 | 1L | 1l | 1.5 | 1.5f | 1e3 | 1e3F | 1_000 | 0x10 | true | false | null | "x" | 'c' | x | a.b | (1) | 1 + 2 | a -> b
new int[]{1, 2} | new int[]{} | new int[2] | new Integer[]{1,2,} | new String[]{"a", "b"} | int[].class | f(a = 1)
new ArrayList<Integer>(Arrays.asList(1, 2)) | new ArrayList<>(Arrays.asList("a", "b,c")) | new ArrayList<>()
new ArrayList<String>() {{ add("a"); add("b"); }} | Arrays.asList(1, 2) | List.of("a") | Map.of("a", 1)
new HashMap<>() | new HashMap<String, Object>() {{ put("a", 1); put("b", "c"); }} | new HashMap<>(other)
this | (int) 1 | new Foo(1, "a") { int x; } | é | "é" | -x | x[0]
"new ArrayList<String>() {{ add('a'); }}" | "new HashMap<>() {{ put('a', 1); }}" | "new long[]{1L, 2}"
"""
JAVASCRIPT = """
1 | -1 | 1n | 1.5 | -1.5 | .5 | 1e3 | 0x10 | true | false | null | undefined | "x" | 'x' | `x` | x | a.b | (1) | 1 + 2
[1, 2] | [] | [1, 'two', true] | [[1, 2], [3]] | [[1], [2, [3]]] | [[1],¶ [2]] | [[1,¶2]] | [ [1] , [2] ] | [¶1,¶2¶]
new Array(1, 2) | new Array([1], [2]) | new Array(3) | ["a,b", 'c'] | [{a: 1}, {a: 2}] | [1, [2]] | [1, , 2]
{} | {a: 1} | {'a': 'b', "c": [1, 2]} | {a: {b: 1}, c: 2} | {a: 1, b} | {...x} | {a: '1'} | {a: f(1)} | {¶a: 1,¶b: 2¶}
a => b | function (x) { return x; } | async () => 1 | new Set([1]) | /a/g | é | 'é' | -x | x[0] | '[1, 2]' | "{a: 1}" | f(a = 1)
"""
VALUES = {
    language: [value.strip().replace("¶", "\n") for line in text.strip().splitlines() for value in line.split(" | ")]
    for language, text in (("java", JAVA), ("javascript", JAVASCRIPT))
}
"""Values that replace an argument. ¶ is the end of a line."""


def changed_values(problem: Problem, generator: random.Random) -> Iterator[str]:
    """Yields the gold call with another value for each parameter."""
    answer: Any = problem.answer
    ((_, wanted),) = answer["calls"][0].items()
    arguments = {key: values[0] for key, values in wanted.items()}
    written = str(problem.meta["solution"])
    for key in arguments:
        start = written.find(f"{key}=")
        if start < 0:
            continue
        start += len(key) + 1
        ends = [end for other in arguments if (end := written.find(f", {other}=", start)) >= 0]
        end = min(ends, default=len(written) - 2)
        for value in generator.sample(VALUES[answer["language"]], 15):
            yield written[:start] + value + written[end:]
        inside = written[start:end]
        quoted = f'"{inside}"' if '"' not in inside else f"'{inside}'"
        others = (inside.strip('"'), inside.replace('"', "'"), f"({inside})", f" {inside} ", f"{inside}, {key}={inside}")
        for value in (quoted, *others):
            yield written[:start] + value + written[end:]
        yield written.replace(f"{key}=", f"{key} = ")
        yield written.replace(f"{key}=", f"{key}: ")
        yield written.replace(f"{key}=", "")


def changed_text(problem: Problem, generator: random.Random) -> Iterator[str]:
    """Yields the gold call with other text around it, and with damage."""
    gold = str(problem.meta["solution"])
    call = gold[1:-1]
    yield from (gold, call, f"{call};", f"```\n{gold}\n```", f"```java\n{gold}\n```", f"Here: {gold}", f"{gold} Done.")
    yield from (f"'{gold}'", f"[{call}, {call}]", f"[{call}; {call}]", f"[{gold}]", f"x = {call}", f"await {call}")
    yield from (f"[{call}.then(f)]", f"new {call}")
    yield from ("", "[]", "None of them fits.", "5")
    for _ in range(10):
        at = generator.randrange(len(gold))
        yield gold[:at]
        yield gold[:at] + gold[at + 1 :]
        yield gold[:at] + generator.choice("[]{}()<>\"'=,:/&\\ \n0aLfé") + gold[at:]


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_verdicts_are_those_of_the_leaderboard(step: int) -> None:
    generator = random.Random(0)
    cases, ours = [], []
    for problem in [*problems.single_turn("simple_java,simple_javascript")][::step]:
        answer: Any = problem.answer
        for response in [*changed_text(problem, generator), *changed_values(problem, generator)]:
            case = {"response": response, "answer": answer, "format": answer["language"]}
            cases.append(case | {"tagged": False, "category": "simple"})
            ours.append(VERIFIER(problem, response))
    theirs = official_verdicts(cases)
    different = [
        (case["response"], verdict, them)
        for case, verdict, them in zip(cases, ours, theirs, strict=True)
        if (verdict.score == 1) != (them is True)
    ]
    assert len(cases) > 2_000
    assert 0.05 < sum(them is True for them in theirs) / len(theirs) < 0.5
    assert different == []


DECLARED = {
    "java": [*("byte", "integer", "long", "float", "double", "boolean", "char", "String", "any", "HashMap", "Set", "Queue")],
    "javascript": [*("integer", "float", "Bigint", "Boolean", "String", "any", "dict")],
}
ITEMS = {
    "java": ("integer", "long", "float", "boolean", "char", "String", "any", "ArrayList", "HashMap", "Set"),
    "javascript": ("integer", "float", "Bigint", "Boolean", "String", "any", "array", "dict"),
}
LISTS = {"java": ("Array", "ArrayList"), "javascript": ("array",)}


@pytest.mark.parametrize("language", ["java", "javascript"])
def test_values_are_converted_as_on_the_leaderboard(language: str) -> None:
    """The accepted value is that of `convert`, so the leaderboard accepts it only if its code converts alike."""
    generator = random.Random(0)
    types: list[Any] = [{"type": kind} for kind in DECLARED[language]]
    types += [{"type": kind, "items": {"type": items}} for kind in LISTS[language] for items in ITEMS[language]]
    damaged = [damage(generator.choice(VALUES[language]), generator) for _ in range(100)]
    cases, ours = [], []
    for value in [*VALUES[language], *damaged]:
        response = f"[f(x={value})]"
        try:
            ((text,),) = [each.arguments.values() for each in leaderboard_source.read(response, language)]
        except (Malformed, ValueError):  # not an argument
            continue
        for declared in types:
            try:
                accepted = leaderboard_source.convert(
                    str(text), language, declared["type"], declared.get("items", {}).get("type")
                )
            except ValueError:
                continue
            function = {"name": "f", "parameters": {"properties": {"x": declared}, "required": ["x"]}}
            if isinstance(accepted, dict):
                accepted = {key: [item] for key, item in accepted.items()}
            answer: Any = {"functions": [function], "calls": [{"f": {"x": [accepted]}}], "language": language}
            cases.append({"response": response, "answer": answer, "format": language, "tagged": False, "category": "simple"})
            ours.append(VERIFIER(Problem("", (), answer, ""), response).score == 1)
    theirs = [verdict is True for verdict in official_verdicts(cases)]
    assert [case for case, us, them in zip(cases, ours, theirs, strict=True) if us != them] == []
    assert sum(theirs) / len(theirs) > 0.9


def damage(value: str, generator: random.Random) -> str:
    at = generator.randrange(len(value))
    return value[:at] + generator.choice(["", *"[]{}()\"',: \n0aLfn"]) + value[at + generator.randrange(2) :]
