"""`Inspect`: the samples of a single-turn task of inspect-ai here, scored by the task's own scorer.

    tenfold.make("inspect:inspect_evals/gsm8k", arguments={"fewshot": 0})
    tenfold.make("inspect:tasks/units.py@units")

The task's solvers make the prompt and read the response (`inspect_tasks.py`); its scores become numbers as Inspect's.
The task's settings of sampling are not used: a rollout has its own. Tasks with tools, several turns, a sandbox or a model that
grades are refused; they run as they are with `inspect eval` against a policy that is served.

A score that is NaN or missing is undecided. An exception of the task and a late score are faults.
"""

import asyncio
import concurrent.futures
import importlib.metadata
import json
import math
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ... import digests, faults
from ...core import Message, Problem, Status, UserError, Verdict
from ...responses import without_thinking
from ...texts import without_surrogates
from ..problems import rows
from ..text import TextEnv
from . import inspect_tasks

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Score

METHOD = "inspect"
T = TypeVar("T")


class Loaded:
    """A task with its samples as problems."""

    def __init__(self, address: str, arguments: Mapping[str, object], limit: int | None):
        """Loads a task and lets its solvers make all prompts.

        Args:
            address: see `Inspect`.
            arguments: see `Inspect`.
            limit: see `Inspect`.

        Raises:
            UserError: see `Inspect`.
        """
        self.address = address
        self.task: Task = inspect_tasks.load(address, arguments)
        if why := inspect_tasks.unplayable(self.task):
            raise refused(address, why)
        self.samples: list[Sample] = [*self.task.dataset][:limit]
        for index, sample in enumerate(self.samples):
            sample.id = index + 1 if sample.id is None else sample.id  # as Inspect numbers them
        problems = [self._problem(index, sample) for index, sample in enumerate(self.samples)]
        self.problems: Sequence[Problem] = rows.with_distinct_ids(problems)

    def _problem(self, index: int, sample: "Sample") -> Problem:
        try:
            _, messages = waited(inspect_tasks.play(self.task, sample, None), 60.0)
        except inspect_tasks.NotPlayable as error:
            raise refused(self.address, str(error)) from None
        except Exception as error:  # of any type: the task's solvers
            raise refused(self.address, f"its solvers raise an error on sample {sample.id}: {faults.message(error)}") from error
        target = sample.target if isinstance(sample.target, str) else [*sample.target]
        answer = target[0] if isinstance(target, list) and len(target) == 1 else target
        turns = tuple(Message(role=turn["role"], content=without_surrogates(turn["content"])) for turn in messages)
        return Problem(str(sample.id), turns, answer, f"inspect:{self.address}", {"sample": index})

    def digest(self) -> str:
        """Returns the digest of what the samples and prompts are."""
        texts = (sample.model_dump_json(exclude={"id"}) for sample in self.samples)
        return digests.of_all([problem.id, problem.prompt, text] for problem, text in zip(self.problems, texts, strict=True))


