"""How a judging function of the user is called, and what it may return.

The names of its parameters decide what it receives:

    def verify(problem, response)      the `Problem`, and the text of the response
    def verify(gold, answer)           `problem.answer`, and the final answer in the response
    def verify(response)               any of these four names, in any order

If its first two parameters have other names, such as `(row, text)`, they are the problem and the response. All further
parameters need defaults: they are the verifier's options. The function may be a coroutine function (`async def`).

`answer` is the final answer in the response: the content of the last `\\boxed{...}` or `<answer>` tag, the text after "the
answer is", or the result in the last line (`answers/extraction/response.py`). If there is none, `answer` is the whole response
without its reasoning.
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import math
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import SupportsFloat

from ...core import Part, Problem, Status, UserError, Verdict
from ...responses import without_thinking

MAX_REASON_CHARACTERS = 400
"""Maximum number of characters of a verdict's reason. Our choice."""

VerdictLike = Verdict | SupportsFloat | Mapping[str, object]
"""What a judging function may return: a verdict, a score from 0 to 1, True if the response is correct, or
{"score": 0.5, "reason": "...", "parts": {"format": 1.0, ...}}, where only the score is required. With {"score": None} the
verdict is undecided."""
JudgingFunction = Callable[..., VerdictLike | Awaitable[VerdictLike]]
"""A function of a problem and a response, or of a gold answer and an answer; see the module's docstring."""

INPUTS: Mapping[str, Callable[[Problem, str], object]] = {
    "problem": lambda problem, response: problem,
    "response": lambda problem, response: response,
    "gold": lambda problem, response: problem.answer,
    "answer": lambda problem, response: _final_answer(response),
}
"""The inputs of a judging function, by the name of the parameter."""


@dataclass(frozen=True)
class Signature:
    """The inputs and options of a judging function."""

    inputs: tuple[str, ...]
    """Names of `INPUTS` that the function takes by name; empty if it takes the problem and the response by position."""
    options: Mapping[str, object]
    """The options with their defaults."""


