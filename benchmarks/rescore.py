"""Stored samples are judged again, by the verifiers as they are now."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import disk, named_code
from ..core import Completion, Conversation, Sampling, UserError
from ..envs import registry
from .evaluate import OWN, run_task
from .result import Options, Result, results


def rescore(
    folder: str | Path, progress: Callable[..., None] | None = None, *, trust: bool = False
) -> list[tuple[Result, Result]]:
    """Judges the stored samples of every result in a folder again, without a policy; the new results replace the old ones.

    Args:
        folder: may be a stranger's.
        progress: progress(done, total, **figures): shows how far it is.
        trust: the results may name code that is not this package's, say as their problems (`named_code.py`).

    Returns:
        Each result as it was and as it is now.

    Raises:
        UserError: the folder holds no result, or samples are missing.
    """
    before = results(folder)  # which says so where the folder is not there
    with contextlib.ExitStack() as held:
        held.enter_context(disk.locked(folder))
        if not trust:
            limits = named_code.Limits(names=tuple(sorted({*registry.user_code_names()})), place=str(folder))
            held.enter_context(named_code.limited(limits))
        return [_rescored(result, folder, progress) for result in before]


def _rescored(result: Result, folder: str | Path, progress: Callable[..., None] | None) -> tuple[Result, Result]:
    """A result as it was and as it is now."""
    remedy = "remove it, and run its benchmark again: the samples are stored"
    with disk.reading(Path(folder) / f"{result.task}.result.json", remedy):
        given = result.settings
        made_with = {name: value for name, value in given.items() if name not in OWN}
        options = Options(
            seed=given["seed"],
            limit=given["number"],
            problems=given["problems"],
            temperature=given["sampling"]["temperature"] if given["sampling"].get("do_sample") else 0,
            top_p=given["sampling"].get("top_p"),
            max_tokens=given["sampling"].get("max_gen_toks"),
            judge=given["judge"],
            baseline=given["baseline"],
        )
    return result, run_task(result.task, StoredSamplesOnly(), options, made_with=made_with, folder=folder, progress=progress)


class StoredSamplesOnly:
    """A policy that is not there: whoever asks it wanted a sample that is not stored."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Refuses."""
        raise UserError(
            f"samples of {len(conversations)} problems or more are not stored: let `tenfold bench` finish, then rescore"
        )
