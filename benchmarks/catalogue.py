"""The available benchmarks.

NAME            one of our tasks (one YAML file each in `tasks/`), or a suite of tasks
lm_eval:NAME    one of lm-eval's own tasks
env:ID          a registered environment, with options as in env:ID?NAME=VALUE (`environment.py`)
FILE.yaml       a task of your own (`task_file.py`)
"""

import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from lm_eval import tasks as lm_evals
from lm_eval.tasks import TaskManager

from ..core import UserError
from . import environment_name, task_file

TASKS = Path(__file__).parent / "tasks"
LM_EVALS = Path(lm_evals.__file__).parent
"""Folder of lm-eval's own tasks."""
LM_EVAL = "lm_eval:"
"""Prefix of the name of one of lm-eval's own tasks."""
OWN = "own"
"""Name of the lm-eval task in `tasks/_own.yaml`, which is the base of all task files."""
OFFICIAL = "official"
"""The `protocol` of a task whose prompts, limits and scoring are the published ones."""

BFCL = (
    "bfcl_v4_single_turn",
    *(f"env:tenfold/BFCL{name}-v0_avg3" for name in ("MultiTurn", "MemoryKV", "MemoryVector", "MemorySummary", "WebSearch")),
)
"""The tasks of BFCL-V4. `report/bfcl.py` computes the overall score."""
LIVEBENCH = tuple(
    f"livebench_{name}" for name in ("math", "reasoning", "language", "data_analysis", "instruction_following", "coding")
)
"""The categories of LiveBench. `report/live_bench.py` computes the overall score."""
TAU2 = {f"tau2_{name.lower()}": f"env:tenfold/Tau2{name}-v0_avg4" for name in ("Airline", "Retail", "Telecom")}
"""The domains of tau2-bench, with as many samples as trials on its leaderboard."""
SUITES: dict[str, tuple[str, ...]] = {
    "paper": (
        "aime24", "aime25", "gpqa_diamond", "supergpqa", *BFCL, "fullstack_bench", "arena_hard_v2", "multi_challenge",
        "writing_bench",
    ),
    "bfcl_v4": BFCL,
    "contests": ("aime24", "aime25", "aime26", "hmmt_feb25", "hmmt_nov25", "hmmt_feb26"),
    "base": ("lm_eval:gsm8k", "cmath", "lm_eval:bbh_cot_fewshot", "lm_eval:mmlu", "lm_eval:cmmlu", "lm_eval:mmlu_pro"),
    "tau2": tuple(TAU2.values()), **{name: (task,) for name, task in TAU2.items()},
    "quick": ("chain_sum", "humaneval"),
    "livebench": LIVEBENCH,
}  # fmt: skip
"""`paper` has the tasks of the report's main table and `base` those of its base models. `contests` has competitions in
mathematics. `quick` needs no download."""


class TaskRequest(NamedTuple):
    """A task, and the number of samples per problem if its name states one."""

    task: str
    samples: int | None = None

    @property
    def name(self) -> str:
        """The task's name with the number of samples, as in aime24_avg64 or env:lab/Units-v0_avg64?level=2."""
        address, mark, options = _parts(self.task)
        return self.task if self.samples is None else f"{address}_avg{self.samples}{mark}{options}"

    @property
    def is_environment(self) -> bool:
        """True if the task is a registered environment."""
        return self.task.startswith(environment_name.PREFIX)

    @property
    def is_lm_eval(self) -> bool:
        """True if the task is one of lm-eval's own."""
        return self.task.startswith(LM_EVAL)


def names() -> list[str]:
    """Returns the names of our tasks."""
    return sorted(_index().keys() - {OWN})


def expand(task_names: Sequence[str]) -> list[TaskRequest]:
    """Returns the tasks with these names and the tasks of these suites. `aime24_avg64` is aime24 with 64 samples.

    Raises:
        UserError: a task does not exist. The message suggests similar names. Environments and task files are not read yet.
    """
    requests = []
    for name in task_names:
        for task in SUITES.get(name, (name,)):
            base, samples = _with_samples(task)
            if (
                not base.startswith((LM_EVAL, environment_name.PREFIX))
                and not task_file.is_file_name(base)
                and base not in names()
            ):
                near = difflib.get_close_matches(base, [*names(), *SUITES], n=4, cutoff=0.5)
                known = ", ".join([*SUITES, *names()])
                hint = f"did you mean {', '.join(near)}?" if near else f"use one of {known}, env:ID, or FILE.yaml"
                raise UserError(f"no task {name!r}; {hint}")
            requests.append(TaskRequest(base, samples))
    return requests


def settings(task: str) -> dict[str, Any]:
    """Returns the YAML settings of one of our tasks or of a task file. Their `metadata` names the problems.

    Raises:
        UserError: there is no such file, it is invalid, or the task is an environment.
    """
    if task.startswith(environment_name.PREFIX):
        raise UserError(f"{task} is an environment, which has no task settings; use a task, or the URI of its problems")
    if task_file.is_file_name(task):
        return task_file.load(task, reserved=[*names(), *SUITES]).lm_eval_settings()
    settings: dict[str, Any] = _index()[task].cfg
    return settings


def differences(metadata: Mapping[str, object]) -> list[str]:
    """Returns in what a task's protocol differs from the one that the benchmark publishes; empty if it is the published one.

    Args:
        metadata: the task's `metadata`; a task of the user has no `protocol`.
    """
    protocol = metadata.get("protocol") or OFFICIAL
    return [] if protocol == OFFICIAL else [str(difference) for difference in cast(list[object], protocol)]


@functools.cache
def lm_eval_tasks(task: str) -> TaskManager:
    """Returns a manager of lm-eval's own tasks that contains this task, if lm-eval has it.

    Parsing all files takes lm-eval some seconds. Therefore only folders with a file that contains the task's name are parsed.
    As in lm-eval, the first file in the order of paths counts. For a group or a tag all files are parsed, because it may name
    tasks of any folder.
    """
    paths = sorted(path.as_posix() for path in LM_EVALS.rglob("*.yaml") if task.encode() in path.read_bytes())
    for folder in dict.fromkeys(Path(path).relative_to(LM_EVALS).parts[0] for path in paths):
        manager = TaskManager(include_path=str(LM_EVALS / folder), include_defaults=False)
        if task in manager.all_subtasks:
            return manager
        if task in manager.all_tasks:
            return _all_lm_eval_tasks()
    return TaskManager(include_defaults=False)


@functools.cache
def _all_lm_eval_tasks() -> TaskManager:
    return TaskManager(include_path=str(LM_EVALS), include_defaults=False)


def _with_samples(name: str) -> TaskRequest:
    address, mark, options = _parts(name)
    found = re.fullmatch(r"(.+)_avg(?:@|_at_)?(\d+)", address)
    return TaskRequest(f"{found[1]}{mark}{options}", int(found[2])) if found and name not in _index() else TaskRequest(name)


def _parts(name: str) -> tuple[str, str, str]:
    """Returns three parts: the name before the options, the question mark, the options. Only an environment has options."""
    return name.partition("?") if name.startswith(environment_name.PREFIX) else (name, "", "")


@functools.cache
def _index() -> dict[str, Any]:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    return {name: manager.task_index[name] for name in manager.all_tasks}
