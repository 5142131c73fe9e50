"""All code that reads a model's text takes time that is linear in its length."""

import functools
import time
from collections.abc import Callable

import pytest

from tenfold.benchmarks.judged import hle, style, writing_bench
from tenfold.core import Completion, Problem
from tenfold.envs.toy import short_notes
from tenfold.pipelines.refine import prompts
from tenfold.responses import without_thinking, without_turn_end
from tenfold.verifiers import code, fullstack, function_calls, pairwise
from tenfold.verifiers.answers.extraction import response
from tenfold.verifiers.answers.extraction.published import PUBLISHED
from tenfold.verifiers.calls import formats
from tenfold.verifiers.formats import last_numbers
from tenfold.verifiers.live_bench import programs
from tenfold.verifiers.programs import equality, fences, joined, selection

from .hostile import ANSWERS, AREA, BEGINNINGS, PIECES, problem, repeated, verifier

SIZES = (3_000, 6_000, 12_000)
SLOW = 0.08
"""A reader passes if the longest text takes less than this number of seconds. Linear reading is far below it, quadratic far
above."""
HANGS = 3.0
"""A reader fails if the shortest text takes more than this number of seconds."""
MAX_GROWTH = 10.0
"""Maximum factor in time for four times the text. Quadratic reading takes 16 times as long."""
HALF = 3.2
"""Maximum factor in time for twice the text. Quadratic reading takes four times as long."""
STDIN = {"stdin": [{"input": "1", "output": "2"}]}
NO_CALLS = Problem("p", (), {"functions": [AREA], "calls": []}, "here")


def judged_by(name: str) -> Callable[[str], object]:
    """Returns a function that does the verifier's work in this process."""
    posed = problem(name)
    if name == "code":
        return lambda text: code.program_of(posed, text)
    if name == "fullstack":
        return lambda text: fullstack._code(without_turn_end(without_thinking(text)), posed.answer)
    if name == "livebench_coding":
        return lambda text: programs.program_of(without_turn_end(without_thinking(text)))
    if name == "instructions":
        return lambda text: without_thinking(text).strip()
    if name == "reasoning_gym":
        return lambda text: response.tagged(text) or response.final_answer(text)
    judge = verifier(name)
    return lambda text: judge(posed, text)


READERS: dict[str, Callable[[str], object]] = {
    **{
        name: judged_by(name) for name in ANSWERS if name not in ("code_share", "science")
    },  # these read text in the same way as code and choice
    **{
        f"choice in the format {name}": functools.partial(find, options=("neon", "$x$", "(a) b", "A and B"))
        for name, find in PUBLISHED.items()
    },
    "a whole program": lambda text: selection.program_of(text, STDIN),
    "a program in C++": lambda text: selection.program_of(text, STDIN | {"language": "cpp"}),
    "a method": lambda text: selection.program_of(text, {"entry_point": "add", "calls": [], "footer": "add = A().add"}),
    "fences": fences.fenced,
    "fences within": lambda text: fences.fenced(text, within=True),
    "no calls": lambda text: function_calls.verify(NO_CALLS, text),
    "a tool's call": formats.last_call,
    "a pair": pairwise.shown,
    "what a program printed": lambda text: equality.same_output("1 2\n" * text.count("\n") + "1 " * 9, text),
    "a number that a program printed": lambda text: equality.same_output("1", text.replace(" ", "").replace("\n", "")),
    "a truncated text": lambda text: Completion(text, "length").scorable_text,
    "a note": lambda text: short_notes.rank("Tell them: 3 red, 4 blue.", text),
    "a checklist": prompts.read_checklist,
    "scores": lambda text: prompts.read_scores(text, []),
    "a judge's score": writing_bench.read,
    "a judgement": hle.read,
    "style": style.style,
    "imports of Go": lambda text: joined.go(text, "main"),
    "types of Java": lambda text: joined.java([text]),
    "last numbers": last_numbers.last_numbers,
}


def seconds(read: Callable[[str], object], text: str) -> float:
    begun = time.thread_time()
    read(text)
    return time.thread_time() - begun


def grows_too_fast(read: Callable[[str], object], beginning: str, piece: str) -> bool:
    """True if reading time grows faster than the text, three times in a row.

    That is: far more than four times as long for four times the text, and far more than twice as long for twice the text.

    The second condition is needed because text beyond some length may be read in a different way, which takes longer only once.
    """
    short, middle, long = (repeated(beginning, piece, "\x00", size) for size in SIZES)
    for _ in range(3):
        before = seconds(read, short)
        if before < HANGS and ((took := seconds(read, long)) < SLOW or took < MAX_GROWTH * before):
            return False
        if before < HANGS and took < HALF * seconds(read, middle):
            return False
    return True


@pytest.mark.parametrize("reader", READERS)
def test_reading_time_is_linear_in_the_length_of_a_text(reader: str) -> None:
    read = READERS[reader]
    read("So the answer is \\boxed{1/2}.")  # does the one-time setup
    cases = [(BEGINNINGS[number % len(BEGINNINGS)], piece) for number, piece in enumerate(PIECES)]
    assert next((case for case in cases if grows_too_fast(read, *case)), None) is None


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_reading_time_is_linear_for_repeated_marks(reader: str) -> None:
    pairs = [(beginning, piece + other) for beginning in BEGINNINGS for piece in PIECES[::2] for other in PIECES[::7]]
    assert next((case for case in pairs if grows_too_fast(READERS[reader], *case)), None) is None
