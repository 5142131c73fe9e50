"""Verdicts on stored samples by the current verifiers."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import disk, named_code
from ..core import Completion, Conversation, Sampling, UserError
from ..envs import registry
from .evaluate import TASK_SETTINGS, run_task
from .result import Options, Result, results


def rescore(
    folder: str | Path, progress: Callable[..., None] | None = None, *, trust: bool = False
) -> list[tuple[Result, Result]]:
    """Judges the stored samples of every result in a folder again, and replaces the results. It needs no policy.

    Args:
        folder: folder of the results; it may come from someone else.
        progress: called as progress(done, total, **values).
        trust: allow the results to name code from outside this package, for example as their problems (`named_code.py`).

    Returns:
        Each result before and after.

    Raises:
        UserError: the folder contains no result, or samples are missing.
    """
    before = results(folder)  # first, because it raises for a missing folder
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk.locked(folder))
        if not trust:
            limits = named_code.Limits(names=tuple(sorted({*registry.user_code_names()})), origin=str(folder))
            stack.enter_context(named_code.limited(limits))
        return [_rescored(result, folder, progress) for result in before]


def _rescored(result: Result, folder: str | Path, progress: Callable[..., None] | None) -> tuple[Result, Result]:
    remedy = "remove it and run its benchmark again; the samples are stored"
    with disk.reading(Path(folder) / f"{result.task}.result.json", remedy):
        settings = result.settings
        store_settings = {name: value for name, value in settings.items() if name not in TASK_SETTINGS}
        options = Options(
            seed=settings["seed"],
            limit=settings["number"],
            problems=settings["problems"],
            temperature=settings["sampling"]["temperature"] if settings["sampling"].get("do_sample") else 0,
            top_p=settings["sampling"].get("top_p"),
            max_tokens=settings["sampling"].get("max_gen_toks"),
            judge=settings["judge"],
            baseline=settings["baseline"],
        )
    return result, run_task(
        result.task, StoredSamplesOnly(), options, store_settings=store_settings, folder=folder, progress=progress
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
