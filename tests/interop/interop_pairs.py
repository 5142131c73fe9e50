"""Responses to the problems of the conformance suite, each with the score that it must get through every door.

A score is None if the verdict has none: the sample must be left out, and must not count as 0. The scores are written here by
hand. `verdict` is the judgement to compare with: `tenfold.verify`, or the environment itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import interop_environments as own

import tenfold
from tenfold.core import Completion, Status, Verdict

MATH, CODE, CHOICE, TOOL, NOTES = own.IDS


@dataclass(frozen=True)
class Pair:
    """A problem, and the turns of a response to it."""

    id: str
    problem: int
    kind: str
    turns: tuple[Completion, ...]
    score: float | None
    """The score that the response must get; None: it must be left out."""
    status: Status = Status.SCORED

    @property
    def name(self) -> str:
        """The pair in the message of a failed test."""
        return f"{self.id.rpartition('/')[2]} {self.problem} {self.kind}"

    @property
    def is_truncated(self) -> bool:
        """True if the last turn was truncated at its limit of tokens."""
        return self.turns[-1].finish_reason == "length"


def _said(*texts: str, ended: bool = True) -> tuple[Completion, ...]:
    return tuple(
        Completion(text, "stop" if ended or number < len(texts) - 1 else "length") for number, text in enumerate(texts)
    )


def _answers(right: str, wrong: str) -> Iterator[tuple[str, tuple[Completion, ...], float]]:
    """Yields the kinds of responses to a problem with a short answer, each with its score."""
    yield "right", _said(f"The answer is {right}."), 1
    yield "right, in a box", _said(f"So it is \\boxed{{{right}}}."), 1
    yield "right, alone", _said(right), 1
    yield "right after thinking", _said(f"<think>Perhaps {wrong}.</think>\nThe answer is {right}."), 1
    yield "right after thinking that the prompt opened", _said(f"Perhaps {wrong}.</think>\nThe answer is {right}."), 1
    yield "right, then a wrong one", _said(f"The answer is {right}. No, the answer is {wrong}."), 0
    yield "wrong", _said(f"The answer is {wrong}."), 0
    yield "wrong after a right draft", _said(f"<think>\\boxed{{{right}}}</think>The answer is {wrong}."), 0
    yield "thinking without an end", _said(f"<think>The answer is {right}."), 0
    yield "empty", _said(""), 0
    yield "white space", _said(" \n\n\t "), 0
    yield "unreadable", _said("\x00\ufffd\u202e ](((( \\frac{{{ $$"), 0
    yield "another language's digits", _said("答案是：没有。"), 0
    yield "truncated before the answer", _said("Let me think about this. The answer is", ended=False), 0
    yield "truncated within the answer", _said(f"First I look.\nSo the answer is {right}", ended=False), 0
    yield "truncated after a box", _said(f"It is \\boxed{{{right}}} because", ended=False), 1
    yield "truncated within thinking", _said(f"<think>It is \\boxed{{{right}}}", ended=False), 0


def _math() -> Iterator[Pair]:
    for problem, (a, b) in enumerate(own.SUMS):
        for kind, turns, score in _answers(str(a + b), str(a + b + 1)):
            yield Pair(MATH, problem, kind, turns, score)
    for text in ("It is 4.", "\\boxed{1}", "<think>5</think>The answer is 7."):
        yield Pair(MATH, own.UNREADABLE, f"gold unreadable: {text!r}", _said(text), None, Status.UNDECIDED)


def _choice() -> Iterator[Pair]:
    for problem, letter in enumerate(own.QUESTIONS.values()):
        other = "A" if letter != "A" else "D"
        for kind, turns, score in _answers(letter, other):
            yield Pair(CHOICE, problem, kind, turns, score)
        planet = own.OPTIONS["ABCD".index(letter)]
        yield Pair(CHOICE, problem, "the option's text", _said(f"The answer is {planet}."), 1)
        yield Pair(CHOICE, problem, "all letters", _said("A, B, C and D"), 0)


def _code() -> Iterator[Pair]:
    for problem, (name, body) in enumerate(own.FUNCTIONS.items()):
        program = f"```python\ndef {name}(x):\n    return {body}\n```"
        wrong = program.replace(body, "'nothing'")
        yield Pair(CODE, problem, "right", _said(program), 1)
        yield Pair(CODE, problem, "right after thinking", _said(f"<think>\n{wrong}\n</think>\n{program}"), 1)
        yield Pair(CODE, problem, "wrong", _said(wrong), 0)
        yield Pair(CODE, problem, "wrong after a right draft", _said(f"<think>\n{program}\n</think>\n{wrong}"), 0)
        yield Pair(CODE, problem, "no program", _said("I would multiply."), 0)
        yield Pair(CODE, problem, "no Python", _said("```python\ndef (:\n```"), 0)
        yield Pair(CODE, problem, "raises", _said(program.replace("return", "raise ValueError #")), 0)
        yield Pair(CODE, problem, "leaves the process", _said(f"```python\nimport os\nos._exit(0)\n```\n{wrong}"), 0)
        yield Pair(CODE, problem, "truncated within the program", _said(program[: program.index("return") + 3], ended=False), 0)
        yield Pair(CODE, problem, "thinking without an end", _said(f"<think>\n{program}", ended=False), 0)
    endless = f"```python\ndef {next(iter(own.FUNCTIONS))}(x):\n    while True: pass\n```"
    yield Pair(CODE, 0, "endless", _said(endless), 0, Status.TIMEOUT)


def _tool() -> Iterator[Pair]:
    for problem, (a, b) in enumerate(own.SUMS):
        right, wrong = str(a + b), str(a + b + 1)
        call = _call("python", {"code": f"print({a} + {b})"})
        yield Pair(TOOL, problem, "a call, then right", _said(call, f"It is {right}."), 1)
        yield Pair(TOOL, problem, "a call, then wrong", _said(call, f"It is {wrong}."), 0)
        yield Pair(TOOL, problem, "right without a call", _said(f"It is {right}."), 1)
        yield Pair(TOOL, problem, "a call of no tool, then right", _said(_call("no_tool", {}), f"It is {right}."), 1)
        yield Pair(TOOL, problem, "two calls, of which one is allowed", _said(call, call), 0)
        yield Pair(TOOL, problem, "a call and no answer", _said(call), 0)
        yield Pair(TOOL, problem, "a truncated answer", _said(call, f"So it is {right}", ended=False), 0)
    yield Pair(TOOL, own.UNREADABLE, "gold unreadable", _said("It is 4."), None, Status.UNDECIDED)


def _call(name: str, arguments: dict[str, str]) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def _notes() -> Iterator[Pair]:
    for problem, about in enumerate(own.NOTES_ABOUT):
        yield Pair(NOTES, problem, "shorter", _said(f"See {about[:3]}."), 1)
        yield Pair(NOTES, problem, "longer", _said(f"This note is much longer and tells of {about}."), 0)
        yield Pair(NOTES, problem, "equally long", _said("One two three four five"), 0.5)
        yield Pair(NOTES, problem, "shorter after thinking", _said("<think>one two three four five six</think>Short."), 1)
        yield Pair(NOTES, problem, "empty", _said(""), 0)
        yield Pair(NOTES, problem, "truncated after a sentence", _said("Short. And then there is more of", ended=False), 1)
        yield Pair(NOTES, problem, "the judge fails", _said(own.BREAKS_JUDGE), None, Status.FAULT)
    yield Pair(NOTES, len(own.NOTES_ABOUT), "no reference", _said("Short."), None, Status.UNDECIDED)


def pairs() -> list[Pair]:
    """Returns all pairs."""
    return [*_math(), *_choice(), *_code(), *_tool(), *_notes()]


def verdict(pair: Pair) -> Verdict:
    """Returns the verdict that a pair must get: of `tenfold.verify`, or of the environment if it needs one."""
    if pair.id in (MATH, CHOICE, CODE):
        gold = tenfold.make(pair.id).unwrapped.problems[pair.problem].answer  # type: ignore[attr-defined]
        return tenfold.verify(gold, pair.turns[0].scorable_text, {MATH: "math", CHOICE: "choice", CODE: "code"}[pair.id])
    environment = tenfold.make(pair.id)
    environment.reset(seed=pair.problem, options={"problem": pair.problem})
    rewards = 0.0
    for turn in pair.turns:
        _, reward, _, _, info = environment.step(turn.scorable_text)
        rewards += reward
    environment.close()
    found: Verdict = info.get("verdict") or Verdict(Status.SCORED, rewards, "environment", "")
    return found
