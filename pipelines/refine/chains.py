"""Checks of the reconstructed reasoning (chains of thought) of refined solutions.

The policy that writes a chain sees problem and solution. The policy that learns from it sees the problem alone. Therefore a
chain is discarded if it is truncated or too short, mentions the given answer, contains false arithmetic, or ends in an
incorrect answer (without a verifier: in another answer than the solution).
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from ... import verifiers
from ...core import Message, Problem
from ...envs.problems import cells
from ...envs.problems import sources as problem_sources
from ...policies.play.hosted import Verify
from ...verifiers.answers.extraction.response import final_answer
from ...verifiers.answers.grammar.expressions import parse
from ...verifiers.answers.values.exact import TooLarge, Undefined, exact
from . import prompts
from .answer_cache import Answer

MIN_WORDS = 5
"""Smallest number of words and numbers in a chain. A shorter one is hardly more than its answer. Our choice."""
_WORD = re.compile(r"\w+")
_MENTIONS_SOLUTION = re.compile(
    r"\b(?:given|provided|reference|refined|expected|known|supplied)\s+(?:final\s+)?(?:solution|answer|result|summary)\b"
    r"|\b(?:solution|answer|summary)\s+(?:that\s+)?(?:is|was|we\s+(?:are|were))\s+(?:already\s+)?(?:given|provided|told|supplied)\b"
    r"|\b(?:according\s+to|as\s+(?:stated|said|shown|written)\s+in|matches|match)\s+the\s+(?:solution|summary|answer)\b"
    r"|\b(?:we|I)\s+(?:already\s+know|know\s+already|were\s+told|was\s+told|am\s+told|are\s+told)\b"
    r"|\bthe\s+summary\s+(?:says|states|tells|mentions)\b",
    re.IGNORECASE,
)
_SPELLINGS = (
    (re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))"), ""),
    (re.compile(r"[×·⋅]|\\(?:times|cdot)(?![a-z])"), "*"),
    (re.compile(r"÷|\\div(?![a-z])"), "/"),
    (re.compile(r"−"), "-"),
)
"""Other spellings of operators, and separators of thousands, each with its replacement."""
_NUMBER, _SPACE, _OPERAND = r"-?\d{1,12}(?:\.\d{1,6})?", r"[^\S\n]*", r"[\w.…)\]}|$%!]"
_EQUATION = re.compile(
    # no further operand on the left, such as x in x + 3 + 4 = 10
    rf"(?<![\w.)+*/^-])(?<!\d,)(?<!{_OPERAND} [-+*/^] )(?<!{_OPERAND}[-+*/^] )(?<!\d x )"
    rf"({_NUMBER}(?:{_SPACE}[-+*/]{_SPACE}{_NUMBER}){{1,6}})\s*=\s*({_NUMBER})"
    # no further operand or unit of the number on the right, and no digits left out
    rf"(?!\.?\d|,\d|\.\.|[\w/*^(!…]|{_SPACE}(?:[-+*/=%]|\\%|per\s?cent\b|\(?\\?p?mod\b|,? ?(?:with )?(?:a )?remainder\b"
    r"|[rR] ?\d|x \d|\d+/\d|\\(?:[dt]?frac|sqrt|pi|[lc]?dots)))"
)
"""An equation with numbers alone on both sides, such as 3 + 4*5 = 23."""


def flaw(chain: Answer, problem: Problem, solution: str, verify: Verify | None) -> str | None:
    """Returns why a chain is discarded; None if it is kept.

    Args:
        chain: the chain as written.
        problem: its problem.
        solution: the refined solution.
        verify: verifier of answers to the problem. If None, the chain's answer must equal that of the solution, if the solution
            has one.
    """
    if chain.truncated:
        return "truncated"
    if len(_WORD.findall(chain.text)) < MIN_WORDS:
        return "too short"
    if _MENTIONS_SOLUTION.search(chain.text):
        return "mentions the given answer"
    if verify:
        verdict = verify(problem, chain.text)
        if verdict.score is not None and verdict.score < 1:
            return "ends in another answer"
    elif (answer := final_answer(solution)) and verifiers.verify(answer, chain.text).score == 0:
        return "ends in another answer"
    text = chain.text
    for spelling, read in _SPELLINGS:
        text = spelling.sub(read, text)
    if any(_is_false(left, right) for left, right in _EQUATION.findall(text)):
        return "false arithmetic"
    return None


def _is_false(left: str, right: str) -> bool:
    """True if an equation of numbers is false. A quotient may be rounded to the decimals of the right side."""
    try:
        value = exact(parse(left))
    except Undefined:
        return True
    except TooLarge:
        return False
    digits = len(right.partition(".")[2])
    return value is not None and abs(value - Fraction(right)) > (Fraction(1, 2 * 10**digits) if "/" in left else 0)


def chain_examples(problems: str) -> Iterator[Problem]:
    """Yields training examples for a policy that writes chains. A source for `generate:`.

    Args:
        problems: URI of problems with solution and thinking, as a `refine` stage writes them.

    Yields:
        For each problem, the prompt for the chain with the thinking as its answer. If the row has a summary, also the prompt
        for the summary with the summary as its answer.
    """
    for problem in problem_sources.load(problems):
        solution, thinking, summary = (problem.meta.get(name) for name in ("solution", "thinking", "summary"))
        if cells.is_missing(solution) or cells.is_missing(thinking):
            continue
        steps = "" if cells.is_missing(summary) else str(summary)
        examples = {"chain": (prompts.chain(problem, str(solution), steps), str(thinking))}
        if steps:
            examples["summary"] = (prompts.summary(problem, str(solution)), steps)
        for name, (conversation, answer) in examples.items():
            prompt = tuple(Message(role=turn["role"], content=turn["content"]) for turn in conversation)
            yield Problem(f"{problem.id}/{name}", prompt, answer, problem.source)
