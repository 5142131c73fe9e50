"""`Verifiers`: the tasks of a taskset of verifiers 0.4 here, scored by the taskset itself.

    tenfold.make("verifiers:gsm8k")
    tenfold.make("verifiers:gsm8k", taskset={"split": "test"}, limit=100)

A task is played here if it is plain: one prompt, one response, and rewards that read the conversation. Tasks with tools, a
container, a harness or an environment of their own are refused; they run as they are against a policy that is served.
An error of the taskset, a reward that is no finite number and a late score are faults.
"""

import asyncio
import concurrent.futures
import itertools
import math
import threading
from collections.abc import Coroutine, Iterator, Mapping
from types import ModuleType
from typing import Any

from ... import faults, named_code
from ...core import Message, Problem, Status, UserError, Verdict
from ...responses import without_thinking
from ...texts import without_surrogates
from ..problems import rows
from ..text import TextEnv

MAX_TASKS = 1_000_000
"""Largest number of tasks that are read. Our choice."""
METHOD = "verifiers"


class Verifiers(TextEnv):
    """A `TextEnv` whose problems and scores are those of a taskset of verifiers."""

    def __init__(
        self,
        address: str,
        taskset: Mapping[str, object] | None = None,
        limit: int | None = None,
        template: str = "{prompt}",
        system: str | None = None,
        seconds: float = 600.0,
    ):
        """Loads the taskset.

        Args:
            address: name of the package of the taskset, as for `vf-eval`.
            taskset: settings of the taskset, those under `--env.taskset`.
            limit: number of tasks, the first ones; required for a taskset without end.
            template: see `TextEnv`.
            system: see `TextEnv`.
            seconds: time limit of a score. The task's own limit holds too.

        Raises:
            UserError: there is no such taskset, a recipe does not list its module, or its tasks cannot be played here.
        """
        if not seconds > 0:
            raise UserError(f"seconds: expected a number above 0, got {seconds!r:.80}")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MAX_TASKS):
            raise UserError(f"limit: expected a number of tasks from 1 to {MAX_TASKS}, got {limit!r:.80}")
        self.address, self.seconds = address, seconds
        self._vf = package(f"verifiers:{address}")
        loaded = _taskset(self._vf, address, taskset or {})
        if limit is None and not loaded.bounded:
            raise UserError(f"verifiers:{address} has tasks without end: set limit to the number of tasks")
        try:
            self.tasks = [*itertools.islice(loaded, limit or MAX_TASKS)]
        except Exception as error:  # of any type: the package reads its data
            raise UserError(f"verifiers:{address} cannot load its tasks: {faults.described(error)}") from error
        for task in self.tasks:
            if why := _unplayable(self._vf, task):
                raise _refused(address, why)
        problems = [_problem(address, index, task) for index, task in enumerate(self.tasks)]
        super().__init__(rows.with_distinct_ids(problems), self._judge, template, system)
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        """Ends the event loop of the scores."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        super().close()

    def _judge(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict of the task on a response. The reward is the taskset's own, which may be above 1."""
        index = problem.meta["task"]
        assert isinstance(index, int)
        task = self.tasks[index]
        own = task.data.timeout.scoring
        seconds = self.seconds if own is None else min(self.seconds, own)
        trace = _trace(self._vf, task, response)
        try:
            self._wait(task.score(trace), seconds)
            reward = float(trace.reward)
        except concurrent.futures.TimeoutError:
            return Verdict(Status.FAULT, None, METHOD, f"the taskset gave no score in {seconds:g} seconds")
        except Exception as error:  # of any type: code of the package
            return Verdict(Status.FAULT, None, METHOD, faults.message(error))
        if trace.errors:
            return Verdict(Status.FAULT, None, METHOD, " ".join(trace.errors[-1].message.split())[:300])
        if not math.isfinite(reward):
            return Verdict(Status.FAULT, None, METHOD, f"the taskset's reward is {reward}")
        parts = ", ".join(f"{name} {part.score:g}" for name, part in trace.rewards.items() if part is not None)
        return Verdict(Status.SCORED, reward, METHOD, parts[:300])

    def _wait(self, coroutine: Coroutine[Any, Any, None], seconds: float) -> None:
        """Runs a coroutine in the event loop, which has a daemon thread. After a late score the next one gets a new loop.

        Raises:
            TimeoutError: it takes longer.
        """
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            waiting.result(seconds)
        except concurrent.futures.TimeoutError:
            waiting.cancel()
            self._loop = None  # its thread may be blocked by code of the package
            raise


def package(user: str) -> ModuleType:
    """Returns the package verifiers. A folder here has the same name; therefore the installed packages are asked first.

    Args:
        user: what needs the package, for the error.

    Raises:
        UserError: it is not installed.
    """
    import importlib.metadata

    try:
        importlib.metadata.version("verifiers")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"{user} needs the package verifiers: pip install 'verifiers==0.4.*'") from None
    import verifiers.v1

    return verifiers.v1


