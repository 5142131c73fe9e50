"""Generated problems: the gold calls pass, doing nothing and near misses fail, and all services occur."""

import collections
import copy
import json
from typing import Any

import pytest

from tenfold import Problem, UserError
from tenfold.envs.services.environment import ToolsEnv
from tenfold.envs.services.kinds import KINDS
from tenfold.envs.services.problems import problems
from tenfold.envs.services.session import Session
from tenfold.envs.services.solutions import solved
from tenfold.verifiers.calls.call import ParsedCall

PROBLEMS = list(problems(size=300, part="all"))


def played(problem: Problem, golden: Problem | None = None, gives_up: bool = False) -> float:
    """Plays a problem with the gold moves of `golden`, which is the problem itself by default; returns the score."""
    judged, guide = ToolsEnv([problem]), ToolsEnv([golden or problem])
    judged.reset(), guide.reset()
    while True:
        move = "I cannot do this." if gives_up else guide.gold_move()
        _, reward, terminated, _, _ = judged.step(move)
        if terminated:
            return reward
        if not gives_up and guide.step(move)[2]:
            return 1.0  # all turns of the guide have passed


def test_two_thousand_distinct_problems_use_all_services_and_functions() -> None:
    found = list(problems(size=2000))
    assert len({problem.id for problem in found}) == 2000
    named = collections.Counter(
        call["name"] for problem in found for turn in answer(problem)["turns"] for call in turn["calls"]
    )
    assert len(KINDS) == 12
    functions = {name for service in KINDS.values() for name in vars(service) if not name.startswith("_")}
    assert set(named) == functions
    assert min(named.values()) >= 10


def answer(problem: Problem) -> dict[str, Any]:
    assert isinstance(problem.answer, dict)
    return problem.answer


def test_gold_moves_pass_and_doing_nothing_fails() -> None:
    for problem in PROBLEMS:
        assert played(problem) == 1
        assert played(problem, gives_up=True) == 0


def test_near_misses_fail() -> None:
    tried = 0
    for problem in PROBLEMS:
        for missed in near_misses(problem):
            tried += 1
            assert played(problem, missed) == 0, (answer(problem)["turns"], answer(missed)["turns"])
    assert tried > 500


def near_misses(problem: Problem) -> list[Problem]:
    """Returns problems whose gold calls differ in one call: it is left out, or has another number.

    A call is not left out if another call has the same result, because the result has been seen then.
    """
    found = []
    session = Session(KINDS, answer(problem)["services"])
    results = iter(replies := gold_replies(problem))
    turns = answer(problem)["turns"]
    for number, turn in enumerate(turns):
        for place, call in enumerate(turn["calls"]):
            without = copy.deepcopy(answer(problem))
            del without["turns"][number]["calls"][place]
            changed = copy.deepcopy(answer(problem))
            arguments = changed["turns"][number]["calls"][place]["arguments"]
            numbers = [
                name for name, value in call["arguments"].items() if isinstance(value, int) and not isinstance(value, bool)
            ]
            before, result = session.state(), next(results)
            session.call(ParsedCall(call["name"], call["arguments"]), list(session.functions))
            is_needed = call["must_see"] and replies.count(result) == 1
            candidates = [without] if is_needed or session.state() != before else []
            if numbers:
                arguments[numbers[0]] += -1 if arguments[numbers[0]] > 1 else 1
                candidates.append(changed)
            for candidate in candidates:
                candidate["turns"] = candidate["turns"][: number + 1]  # later gold calls may not be possible
                cut = Problem(problem.id, problem.prompt, candidate, problem.source)
                if executes(cut):
                    found.append(cut)
    return found


def gold_replies(problem: Problem) -> list[str]:
    """Returns the results of the gold calls."""
    env, found, ended = ToolsEnv([problem]), list[str](), False
    env.reset()
    while not ended:
        reply, _, ended, _, info = env.step(env.gold_move())
        found += [reply] if info.get("role") == "tool" else []
    return found


def executes(problem: Problem) -> bool:
    try:
        ToolsEnv([problem]).reset()
        return played(problem) == 1
    except UserError:
        return False


def test_solved_problems_are_whole_conversations() -> None:
    uri = "generate:tenfold.envs.services.problems:problems?size=20&part=all"
    for problem, source in zip(solved(uri), problems(size=20, part="all"), strict=True):
        roles = [turn["role"] for turn in problem.prompt]
        assert roles[0] == "system"
        assert roles.count("user") == len(answer(source)["turns"])
        calls = sum(len(turn["calls"]) for turn in answer(source)["turns"])
        assert roles.count("tool") == calls
        assert isinstance(problem.answer, str)
        assert "<tool_call>" not in problem.answer
        assert json.dumps(problem.prompt).count("<tool_call>") == calls + 1  # and one in the instruction


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": "moon"}, "kinds: expected names of bank"),
        ({"services": 13}, "services: expected an integer from 1 to 12"),
        ({"turns": 0}, "turns: expected an integer"),
        ({"vague": 2}, "vague: expected a share from 0 to 1"),
        ({"steps": 3}, "steps: expected an integer from 1 to 2"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        list(problems(size=1, **options))


def test_difficulty_is_a_setting() -> None:
    easy = list(problems(size=50, kinds="home", services=1, turns=1, steps=1, vague=0, withheld=0, irrelevant=0))
    assert all(len(answer(problem)["turns"]) == 1 for problem in easy)
    hard = list(problems(size=50, services=3, turns=5, steps=3, vague=0.5, withheld=1, irrelevant=1))
    assert all(len(answer(problem)["turns"]) >= 6 for problem in hard)


def test_a_share_of_the_problems_can_be_answered_without_the_calls() -> None:
    small = "size=40&part=all&kinds=home&services=1&steps=1&irrelevant=0&withheld=0&vague=0"
    uri = f"generate:tenfold.envs.services.problems:problems?{small}"
    found = [*solved(uri, hasty=0.5)]
    hasty = [problem for problem in found if not any(turn["role"] == "assistant" for turn in problem.prompt)]
    assert 10 < len(hasty) < 30
    assert all(str(problem.answer).startswith("Done.") for problem in hasty)
    assert [problem.id for problem in solved(uri, hasty=0.5)] == [problem.id for problem in found]
    with pytest.raises(UserError, match="hasty: expected a share"):
        next(solved(uri, hasty=2))
