"""Stages that runs of a sweep have in common: a stage with equal settings, seeds and inputs is run once, and then linked.

A linked folder has the same files (hard links), with its own `stage.json` and `settings.json`, which contain the paths of the
run.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .... import digests, disk
from ...stage import RECORD, SETTINGS
from ..content import references
from ..identity import IdentityReader
from ..preparation import reader_of
from ..recipe import Recipe

_WITH_PATHS = ("stage", "policy", "inputs", "identity")
"""Parts of a stage's record that contain paths of the run."""


def stage_digests(recipe: Recipe, folder: Path) -> dict[str, str]:
    """Returns, for each stage of a run, a digest of its settings and seed and those of the stages that it reads from.

    Args:
        recipe: the run's recipe.
        folder: the run's folder.
    """
    reader = reader_of(recipe, folder)
    common = [recipe.modules, recipe.cluster.model_dump(mode="json")]
    return {stage.name: digests.of([stage.name, reader.settings_digest(stage.name), common]) for stage in recipe.stages}


def finished_stages(stages: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Returns the folders of a run's finished stages, by digest.

    Args:
        stages: the digest of each stage; see `stage_digests`.
        folder: the run's folder.
    """
    return {digest: folder / name for name, digest in stages.items() if (folder / name / RECORD).is_file()}


def link(recipe: Recipe, stages: Mapping[str, str], folder: Path, finished: Mapping[str, Path]) -> None:
    """Links finished stages of other runs into a run's folder. A stage that has begun there is left as it is.

    Args:
        recipe: the run's recipe.
        stages: the digest of each stage of the run; see `stage_digests`.
        folder: the run's folder.
        finished: folders of finished stages, by digest.
    """
    reader = reader_of(recipe, folder)
    for name, digest in stages.items():
        target, source = folder / name, finished.get(digest)
        if source is None or target.exists() or not _has_settings(source, name, reader):
            continue
        partial = target.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, copy_function=os.link)
        for file in (RECORD, SETTINGS):
            if (partial / file).is_file():
                _rewrite(partial / file, source.parent, folder)
        partial.rename(target)


def _has_settings(source: Path, name: str, reader: IdentityReader) -> bool:
    """True if a finished stage was run with the settings of a run's stage: the recipe may have changed since then."""
    record = disk.read_object(source / RECORD, "run again")
    stage, policy = reader.named[name]
    settings = references.with_folders(stage.model_dump(mode="json"), reader.folder)
    then = _moved({key: record.get(key) for key in ("stage", "policy", "seed")}, source.parent, reader.folder)
    now = {"stage": settings, "policy": policy, "seed": reader.seeds[name]}
    for each in (then, now):
        each["stage"] = {key: value for key, value in (each["stage"] or {}).items() if key not in stage.may_change}
    earlier = {f"stage {read}": reader.settings_digest(read) for read in reader.reads(name)}
    return then == now and earlier.items() <= record.get("identity", {}).items()


def _rewrite(path: Path, source: Path, target: Path) -> None:
    """Replaces the paths of one run by those of another in a stage's record."""
    record = disk.read_object(path, "run again")
    moved = {name: _moved(value, source, target) if name in _WITH_PATHS else value for name, value in record.items()}
    path.unlink()  # a hard link: the other run keeps its file
    disk.write(path, json.dumps(moved, indent=1))


def _moved(value: Any, source: Path, target: Path) -> Any:
    if isinstance(value, str):
        for old, new in ((source.resolve(), target.resolve()), (source, target)):
            value = _replaced(_replaced(value, str(old), str(new)), quote(str(old), "/:=,"), quote(str(new), "/:=,"))
        return value
    if isinstance(value, Mapping):
        return {_moved(key, source, target): _moved(item, source, target) for key, item in value.items()}
    return [_moved(item, source, target) for item in value] if isinstance(value, list) else value


def _replaced(text: str, old: str, new: str) -> str:
    """Replaces a folder's path in a text, but not within a longer path that ends with it."""
    return re.sub(rf"(?<![\w./-]){re.escape(old)}(?=/)", lambda _: new, text)
