"""Verdicts on stored samples by the current verifiers."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import digests, disk, named_code
from ..core import Completion, Conversation, Sampling, UserError
from ..envs import registry
from ..envs.tau2.environment import Tau2
from . import catalogue, environment_name, environment_replay
from .evaluate import TASK_SETTINGS, run
from .result import Options, Result, results
from .task import stored

_TAU2 = digests.name_of(Tau2)


def rescore(
    folder: str | Path, progress: Callable[..., None] | None = None, *, trust: bool = False
) -> list[tuple[Result, Result]]:
    """Judges the stored samples of every result in a folder again, and replaces the results. It needs no policy.

    The results keep their names. Those of lm-eval's own tasks are left as they are, because lm-eval judges them. So are those
    of tau2-bench, because the stored episodes lack the user's last message and its calls: a policy would be asked again.

    Args:
        folder: folder of the results; it may come from someone else.
        progress: called as progress(done, total, **values).
        trust: allow the results to name code from outside this package, for example as their problems (`named_code.py`).

    Returns:
        Each result before and after.

    Raises:
        UserError: the folder contains no result that can be judged again, or samples are missing.
    """
    found = results(folder)  # first, because it raises for a missing folder
    left = {result.task: reason for result in found if (reason := _not_judged_again(result))}
    before = [result for result in found if result.task not in left]
    if not before:
        raise UserError(f"{folder} contains only results {' and '.join(sorted({*left.values()}))}; run them again")
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk.locked(folder))
        if trust:
            named_code.import_from_here([result.settings.get("definition") for result in before])
        else:
            limits = named_code.Limits(names=tuple(sorted({*registry.user_code_names()})), origin=str(folder))
            stack.enter_context(named_code.limited(limits))
        return [_rescored(result, folder, progress) for result in before]


def _not_judged_again(result: Result) -> str:
    """Returns the kind of a result that is left as it is; empty for other results."""
    if str(result.settings.get("task")).startswith(catalogue.LM_EVAL):
        return "of lm-eval's own tasks, which lm-eval judges"
    identity = result.settings.get("identity")
    found = identity if isinstance(identity, dict) else {}
    if any(name.rpartition(" ")[2] == "entry_point" and value == _TAU2 for name, value in found.items()):  # also in a mixture
        return "of tau2-bench, whose simulated user is a policy that would be asked again"
    return ""


def _rescored(result: Result, folder: str | Path, progress: Callable[..., None] | None) -> tuple[Result, Result]:
    remedy = "remove it and run its benchmark again; the samples are stored"
    folder = Path(folder)
    with disk.reading(folder / f"{result.task}.result.json", remedy):
        settings = result.settings
        is_environment = settings["task"].startswith(environment_name.PREFIX)
        store_settings = {name: value for name, value in settings.items() if name not in TASK_SETTINGS}
        options = Options(
            seed=settings["seed"],
            limit=settings["number"],
            judge=settings["judge"],
            baseline=settings["baseline"],
            text=settings.get("text"),
            thinking=settings.get("thinking"),
        )
        task = None if is_environment else stored(result)
        store = folder / result.store_name
    if task is None:
        return result, environment_replay.rescore(result, folder, store_settings, progress)
    return result, run(
        *(task, StoredSamplesOnly(), options, store),
        store_settings=store_settings,
        folder=folder,
        progress=progress,
        name=result.task,
        cautions=result.cautions,
    )


class StoredSamplesOnly:
    """A policy without a model. A request to it means that a sample is missing from the store."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Raises `UserError`.

        Args:
            conversations: the prompts without stored samples.
            samples, sampling, keys: see `Policy.generate`.
        """
        raise UserError(
            f"samples of at least {len(conversations)} problems are not stored; let `tenfold bench` finish, then rescore"
        )
