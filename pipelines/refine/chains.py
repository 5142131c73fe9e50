"""Reasoning rebuilt behind a refined solution: a summary of its steps, then the whole chain of thought, which is checked.

A policy that completes chains sees task and solution; whoever learns from the chain sees the task alone. So a chain is thrown
away that was cut, ends in another answer than the solution's, states simple arithmetic that is false, or betrays that its
writer had been told the answer.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from ... import verifiers
from ...core import Message, Problem, Verifier
from ...envs.problems import sources as problem_sources
from ...verifiers.answers.extraction.response import final_answer
from ...verifiers.answers.grammar.expressions import parse
from ...verifiers.answers.values.exact import TooLarge, Undefined, exact
from . import prompts
from .answer_cache import Answer

LEAST_WORDS = 5
"""And numbers: with fewer a chain says hardly more than its answer."""
_WORD = re.compile(r"\w+")
_TOLD = re.compile(
    r"\b(?:given|provided|reference|refined|expected|known|supplied)\s+(?:final\s+)?(?:solution|answer|result|summary)\b"
    r"|\b(?:solution|answer|summary)\s+(?:that\s+)?(?:is|was|we\s+(?:are|were))\s+(?:already\s+)?(?:given|provided|told|supplied)\b"
    r"|\b(?:according\s+to|as\s+(?:stated|said|shown|written)\s+in|matches|match)\s+the\s+(?:solution|summary|answer)\b"
    r"|\b(?:we|I)\s+(?:already\s+know|know\s+already|were\s+told|was\s+told|am\s+told|are\s+told)\b"
    r"|\bthe\s+summary\s+(?:says|states|tells|mentions)\b",
    re.IGNORECASE,
)
_NUMBER = r"-?\d{1,12}(?:\.\d{1,6})?"
_EQUATION = re.compile(
    rf"(?<![\w.)+*/^-])({_NUMBER}(?:\s*[-+*/]\s*{_NUMBER}){{1,6}})\s*=\s*({_NUMBER})(?!\.?\d|[\w/*^(%]|\s*[-+*/=])"
)
"""Numbers only, on both sides: 3 + 4*5 = 23."""


def flaw(chain: Answer, problem: Problem, solution: str, verify: Verifier | None) -> str | None:
    """What speaks against learning a chain; None when nothing does.

    Args:
        chain: as it was written.
        problem: that it is about.
        solution: the refined one.
        verify: judges answers to the problem; None where nothing can: then the chain's answer must be the solution's, as far as
            that one states any.
    """
    if chain.cut:
        return "cut"
    if len(_WORD.findall(chain.text)) < LEAST_WORDS:
        return "too short"
    if _TOLD.search(chain.text):
        return "knows the answer"
    if verify:
        verdict = verify(problem, chain.text)
        if verdict.score is not None and verdict.score < 1:
            return "ends in another answer"
    elif (answer := final_answer(solution)) and verifiers.verify(answer, chain.text).score == 0:
        return "ends in another answer"
    if any(_false(left, right) for left, right in _EQUATION.findall(chain.text)):
        return "false arithmetic"
    return None


def _false(left: str, right: str) -> bool:
    """Whether an equation of numbers is wrong; a quotient may be rounded to the digits it is given with."""
    try:
        value = exact(parse(left))
    except Undefined:
        return True
    except TooLarge:
        return False
    digits = len(right.partition(".")[2])
    return value is not None and abs(value - Fraction(right)) > (Fraction(1, 2 * 10**digits) if "/" in left else 0)


def chain_examples(problems: str) -> Iterator[Problem]:
    """What a policy that completes chains learns: a source for `generate:`.

    Args:
        problems: URI of problems with a solution and with thinking, as a `refine` stage leaves them; where a row has
            a summary, that is learnt, too.

    Yields:
        For each, the question for the chain with the thinking as its answer, and where there is a summary the question for it.
    """
    for problem in problem_sources.load(problems):
        solution, thinking = (problem.meta.get(name) for name in ("solution", "thinking"))
        if not solution or not thinking:
            continue
        steps = str(problem.meta.get("summary", ""))
        asked = {"chain": (prompts.chain(problem, str(solution), steps), str(thinking))}
        if steps:
            asked["summary"] = (prompts.summary(problem, str(solution)), steps)
        for name, (conversation, said) in asked.items():
            prompt = tuple(Message(role=turn["role"], content=turn["content"]) for turn in conversation)
            yield Problem(f"{problem.id}/{name}", prompt, said, problem.source)