def signature(function: JudgingFunction, given: Collection[str] = ()) -> Signature:
    """Returns the inputs and options of a judging function.

    Args:
        function: the function.
        given: names of parameters that have values although they have no defaults.

    Raises:
        UserError: the function cannot be called with a problem and a response.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):  # some functions of C have no signature
        return Signature((), {})
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UserError(f"{_name(function)} cannot be a verifier: it yields values; return one score")
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    required = {each.name for each in parameters if each.default is each.empty and each.kind not in _VARIABLE} - {*given}
    inputs = tuple(each.name for each in named if each.name in INPUTS)
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    names = [each.name for each in positional[:2]]
    by_position = inputs == ("problem", "response") == tuple(names)
    if required <= {*inputs} and {"response", "answer"} & {*inputs} and not by_position:
        return Signature(inputs, _defaults([each for each in named if each.name not in INPUTS]))
    if len(positional) < 2 and not any(each.kind == each.VAR_POSITIONAL for each in parameters):
        raise UserError(
            f"{_name(function)} cannot be a verifier: it takes ({', '.join(each.name for each in parameters)}); "
            "give it the parameters (problem, response) or (gold, answer)"
        )
    if missing := sorted(required - {*names}):
        raise UserError(
            f"{_name(function)} cannot be a verifier: no value for its parameter {missing[0]}; a verifier takes "
            "(problem, response) or (gold, answer), and options with defaults"
        )
    # A parameter with such a name would get another input than its name says.
    if {"gold", "answer"} & {*names} or names[:1] == ["response"] or names[1:] == ["problem"]:
        raise UserError(
            f"{_name(function)} cannot be a verifier: it takes {' and '.join(names)}; "
            "name its parameters gold and answer, or problem and response, and use no / after them"
        )
    return Signature((), _defaults([each for each in parameters if each not in positional[:2]]))


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _defaults(parameters: list[inspect.Parameter]) -> dict[str, object]:
    optional = [each for each in parameters if each.default is not each.empty and each.kind != each.POSITIONAL_ONLY]
    return {each.name: each.default for each in optional}


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def call(
    function: JudgingFunction, inputs: tuple[str, ...], problem: Problem, response: str, options: Mapping[str, object]
) -> VerdictLike:
    """Calls a judging function and, if it is a coroutine function, waits for its result.

    Args:
        function: the function.
        inputs: `Signature.inputs` of the function.
        problem, response: what is judged.
        options: further keyword arguments.
    """
    if inputs:
        value = function(**{name: INPUTS[name](problem, response) for name in inputs}, **options)
    else:
        value = function(problem, response, **options)
    return _awaited(value) if isinstance(value, Awaitable) else value


def as_verdict(value: VerdictLike, method: str) -> Verdict:
    """Converts the return value of a judging function to a verdict. A value of another form is a fault.

    Args:
        value: see `VerdictLike`.
        method: method of the verdict, usually the function's name.
    """
    if isinstance(value, Verdict):
        return _checked(value, method)
    if isinstance(value, Mapping):
        return _of_mapping(value, method)
    score = _score(value)
    if score is None:
        reason = f"the verifier must return a verdict, a number, a bool or a dict with a score, but returned {value!r:.100}"
        return Verdict(Status.FAULT, None, method, reason)
    if not 0 <= score <= 1:
        return Verdict(Status.FAULT, None, method, f"a score must be from 0 to 1, but the verifier returned {score:g}")
    return Verdict(Status.SCORED, score, method, "")


def _checked(verdict: Verdict, method: str) -> Verdict:
    """Returns a verdict; a fault if its score does not agree with its status."""
    has_score, score = verdict.status in (Status.SCORED, Status.TIMEOUT), _score(verdict.score)
    if has_score and score is not None and 0 <= score <= 1:
        return verdict if isinstance(verdict.score, int | float) else replace(verdict, score=score)
    if not has_score and verdict.score is None:
        return verdict
    reason = f"the verifier returned a verdict with the status {verdict.status} and the score {verdict.score}"
    return Verdict(Status.FAULT, None, method, reason)


def _score(value: object) -> float | None:
    """Returns a value as a number, or None."""
    try:
        return None if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _of_mapping(value: Mapping[str, object], method: str) -> Verdict:
    """Returns the verdict of {"score": ..., "reason": ..., "parts": {...}}. Other entries are added to the reason."""
    if "score" not in value:
        return Verdict(Status.FAULT, None, method, f"the verifier returned a dict without the key 'score': {value!r:.100}")
    given = value.get("reason", value.get("reasons", ""))
    reasons = [str(each) for each in given] if isinstance(given, list | tuple) else [str(given)] if given else []
    reasons += [f"{name}={each}" for name, each in value.items() if name not in ("score", "reason", "reasons", "parts")]
    reason = "; ".join(reasons)[:MAX_REASON_CHARACTERS]
    if value["score"] is None:
        return Verdict(Status.UNDECIDED, None, method, reason)
    verdict = as_verdict(value["score"], method)  # type: ignore[arg-type]
    if verdict.status != Status.SCORED:
        return verdict
    parts = value.get("parts") or {}
    if not isinstance(parts, Mapping):
        return Verdict(Status.FAULT, None, method, f"parts must be a dict of scores, but the verifier returned {parts!r:.100}")
    scores = {str(name): _score(score) for name, score in parts.items()}
    if wrong := [name for name, score in scores.items() if score is None or not math.isfinite(score)]:
        return Verdict(Status.FAULT, None, method, f"parts must be a dict of scores, but {wrong[0]} is no number")
    return Verdict(
        Status.SCORED, verdict.score, method, reason, parts=tuple(Part(name, score, 0.0) for name, score in scores.items())
    )


def _final_answer(response: str) -> str:
    from ..answers.extraction.response import final_answer  # not needed by functions of a problem and a response

    answer = final_answer(response)
    return without_thinking(response).strip() if answer is None else answer


def _awaited(value: Awaitable[VerdictLike]) -> VerdictLike:
    """Waits for a coroutine in the event loop of the process. All coroutines share it, so that they can share connections."""

    async def wait() -> VerdictLike:
        return await value

    def run_apart() -> VerdictLike:
        _loop_is_blocked.set(True)
        return asyncio.run(wait())

    loop = _event_loop(os.getpid())
    if _running_loop() is loop or _loop_is_blocked.get():  # a coroutine calls another verifier, and the loop waits for it
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run_apart).result()
    return asyncio.run_coroutine_threadsafe(wait(), loop).result()


_loop_is_blocked = contextvars.ContextVar("_loop_is_blocked", default=False)
"""True in a coroutine (and its threads) that runs in another event loop while the event loop of the process waits for it."""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@functools.cache
def _event_loop(process: int) -> asyncio.AbstractEventLoop:
    """Starts an event loop in a thread of its own. A forked process has no copy of the thread, and starts its own loop."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        while True:  # a coroutine that raises SystemExit ends `run_forever`, but not the loop
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_forever()

    threading.Thread(target=run, name=f"verifiers of process {process}", daemon=True).start()
    return loop
