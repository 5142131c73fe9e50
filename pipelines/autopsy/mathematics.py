"""Judges of mathematical answers: other graders, this package's rules, and two comparisons of text.

Other graders run in worker processes with limits of time and memory, called as in `benchmarks/audit/baselines.py`. All judges
get the response without its reasoning. The comparisons of text share no code with the verifiers:

    boxed     the content of the last \\boxed{} equals the gold answer, up to spaces, dollar signs and commas in numbers
    ending    the response ends with the gold answer
"""

import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping

from ...benchmarks.audit.answer_pairs import AnswerPair
from ...benchmarks.audit.baselines import BASELINES
from ...core import Problem
from ...responses import without_thinking, without_turn_end
from ...verifiers import choice, find, math, pool, reasoning_gym
from .judges import Judge, JudgeFault, by_verifier, is_same

GRADERS = {"math-verify": "math_verify", "verl math_dapo": "verl", "verl prime_math": "verl"}
"""Other graders, and the packages that they are from."""
STRICT_GRADERS = frozenset({"verl math_dapo"})
"""Graders that demand a form: "Answer: ..." at the end."""
BY_DEFAULT = ("math-verify",)
"""Graders that judge if none are named."""
CPU_SECONDS, MEMORY = 3.0, 1 << 30
"""Limits of a grader's verdict. One that exceeds them has not decided."""

_NUMBER_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECORATION = re.compile(r"[\s$*`]|\\[(),!;:\[\]]|\\(?:left|right|displaystyle)(?![A-Za-z])")
_BOX = re.compile(r"\\boxed\s{0,5}\{")
_PUNCTUATION = ".,;:!?)]}'\""


def judges(verifier: object) -> Iterator[Judge]:
    """Yields the judges of mathematics.

    Args:
        verifier: that of the reward, or None. This package's rules are left out if they are the reward.
    """
    for name, package in GRADERS.items():
        if importlib.util.find_spec(package):
            yield Judge(name, f"a gold answer; {package}", functools.partial(_by_grader, name), name in STRICT_GRADERS)
    if not is_same(verifier, math.verify, choice.verify, choice.verify_any, reasoning_gym.verify):
        yield Judge("rules", "a gold answer, or options", _by_rules)
    yield Judge("boxed", "a gold answer", _boxed, strict=True)
    yield Judge("ending", "a gold answer", _ending, strict=True)


def golds(problem: Problem) -> list[str]:
    """Returns the gold answers of a mathematical problem, of which each is correct; empty for another kind of problem."""
    return [math.gold_text(gold) for gold in _golds(problem.answer)]


def _golds(answer: object) -> Iterator[str]:
    if isinstance(answer, str | int | float) and not isinstance(answer, bool):
        if str(answer).strip():
            yield str(answer)
    elif isinstance(answer, list | tuple):
        for each in answer:
            yield from _golds(each)
    elif isinstance(answer, Mapping) and "gold" in answer:
        yield from _golds(answer["gold"])
    elif isinstance(answer, Mapping) and {"letter", "options"} <= answer.keys():
        yield str(answer["letter"])


def grade(name: str, gold: str, response: str) -> bool:
    """Returns whether a grader accepts a response. It runs in a worker process.

    Args:
        name: one of `GRADERS`.
        gold: the gold answer.
        response: the response.
    """
    return bool(BASELINES[name](AnswerPair("", gold, response, equal=True)))


def _by_grader(name: str, problem: Problem, response: str) -> float | None:
    texts = golds(problem)
    if not texts:
        return None
    workers = pool.shared(f"{__name__}:grade", CPU_SECONDS, MEMORY)
    judged = without_turn_end(without_thinking(response))
    score: float | None = 0.0
    for gold in texts:
        try:
            if workers.call(name, gold, judged):
                return 1.0
        except (pool.TimeLimit, pool.MemoryLimit):
            score = None  # no denial: responses may become longer for honest reasons
        except pool.WorkerFault as error:
            raise JudgeFault(str(error)) from error
    return score


def _by_rules(problem: Problem, response: str) -> float | None:
    if not golds(problem):
        return None
    name = "choice" if isinstance(problem.answer, Mapping) and "options" in problem.answer else "math"
    return by_verifier(find(name))(problem, response)


def _boxed(problem: Problem, response: str) -> float | None:
    texts = golds(problem)
    content = _last_box(without_thinking(response))
    if not texts:
        return None
    return float(content is not None and _plain(content) in map(_plain, texts))


def _ending(problem: Problem, response: str) -> float | None:
    texts = golds(problem)
    if not texts:
        return None
    judged = without_turn_end(without_thinking(response))
    content = _last_box(judged)
    text = _plain(content if content is not None and judged.rstrip(_PUNCTUATION + " $\n").endswith(content) else judged)
    return float(any(_ends_with(text, _plain(gold)) for gold in texts))


def _ends_with(text: str, gold: str) -> bool:
    """True if a text ends with the gold answer, which is not the end of a longer number, word or sum."""
    text, gold = text.rstrip(_PUNCTUATION), gold.rstrip(_PUNCTUATION)
    before = text[: len(text) - len(gold)]
    if not gold or not text.endswith(gold):
        return False
    if gold[0] in "+-":
        return not (before and (before[-1].isdigit() or before[-1] in ")]"))
    # A sum such as 3+4 does not end with the answer 4. A letter before a number is a word, because spaces are gone.
    return not before or not (before[-1] in "+-*/^.·×÷" or (before[-1].isdigit() and gold[0].isdigit()))


def _plain(text: str) -> str:
    """Returns a text without spaces, marks and commas in numbers."""
    return _DECORATION.sub("", _NUMBER_COMMA.sub("", text)).replace("−", "-").casefold()


def _last_box(text: str) -> str | None:
    """Returns the content of the last complete \\boxed{}; None without one."""
    starts = [found.end() for found in _BOX.finditer(text)]
    if not starts:
        return None
    depth, end = 1, starts[-1]
    for end in range(starts[-1], len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return text[starts[-1] : end]
    return None
