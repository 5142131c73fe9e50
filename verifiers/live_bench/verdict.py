"""Verifies responses to LiveBench's questions by the rules of its own code.

`problem.answer` is `golds.LiveBenchGold`: the rule of the question's task, and what the rule needs. The rules are those of
`livebench/process_results` of github.com/LiveBench/LiveBench (commit b0fb577b). They give partial scores. These points differ:

    amps_hard, integrals_with_game   the verifier `math` compares expressions, in any equivalent form. LiveBench uses sympy, and
                                     for amps_hard it asks a model if sympy finds no equality
    connections                      a group that is repeated counts once
    amc                              the text of an option counts only if it is known
    instructions                     lm-eval's copy of IFEval's checks, as in the verifier `instructions`

The reasoning is removed as for all verifiers (`responses.without_thinking`). `programs.py` verifies the category coding.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

from ... import extras
from ...core import Problem, Status, Verdict
from ...golds import LiveBenchGold
from ...responses import without_thinking, without_turn_end
from .. import instructions, math, pool
from ..verifier import MAX_REASON_CHARACTERS, as_verifier

SECONDS = 5.0
"""Processor seconds of a rule, in a worker. Our choice; a usual response takes less than 1 s."""
TEXTS = frozenset(
    "aime amc amps_hard connections connections_bold cta house_traversal integrals_with_game plot_unscrambling spatial sudoku "
    "tablereformat theory_of_mind typos web_of_lies_v2 web_of_lies_v3 zebra_puzzle zebra_puzzle_bold".split()
)
"""Rules whose gold answer is a text."""
LISTS = frozenset(("consecutive_events", "logic_with_navigation", "olympiad"))
"""Rules whose gold answer is a list."""


def invalid_gold(problem: Problem) -> str | None:
    """Returns the reason why no response to the problem could be judged, or None."""
    answer = problem.answer
    if not isinstance(answer, Mapping) or not isinstance(rule := answer.get("rule"), str):
        return "the answer names no rule of LiveBench"
    gold = answer.get("gold")
    if rule == "amc" and gold not in [*"ABCDE"]:
        return f"{rule}: the gold answer is not one of the letters A to E"
    if rule in TEXTS:
        return None if isinstance(gold, str) and any(map(str.isalnum, gold)) else f"{rule}: the gold answer is not a text"
    if rule in LISTS:
        return None if isinstance(gold, list | tuple) and gold else f"{rule}: the gold answer is not a list"
    if rule == "tablejoin":
        return None if isinstance(gold, Mapping) and gold else f"{rule}: the gold answer is not a mapping"
    if rule == "instructions":
        return instructions.invalid_gold(_posed(problem, answer.get("instructions")))
    return f"{rule!r} is no rule of LiveBench"


def prepare() -> None:
    """Checks that workers can import pandas and the checks of instructions.

    Raises:
        UserError: a package is missing.
    """
    extras.require("the verifier livebench", "pandas", "lxml")
    instructions.verify.prepare()


@as_verifier(invalid_gold=invalid_gold, prepare=prepare)
def verify(problem: Problem, response: str) -> Verdict:
    """Scores a response from 0 to 1 by the rule of its question.

    Args:
        problem: the problem.
        response: the response.
    """
    if (reason := invalid_gold(problem)) is not None:
        return Verdict(Status.UNDECIDED, None, "gold", reason[:MAX_REASON_CHARACTERS])
    gold = cast(LiveBenchGold, problem.answer)
    rule, text = gold["rule"], without_turn_end(without_thinking(response))
    if rule == "instructions":
        return _instructions(problem, gold, text)
    workers = pool.shared("tenfold.verifiers.live_bench.worker:score", cpu_seconds=SECONDS)
    try:
        found = workers.call(gold, text)
    except (pool.TimeLimit, pool.MemoryLimit) as error:
        return Verdict(Status.TIMEOUT, 0.0, rule, str(error))
    except pool.WorkerFault as error:
        return Verdict(Status.FAULT, None, rule, str(error)[:MAX_REASON_CHARACTERS])
    if "gold" in found:
        return Verdict(Status.UNDECIDED, None, "gold", found["gold"])
    if "score" in found:
        return Verdict(Status.SCORED, float(found["score"]), rule, "")
    return _symbolic(rule, str(gold["gold"]), found["candidates"], found["otherwise"])


def _symbolic(rule: str, gold: str, candidates: Sequence[str], otherwise: float) -> Verdict:
    """Returns the verdict of the first candidate that equals the gold answer; else that of the last one."""
    last = Verdict(Status.SCORED, otherwise, rule, "" if otherwise else "no answer is found")
    for candidate in candidates if not otherwise else ():
        last = math.verify_answer(Problem("", (), gold, ""), f"\\boxed{{{candidate}}}", "any")
        if last.score == 1:
            break
    return last


def _instructions(problem: Problem, gold: LiveBenchGold, text: str) -> Verdict:
    """Returns the mean of whether all instructions are followed and of the share that is followed."""
    strict = instructions.verify.with_options(exact=True)
    verdict = strict(_posed(problem, gold["instructions"]), text.strip())
    followed = [part.score for part in verdict.parts if part.name == "instruction strict" and part.score is not None]
    if not followed or verdict.score is None:
        return verdict
    return Verdict(verdict.status, (verdict.score + sum(followed) / len(followed)) / 2, "instructions", verdict.reason)


def _posed(problem: Problem, answer: object) -> Problem:
    return dataclasses.replace(problem, answer=answer)
