"""Rules that all generated environments share, through the public interface."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

import tenfold
from tenfold.core import Problem, Status, UserError
from tenfold.envs.gold import gold_response
from tenfold.envs.problems import sources
from tenfold.envs.text import TextEnv
from tenfold.verifiers.formats import sql

FIRST_IDS = {
    "tenfold/JSONSchema-v0": "json_objects/c17cb453891d",
    "tenfold/Logic-v0": "logic_puzzles/8f1aa00ed7f1",
    "tenfold/Regex-v0": "regular_expressions/583a3c90c7a8",
    "tenfold/Repair-v0": "repairs/37f599a0fc7d",
    "tenfold/Retrieval-v0": "retrieval/489d364488bd",
    "tenfold/SQL-v0": "sql_queries/5b6637d207a0",
    "tenfold/Strings-v0": "strings/40abb6e9fdf6",
}
HOSTILE = [
    "",
    "\0",
    "\ud800",
    "<think>" * 20_000,
    "\\boxed{" * 20_000,
    "<answer>" * 20_000,
    "</answer>" * 20_000,
    "```" * 30_000,
    "```json\n" * 20_000,
    "[" * 100_000,
    '{"a":' * 100_000,
    "x" * 1_000_000,
    "9" * 1_000_000,
    "\\boxed{}",
    "<answer></answer>",
    "```\n```",
]


def environment(id: str, **options: Any) -> TextEnv:
    found = tenfold.make(id, **options).unwrapped
    assert isinstance(found, TextEnv)
    return found


def score(env: TextEnv, index: int, response: str) -> float:
    env.reset(options={"problem": index})
    _, reward, ended, _, info = env.step(response)
    assert ended
    assert info["verdict"].status in (Status.SCORED, Status.TIMEOUT)
    return reward


def gold(problem: Problem) -> str:
    response = gold_response(problem)
    assert response is not None
    return response


@pytest.mark.parametrize("id", FIRST_IDS)
@pytest.mark.usefixtures("sandboxed")
def test_gold_answers_score_1_and_those_of_other_problems_0(id: str) -> None:
    env = environment(id, problems="?size=40")
    for index, problem in enumerate(env.problems):
        assert score(env, index, f"<think>Hm.</think>{gold(problem)}") == 1
        other = env.problems[(index + 1) % 40]
        if gold(other) != gold(problem):
            assert score(env, index, gold(other)) == 0


@pytest.mark.parametrize("id", FIRST_IDS)
@pytest.mark.usefixtures("sandboxed")
def test_the_echoed_prompt_and_hostile_responses_score_0(id: str) -> None:
    env = environment(id, problems="?size=12")
    for index in range(12):
        prompt, _ = env.reset(options={"problem": index})
        assert score(env, index, prompt) == 0
        assert score(env, index, f"{gold(env.problems[index])}<think>") == 0
    for response in HOSTILE:
        assert score(env, 0, response) == 0


@pytest.mark.parametrize("id", FIRST_IDS)
def test_parts_share_no_problem_and_seeds_give_the_same_problems(id: str) -> None:
    first = environment(id, problems="?size=40").problems
    assert [p.id for p in first] == [p.id for p in environment(id, problems="?size=60").problems[:40]]
    other = environment(id, problems="?size=40&seed=1").problems
    held_out = environment(id, problems="?size=40&part=held_out").problems
    assert len({p.id for p in held_out}) == len({p.id for p in first}) == 40
    assert not {p.id for p in [*first, *other]} & {p.id for p in held_out}
    assert {p.id for p in first} != {p.id for p in other}


def test_ids_are_equal_on_all_machines() -> None:
    assert {id: environment(id).problems[0].id for id in FIRST_IDS} == FIRST_IDS
    houses = environment("tenfold/Logic-v0", problems="?size=30&kinds=houses").problems
    assert houses[29].id == "logic_puzzles/e3f35918f185"


@pytest.mark.parametrize("id", FIRST_IDS)
def test_gold_answers_are_json(id: str) -> None:
    for problem in environment(id).problems:
        assert json.loads(json.dumps(problem.answer)) == problem.answer


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("strings", "min_words=5&max_words=4", "max_words: expected an integer from 5 to"),
        ("strings", 'tasks=["count"]', "tasks: expected names of count_letter, "),
        ("json_objects", "max_fields=20", "max_fields: expected an integer from 3 to 10, got 20"),
        ("json_objects", "nested=no", "nested: expected true or false, got 'no'"),
        ("regular_expressions", "kinds=email", "kinds: expected names of text, pattern"),
        ("sql_queries", "min_rows=1", "min_rows: expected an integer >= 4"),
        ("repairs", "mistakes=9", "mistakes: expected an integer from 1 to 3, got 9"),
        ("logic_puzzles", "attributes=3&max_houses=5", "too many orders to go through"),
        ("logic_puzzles", "kinds=[]", "kinds: expected names of knights, houses"),
        ("logic_puzzles", "kinds=5", "kinds: expected names of knights, houses, got .5."),
        ("logic_puzzles", 'kinds=[["knights"]]', "kinds: expected names of knights, houses"),
        ("retrieval", "characters=10000000", "characters: expected an integer from 200 to 500000"),
        ("retrieval", "asked=3&facts=2", "facts: expected an integer from 3 to 100, got 2"),
    ],
)
def test_wrong_options_are_one_line_errors(name: str, options: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        sources.load(f"generate:tenfold.envs.generators.{name}:problems?size=2&{options}")


def test_strings_have_an_exercise_of_each_kind() -> None:
    from tenfold.envs.generators.strings import TASKS

    found = {str(problem.meta["task"]): problem for problem in environment("tenfold/Strings-v0").problems}
    assert found.keys() == TASKS.keys()
    for problem in found.values():
        words = problem.prompt[0]["content"].split("\n\n")[1].split()
        assert 3 <= len(words) <= 8
    env = environment("tenfold/Strings-v0", problems="?tasks=reverse_word&size=5")
    answer = str(env.problems[0].answer)
    assert score(env, 0, f"\\boxed{{\\text{{{answer}}}}}") == 1
    assert score(env, 0, f'The answer is "{answer}".') == 1
    assert score(env, 0, f"\\boxed{{{answer[::-1]}}}") == (answer == answer[::-1])


def test_capital_letters_count_in_strings() -> None:
    env = environment("tenfold/Strings-v0", problems="?tasks=capitals&size=5")
    answer = str(env.problems[0].answer)
    assert score(env, 0, f"\\boxed{{{answer}}}") == 1
    assert score(env, 0, f"\\boxed{{[{answer.replace(', ', ',')}]}}") == 1
    assert score(env, 0, f"\\boxed{{{answer.lower()}}}") == 0


def test_a_length_sets_the_characters_of_a_text() -> None:
    for characters in (1_000, 100_000):
        env = environment("tenfold/Retrieval-v0", problems=f"?size=2&characters={characters}&asked=3")
        prompt, _ = env.reset(options={"problem": 0})
        assert characters < len(prompt) < characters + 500
        codes = str(env.problems[0].answer).split(", ")
        assert all(f"is {code}." in prompt for code in codes)
        assert score(env, 0, f"\\boxed{{{', '.join(codes)}}}") == 1
        assert score(env, 0, f"\\boxed{{{', '.join(reversed(codes))}}}") == 0
    texts = environment("tenfold/Retrieval-v0", problems="?size=200&characters=980&facts=2").problems
    assert min(len(str(problem.prompt[0]["content"]).split("\n\n")[1]) for problem in texts) == 980


def knights(prompt: str) -> list[list[str]]:
    """Solves a puzzle from its words alone. Returns the sorted knights of each solution."""
    import itertools
    import re

    said = dict(re.findall(r"(?m)^([A-Z]\w+): (.+)$", prompt))
    solutions = []
    for values in itertools.product((True, False), repeat=len(said)):
        who = dict(zip(said, values, strict=True))

        def holds(speaker: str, words: str, who: Mapping[str, bool]) -> bool:
            people = [name for name in re.findall(r"[A-Z]\w+", words) if name in who]
            values = [who[name] for name in people]
            if "and I are both" in words:
                return values[0] == who[speaker]
            if "Exactly" in words:
                return sum(who.values()) == int(cast(re.Match[str], re.search(r"\d+", words))[0])
            if words.startswith("If"):
                return not values[0] or values[1]
            if words.startswith("At least one of"):
                return not all(values)
            return values[0] == words.endswith("a knight.")

        if all(holds(speaker, words, who) == who[speaker] for speaker, words in said.items()):
            solutions.append(sorted(name for name in who if who[name]))
    return solutions


def test_each_puzzle_has_one_solution() -> None:
    env = environment("tenfold/Logic-v0", problems="?size=60&kinds=knights")
    for problem in env.problems:
        assert knights(problem.prompt[0]["content"]) == [str(problem.answer).split(", ")]
    assert score(env, 0, f"\\boxed{{{str(env.problems[0].answer).upper()}}}") == 1


def test_each_order_of_houses_is_determined_by_its_clues() -> None:
    import itertools
    import re

    for problem in environment("tenfold/Logic-v0", problems="?size=40&kinds=houses").problems:
        prompt = problem.prompt[0]["content"]
        rows = [row.split(", ") for row in re.findall(r"(?m)^- \w+: (.+)$", prompt)]
        clues = re.findall(r"(?m)^- (The .+)\.$", prompt)
        found = set()
        for orders in itertools.product(*(itertools.permutations(row) for row in rows)):
            house = {value: place for order in orders for place, value in enumerate(order, start=1)}

            def holds(clue: str, house: Mapping[str, int]) -> bool:
                one, *other = [house[word] for word in re.findall(r"\w+", clue) if word in house]
                if number := re.search(r"house (\d)", clue):
                    return (one == int(number[1])) != ("is not in" in clue)
                difference = other[0] - one
                if "directly left" in clue:
                    return difference == 1
                if "next to" in clue:
                    return abs(difference) == 1
                return difference > 0 if "somewhere left" in clue else difference == 0

            if all(holds(clue, house) for clue in clues):
                found.add(", ".join(orders[0]))
        assert found == {problem.answer}


@pytest.mark.usefixtures("sandboxed")
def test_a_broken_function_fails_and_any_correct_one_passes() -> None:
    env = environment("tenfold/Repair-v0", problems="?size=30")
    for index in range(10):
        prompt = env.problems[index].prompt[0]["content"]
        broken = prompt.split("```python\n")[1].split("```")[0]
        assert score(env, index, f"```python\n{broken}```") == 0
    index, problem = next((i, p) for i, p in enumerate(env.problems) if p.meta["function"] == "running_sums")
    other = "import itertools\n\ndef running_sums(numbers):\n    return list(itertools.accumulate(numbers))"
    assert score(env, index, f"```python\n{other}\n```") == 1
    assert 1 <= cast(dict[str, int], problem.answer)["public"] <= 2


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (r"\{(\d),(\d)\}", r"{1,\2}"),
        (r"\{(\d),(\d)\}", r"{\1,}"),
        (r"\{(\d),(\d)\}", r"{\1}"),
        (r"\{\d(,\d)?\}", "+"),
        (r"\[[^]]*\]", "[a-zA-Z0-9]"),
        (r"\[(a-f|aeiou)\]", "[a-z]"),
        (r"\[02468\]", "[0-9]"),
        (r"\(\?:.*?\)", "[a-z]+"),
        (r"[-:_/@#](?=\[|\(|$)", "."),
    ],
)
def test_a_pattern_of_another_form_scores_0(part: str, other: str) -> None:
    env = environment("tenfold/Regex-v0", problems="?size=60&kinds=pattern&max_pieces=3")
    for index, problem in enumerate(env.problems):
        pattern = gold(problem).removeprefix("<answer>").removesuffix("</answer>")
        wider = re.sub(part, other, pattern)
        assert wider == pattern or score(env, index, f"<answer>{wider}</answer>") == 0, (pattern, wider)


def test_problems_with_one_broken_function_are_in_one_part() -> None:
    def broken(part: str) -> set[str]:
        problems = environment("tenfold/Repair-v0", problems=f"?size=200&part={part}").problems
        return {str(problem.prompt[0]["content"]).split("```")[1] for problem in problems}

    assert len(broken("train")) > 50
    assert not broken("train") & broken("held_out")


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.slow
def test_every_solution_of_many_repairs_passes() -> None:
    env = environment("tenfold/Repair-v0", problems="?size=400&mistakes=2")
    assert all(score(env, index, gold(problem)) == 1 for index, problem in enumerate(env.problems))


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (" > ", " >= "), (" >= ", " > "), (" < ", " <= "), (" <= ", " < "),
        ("DISTINCT ", ""), (", (p[.])?name(?= LIMIT|$)", ""), (" ORDER BY p.city", ""),
        ("LEFT JOIN", "JOIN"), ("MAX", "MIN"), ("AVG(?=.*city)", "SUM"),
    ],
)  # fmt: skip
def test_a_query_that_is_nearly_correct_scores_0(part: str, other: str) -> None:
    env = environment("tenfold/SQL-v0", problems="?size=120")
    queries = [str(cast(Mapping[str, Any], problem.answer)["query"]) for problem in env.problems]
    changed = [(index, re.sub(part, other, query)) for index, query in enumerate(queries) if re.search(part, query)]
    assert changed
    assert [query for index, query in changed if score(env, index, f"```sql\n{query}\n```")] == []


@pytest.mark.parametrize("part", ["train", "held_out"])
def test_no_gold_query_has_the_same_result_on_all_databases(part: str) -> None:
    for problem in environment("tenfold/SQL-v0", problems=f"?size=500&part={part}").problems:
        results = sql.gold_results(cast(Mapping[str, Any], problem.answer))
        assert results.count(results[0]) < len(results)