class Inspect(TextEnv):
    """A `TextEnv` whose problems and scores are those of a task of inspect-ai."""

    def __init__(
        self,
        address: str,
        arguments: Mapping[str, object] | None = None,
        scorer: str | None = None,
        value: str | None = None,
        limit: int | None = None,
        template: str = "{prompt}",
        system: str | None = None,
        seconds: float = 60.0,
    ):
        """Loads the task.

        Args:
            address: PACKAGE/TASK of an installed package, as for `inspect eval`, or FILE.py@TASK.
            arguments: arguments of the task, those of `inspect eval -T`.
            scorer: name of the scorer, for a task with several.
            value: name of the number, for a scorer that returns several by name.
            limit: number of samples, the first ones; None: all.
            template: see `TextEnv`.
            system: see `TextEnv`.
            seconds: time limit of a score.

        Raises:
            UserError: there is no such task, a recipe is not allowed to name it, or it cannot be played here.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise UserError(f"seconds: expected a number above 0, got {seconds!r:.80}")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UserError(f"limit: expected a number of samples of at least 1, got {limit!r:.80}")
        self.address, self.value, self.seconds = address, value, seconds
        self._loaded = loaded(address, arguments or {}, limit)
        names = inspect_tasks.scorer_names(self._loaded.task)
        if scorer is None and len(names) > 1:
            raise UserError(f"inspect:{address} has several scorers: set scorer to one of {', '.join(names)}")
        if scorer is not None and scorer not in names:
            raise UserError(f"inspect:{address} has no scorer {scorer!r:.80}; it has {', '.join(names)}")
        assert self._loaded.task.scorer is not None  # `unplayable` refuses tasks without
        self._scorer = self._loaded.task.scorer[names.index(scorer) if scorer is not None else 0]
        if self._loaded.samples:
            self._try()
        super().__init__(self._loaded.problems, self._judge, template, system)

    def _try(self) -> None:
        """Plays the first sample, to refuse tasks of several turns, with a model that grades, or with several numbers."""
        for response in ("", str(self._loaded.problems[0].answer)):
            try:
                score = self._score(0, response)
            except inspect_tasks.NotPlayable as error:
                raise refused(self.address, str(error)) from None
            except Exception as error:  # of any type: the task's own code, which may judge other responses
                if "model" in str(error).lower() and "specif" in str(error).lower():
                    raise refused(self.address, "a model of its own is asked for the score") from error
                continue
            if score is not None and isinstance(score.value, Mapping) and self.value not in score.value:
                names = ", ".join(map(str, score.value))
                raise UserError(f"inspect:{self.address}: its scorer returns several numbers: set value to one of {names}")
            if score is not None and isinstance(score.value, list | tuple):
                raise refused(self.address, "its scorer returns a list of numbers")

    def _score(self, index: int, response: str) -> "Score | None":
        task, sample = self._loaded.task, self._loaded.samples[index]
        score, messages = waited(inspect_tasks.scored(task, sample, response, self._scorer), self.seconds)
        posed = self._loaded.problems[index].prompt
        if [without_surrogates(turn["content"]) for turn in messages] != [turn["content"] for turn in posed]:
            raise RuntimeError("the task's solvers make another prompt each time: set its seed, or turn shuffling off")
        return score

    def _judge(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict of the task on a response."""
        from inspect_ai.scorer import value_to_float

        index = problem.meta["sample"]
        assert isinstance(index, int)
        try:
            score = self._score(index, without_thinking(response))
            value = None if score is None else score.value
            if isinstance(value, Mapping):
                value = value[self.value]
            number = math.nan if value is None else value_to_float()(value)
        except concurrent.futures.TimeoutError:
            return Verdict(Status.FAULT, None, METHOD, f"the task gave no score in {self.seconds:g} seconds")
        except Exception as error:  # of any type: the task's own code
            return Verdict(Status.FAULT, None, METHOD, faults.message(error)[:300])
        told = (score.reason or score.answer or score.explanation or "") if score else ""
        reason = " ".join(without_surrogates(str(told)).split())[:300]
        if math.isnan(number):
            return Verdict(Status.UNDECIDED, None, METHOD, reason or "the task's scorer gave no score")
        if math.isinf(number):
            return Verdict(Status.FAULT, None, METHOD, f"the task's score is {number}")
        return Verdict(Status.SCORED, number, METHOD, reason)

    @staticmethod
    def identity(
        address: str, arguments: Mapping[str, object] | None = None, limit: int | None = None, **_: object
    ) -> dict[str, str]:
        """Returns what determines the scores besides the arguments: versions, samples and prompts, and the task's source."""
        found = loaded(address, arguments or {}, limit)
        package, sign, _rest = address.partition("/")
        parts = {"inspect-ai": importlib.metadata.version("inspect-ai"), "samples": found.digest()}
        if ".py@" in address:
            parts["source"] = digests.of_file(address.rpartition("@")[0])
        elif sign:
            distributions = importlib.metadata.packages_distributions().get(package, [])
            parts |= {name: importlib.metadata.version(name) for name in distributions}
        return parts | {"task version": str(found.task.version)}


def refused(address: str, why: str) -> UserError:
    """Returns the error for a task that is not played here."""
    return UserError(
        f"inspect:{address} cannot be played here: {why}. Run `inspect eval {address} --model openai-api/tenfold/MODEL` "
        "against a server of the policy (tenfold policy serve)"
    )


_LOCK = threading.Lock()
_tasks: dict[tuple[object, ...], Loaded] = {}
"""Tasks by address and arguments. A rollout makes an environment for each episode."""
MAX_TASKS = 8


def loaded(address: str, arguments: Mapping[str, object], limit: int | None) -> Loaded:
    """Returns a task, from memory if it was loaded before and its file has not changed.

    Raises:
        UserError: see `Inspect`.
    """
    try:
        file = address.rpartition("@")[0]
        changed = os.stat(file).st_mtime_ns if file.endswith(".py") and os.path.isfile(file) else 0
        key = (address, json.dumps(arguments, sort_keys=True), limit, changed)
    except TypeError:  # an object, which may change
        return Loaded(address, arguments, limit)
    with _LOCK:
        if key not in _tasks:
            while len(_tasks) >= MAX_TASKS:
                del _tasks[next(iter(_tasks))]
            _tasks[key] = Loaded(address, arguments, limit)
        return _tasks[key]


class _Loop:
    """The event loop of this process, in a thread of its own, because the caller may run in another loop."""

    lock = threading.Lock()
    running: "asyncio.AbstractEventLoop | None" = None
    process = 0


def waited(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    """Runs a coroutine and returns its result. After a late result, the next call gets a new event loop.

    Raises:
        TimeoutError: it takes longer.
    """
    with _Loop.lock:
        if _Loop.running is None or _Loop.process != os.getpid():
            _Loop.running, _Loop.process = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_Loop.running.run_forever, daemon=True).start()
        loop = _Loop.running
    waiting = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return waiting.result(seconds)
    except concurrent.futures.TimeoutError:
        waiting.cancel()
        with _Loop.lock:
            if _Loop.running is loop:
                _Loop.running = None  # its thread may be blocked by the task's code
        raise
