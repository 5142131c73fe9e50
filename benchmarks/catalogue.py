"""The available benchmarks: our tasks (one YAML file each in `tasks/`), suites, and lm-eval's own tasks as `lm_eval:NAME`."""

import difflib
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm_eval import tasks as lm_evals
from lm_eval.tasks import TaskManager

from ..core import UserError

TASKS = Path(__file__).parent / "tasks"
LM_EVALS = Path(lm_evals.__file__).parent
"""Folder of lm-eval's own tasks."""
LM_EVAL = "lm_eval:"
"""Prefix of the name of one of lm-eval's own tasks."""

SUITES: dict[str, tuple[str, ...]] = {
    "paper": (
        "aime24", "aime25", "gpqa_diamond", "supergpqa", "bfcl_v4", "fullstack_bench", "arena_hard_v2", "multi_challenge",
        "writing_bench",
    ),
    "base": ("lm_eval:gsm8k", "cmath", "lm_eval:bbh_cot_fewshot", "lm_eval:mmlu", "lm_eval:cmmlu", "lm_eval:mmlu_pro"),
    "quick": ("chain_sum", "humaneval"),
}  # fmt: skip
"""`paper` has the tasks of the report's main table and `base` those of its base models. `quick` needs no download."""


class TaskRequest(NamedTuple):
    """A task, and the number of samples per problem if its name states one."""

    task: str
    samples: int | None = None

    @property
    def name(self) -> str:
        """The task's name with the number of samples, as in aime24_avg64."""
        return self.task if self.samples is None else f"{self.task}_avg{self.samples}"


def names() -> list[str]:
    """Returns the names of our tasks."""
    return sorted(_index())


def expand(task_names: Sequence[str]) -> list[TaskRequest]:
    """Returns the tasks with these names and the tasks of these suites. `aime24_avg64` is aime24 with 64 samples.

    Raises:
        UserError: a task does not exist. The message suggests similar names.
    """
    requests = []
    for name in task_names:
        for task in SUITES.get(name, (name,)):
            base, samples = _with_samples(task)
            if not base.startswith(LM_EVAL) and base not in _index():
                near = difflib.get_close_matches(base, [*names(), *SUITES], n=4, cutoff=0.5)
                hint = f"did you mean {', '.join(near)}?" if near else f"use one of {', '.join([*SUITES, *names()])}"
                raise UserError(f"no task {name!r}; {hint}")
            requests.append(TaskRequest(base, samples))
    return requests


def settings(task: str) -> dict[str, Any]:
    """Returns the YAML settings of one of our tasks. Their `metadata` names the problems."""
    return _index()[task].cfg


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
    if name in _index():
        return TaskRequest(name)
    found = re.fullmatch(r"(.+)_avg(?:@|_at_)?(\d+)", name)
    return TaskRequest(found[1], int(found[2])) if found else TaskRequest(name)


@functools.cache
def _index() -> dict[str, Any]:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    return {name: manager.task_index[name] for name in manager.all_tasks}