def _taskset(vf: ModuleType, address: str, settings: Mapping[str, object]) -> Any:
    """Returns the taskset of a package with settings.

    Raises:
        UserError: see `Verifiers`.
    """
    import importlib.util

    if not address.replace("-", "_").isidentifier():
        raise UserError(f"verifiers:{address}: expected the name of an installed package, such as verifiers:gsm8k")
    if named_code.is_limited() and (named := [name for name in settings if not named_code.is_plain(name, settings[name])]):
        raise UserError(f"verifiers:{address}: a recipe may set only numbers and plain words, and {named[0]} is neither")
    module = address.replace("-", "_").lower()
    own = f"verifiers.v1.tasksets.{module}"
    try:
        named_code.import_module(own if importlib.util.find_spec(own) else module)
        if vf.default_harness_id(address) == address:
            raise _refused(address, "it has a harness of its own")
        if not issubclass(vf.SingleAgentEnv, vf.environment_class(address)):
            raise _refused(address, "it has an environment of its own")
        config = vf.taskset_config_type(address).model_validate({**settings, "id": address})
        loaded = vf.load_taskset(config)
        if loaded.toolsets(config):
            raise _refused(address, "it has tools")
    except (UserError, named_code.NotImported):
        raise
    except Exception as error:  # of any type: the import, the settings or the package's own code
        raise UserError(f"verifiers:{address} cannot be used: {faults.message(error)}") from error
    return loaded


def _refused(address: str, why: str) -> UserError:
    return UserError(
        f"verifiers:{address} cannot be played here: {why}. Run `vf-eval {address} -m MODEL` against a server of the policy "
        "(tenfold policy serve)"
    )


def _unplayable(vf: ModuleType, task: Any) -> str:
    """Returns why a task is not plain; empty if it is."""
    kind = type(task)
    if task.NEEDS_CONTAINER or task.data.image:
        return "its tasks need a container"
    if kind.toolsets(task.config):
        return "its tasks have tools"
    for hook in ("setup", "finalize", "stage_verifier"):
        if getattr(kind, hook) is not getattr(vf.Task, hook):
            return f"its tasks have {hook}(), which needs verifiers' runtime"
    if task.data.prompt is None:
        return "its tasks have no prompt"
    if not isinstance(task.data.prompt, str) and any(_parts(turn) is None for turn in task.data.prompt):
        return "its prompts have parts that are no text"
    if not isinstance(task.data.prompt, str) and any(turn.role == "tool" for turn in task.data.prompt):
        return "its prompts have replies of tools"
    if any(_needs_runtime(function) for name in ("metric", "reward") for function in task.hooks(name)):
        return "its rewards need verifiers' runtime"
    if any(_needs_runtime(judge.score) for judge in task.plugged_judges()):
        return "its judge needs verifiers' runtime"
    return ""


def _needs_runtime(function: Any) -> bool:
    """True if `Task.score` would leave out a signal, because it reads the runtime."""
    import inspect

    parameter = inspect.signature(function).parameters.get("runtime")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _parts(turn: Any) -> str | None:
    """Returns the text of a turn, or None if a part of it is no text."""
    if turn.content is None or isinstance(turn.content, str):
        return turn.content or ""
    texts = [getattr(part, "text", None) for part in turn.content]
    return None if any(text is None for text in texts) else "".join(map(str, texts))


def _turns(task: Any) -> Iterator[Message]:
    if task.data.system_prompt:
        yield Message(role="system", content=task.data.system_prompt)
    if isinstance(task.data.prompt, str):
        yield Message(role="user", content=task.data.prompt)
        return
    for turn in task.data.prompt:
        yield Message(role=turn.role, content=_parts(turn) or "")


def _problem(address: str, index: int, task: Any) -> Problem:
    turns = tuple(Message(role=turn["role"], content=without_surrogates(turn["content"])) for turn in _turns(task))
    id = task.data.id or task.data.name or str(index)
    return Problem(without_surrogates(str(id)), turns, "", f"verifiers:{address}", {"task": index})


def _trace(vf: ModuleType, task: Any, response: str) -> Any:
    """Returns verifiers' record of an episode with one response, which `Task.score` reads."""
    from verifiers.v1.state import state_cls  # type: ignore[import-not-found, unused-ignore]

    trace = vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        state=state_cls(type(task))(),
        agent=vf.AgentInfo(config=vf.AgentConfig(harness={"id": "null"})),
    )
    asked = [*_turns(task)]
    kinds = {"system": vf.SystemMessage, "user": vf.UserMessage, "assistant": vf.AssistantMessage}
    for place, turn in enumerate(asked):
        message = kinds[turn["role"]](content=turn["content"])
        trace.nodes.append(vf.MessageNode(parent=place - 1 if place else None, message=message))
    # A server of verifiers sets the reasoning aside, so that the taskset does not read it.
    said = vf.AssistantMessage(content=without_thinking(response))
    trace.nodes.append(vf.MessageNode(parent=len(asked) - 1, message=said, sampled=True))
    trace.calls.append(vf.ModelCall(node=len(asked), finish_reason="stop"))
    trace.is_completed = trace.ok = True
    trace.stop("agent_completed")
    return trace
