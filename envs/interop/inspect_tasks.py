"""Tasks of inspect-ai: how one is loaded, which of them are played here, and how a sample is played.

A sample is played by the task's own solvers, with the policy's response in place of the model's. So the prompt is that of the
solvers, and what they read from the response, such as the chosen option, is there for the scorer.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import faults, named_code
from ...core import Message, UserError

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Score, Scorer
    from inspect_ai.solver import TaskState

_PACKAGED = re.compile(r"([A-Za-z_]\w*)/[\w./-]+")
_FILE = re.compile(r"(.+\.py)@(\w+)")


class Posed(BaseException):
    """The solvers have reached the model. No `Exception`, because a solver may catch these."""


class NotPlayable(Exception):
    """The solvers do what is not possible here; the text says what."""


def load(address: str, arguments: Mapping[str, object]) -> "Task":
    """Returns a task.

    Args:
        address: PACKAGE/TASK of an installed package, or FILE.py@TASK.
        arguments: the task's arguments, as `inspect eval -T` takes them.

    Raises:
        UserError: there is no such task, or a recipe is not allowed to name it.
    """
    try:
        from inspect_ai._eval.loader import load_tasks
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "inspect_ai":
            raise
        raise UserError("inspect: needs the package inspect-ai: pip install inspect-ai") from error
    packaged, file = _PACKAGED.fullmatch(address), _FILE.fullmatch(address)
    if file:
        if named_code.is_limited():
            raise UserError(
                f"inspect:{address}: a recipe cannot name a file; put the task into a package, and write PACKAGE/TASK"
            )
        if not Path(file[1]).is_file():
            raise UserError(f"inspect:{address}: there is no file {file[1]}")
    elif not packaged:
        raise UserError(f"inspect:{address}: expected PACKAGE/TASK of an installed package, or FILE.py@TASK")
    if named_code.is_limited() and (
        named := [name for name, value in arguments.items() if not named_code.is_plain(name, value)]
    ):
        raise UserError(f"inspect:{address}: a recipe may set only numbers and plain words, and {named[0]} is neither")
    try:
        if packaged:
            named_code.import_module(packaged[1])
        tasks = load_tasks([address], dict(arguments))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # of any type: the import, the arguments or the task's own code
        raise UserError(f"inspect:{address} cannot be loaded: {faults.message(error)}") from error
    if len(tasks) != 1:
        raise UserError(f"inspect:{address}: there is no such task; `inspect list tasks` lists those of files")
    return tasks[0]


def unplayable(task: "Task") -> str:
    """Returns why a task is not one of single text turns that are scored here; empty if it is."""
    from inspect_ai.dataset import Dataset

    if not isinstance(task.dataset, Dataset):
        return "its samples are made while it runs"
    if not task.scorer:
        return "it has no scorer"
    if task.cleanup is not None:
        return "it has a cleanup"
    samples = [*task.dataset]
    if task.sandbox is not None or any(each.sandbox or each.files or each.setup for each in samples):
        return "it needs a sandbox of Inspect's"
    return next((why for each in samples if (why := _not_text(each))), "")


def _not_text(sample: "Sample") -> str:
    for turn in [] if isinstance(sample.input, str) else sample.input:
        if turn.role == "tool" or getattr(turn, "tool_calls", None):
            return "its prompts have tool calls"
        if not isinstance(turn.content, str) and any(part.type not in ("text", "reasoning") for part in turn.content):
            return "its prompts have parts that are no text"
    return ""


def scorer_names(task: "Task") -> list[str]:
    """Returns the names of a task's scorers, without the package inspect_ai."""
    from inspect_ai._util.registry import registry_log_name

    return [registry_log_name(each) for each in task.scorer or ()]


async def play(task: "Task", sample: "Sample", response: str | None) -> "tuple[TaskState, tuple[Message, ...]]":
    """Runs a task's solvers on a sample.

    Args:
        task: the task.
        sample: one of its samples. It is not changed.
        response: what the model says; None ends the solvers where they ask it.

    Returns:
        The state after the solvers, and the messages that they gave to the model.

    Raises:
        NotPlayable: the solvers do not ask the model exactly once, or give it tools.
    """
    from inspect_ai.model import ModelOutput

    state = _state(sample)
    asked: list[tuple[Message, ...]] = []

    async def generate(state: "TaskState", *_: object, **settings: object) -> "TaskState":
        if state.tools:
            raise NotPlayable("its solvers use tools")
        if asked:
            raise NotPlayable("its solvers ask the model more than once")
        asked.append(_messages(state))
        if response is None:
            raise Posed
        state.output = ModelOutput.from_content("tenfold/policy", response)
        state.messages.append(state.output.message)
        return state

    with contextlib.suppress(Posed):
        if task.setup is not None:
            for setup in [task.setup] if callable(task.setup) else task.setup:
                state = await setup(state, generate)
        state = await task.solver(state, generate)
    if not asked:
        raise NotPlayable("its solvers do not ask the model by generate()")
    return state, asked[0]


async def scored(task: "Task", sample: "Sample", response: str, scorer: "Scorer") -> "tuple[Score | None, tuple[Message, ...]]":
    """Returns the score of a response by a scorer of the task, and the messages of its prompt."""
    from inspect_ai.scorer import Target

    state, messages = await play(task, sample, response)
    return await scorer(state, Target(sample.target)), messages


def _state(sample: "Sample") -> "TaskState":
    """Returns the state at the start of a sample, and makes it the one that the solvers and scorers of this context find."""
    from inspect_ai.log._transcript import Transcript, init_transcript
    from inspect_ai.model import ChatMessageUser, ModelName
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState
    from inspect_ai.solver._task_state import set_sample_state
    from inspect_ai.util._store import init_subtask_store

    own = sample.model_copy(deep=True)  # solvers change messages, choices and metadata
    state = TaskState(
        ModelName("tenfold/policy"),
        own.id if own.id is not None else 1,
        1,
        own.input,
        [ChatMessageUser(content=own.input, source="input")] if isinstance(own.input, str) else [*own.input],
        Target(own.target),
        own.choices,
        metadata=own.metadata,
    )
    set_sample_state(state)
    init_transcript(Transcript())  # the default one keeps the events of the whole process
    init_subtask_store(state.store)
    return state


def _messages(state: "TaskState") -> tuple[Message, ...]:
    """Returns the conversation of a state.

    Raises:
        NotPlayable: a message has parts that are no text.
    """
    turns: Sequence[Any] = state.messages
    for turn in turns:
        if turn.role == "tool" or getattr(turn, "tool_calls", None):
            raise NotPlayable("its solvers add tool calls")
        if not isinstance(turn.content, str) and any(part.type not in ("text", "reasoning") for part in turn.content):
            raise NotPlayable("its solvers add parts that are no text")
    return tuple(Message(role=turn.role, content=turn.text) for turn in turns)
