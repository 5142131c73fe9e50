"""Which benchmarks there are: a YAML a task in `tasks/`, suites of them, and lm-eval's own tasks as `lm_eval:NAME`."""

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
"""Where lm-eval has its own tasks."""
LM_EVAL = "lm_eval:"
"""What the name of one of lm-eval's own tasks starts with."""

SUITES: dict[str, tuple[str, ...]] = {
    "paper": (
        "aime24", "aime25", "gpqa_diamond", "supergpqa", "bfcl_v4", "fullstack_bench", "arena_hard_v2", "multi_challenge",
        "writing_bench",
    ),
    "base": ("lm_eval:gsm8k", "cmath", "lm_eval:bbh_cot_fewshot", "lm_eval:mmlu", "lm_eval:cmmlu", "lm_eval:mmlu_pro"),
    "quick": ("chain_sum", "humaneval"),
}  # fmt: skip
"""`paper` is the report's table, `base` that of its base models, `quick` wants no data from anywhere."""


class Asked(NamedTuple):
    """A task, and with how many samples a problem where that was said."""

    task: str
    samples: int | None = None

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.task if self.samples is None else f"{self.task}_avg{self.samples}"


def names() -> list[str]:
    """Names of our tasks."""
    return sorted(_index())


def expand(asked: Sequence[str]) -> list[Asked]:
    """Tasks and suites by their names; `aime24_avg64` is the task aime24 with 64 samples.

    Raises:
        UserError: there is no such task; the nearest names are said.
    """
    found = []
    for name in asked:
        for task in SUITES.get(name, (name,)):
            base, samples = _with_samples(task)
            if not base.startswith(LM_EVAL) and base not in _index():
                near = difflib.get_close_matches(base, [*names(), *SUITES], n=4, cutoff=0.5)
                said = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join([*SUITES, *names()])}"
                raise UserError(f"no task {name!r}; {said}")
            found.append(Asked(base, samples))
    return found


def settings(task: str) -> dict[str, Any]:
    """What the YAML of one of our tasks says; its `metadata` names the problems."""
    return _index()[task].cfg


@functools.cache
def lm_eval_tasks(task: str) -> TaskManager:
    """lm-eval's own tasks, or those of them that its task is among; without the task if there is none.

    To parse all files takes lm-eval some seconds, and most are of other tasks: only the folders of those that hold the name are
    parsed. As in lm-eval, the first in the order of paths counts. Groups and tags may name tasks of any folder.
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


def _with_samples(name: str) -> Asked:
    if name in _index():
        return Asked(name)
    found = re.fullmatch(r"(.+)_avg(?:@|_at_)?(\d+)", name)
    return Asked(found[1], int(found[2])) if found else Asked(name)


@functools.cache
def _index() -> dict[str, Any]:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    return {name: manager.task_index[name] for name in manager.all_tasks}
