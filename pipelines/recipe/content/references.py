"""References to the folders of a recipe's own stages: {stage:NAME} in any text is replaced by the folder of the stage NAME.

problems: "jsonl:{stage:tests}/problems.jsonl"        reward_model: "stage:{stage:reward_model}"
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_ENVIRONMENT = re.compile(r"env:([^?]*?)(?:_avg(?:@|_at_)?\d+)?(?:\?(.*))?", re.DOTALL)
"""The name of a benchmark task that is an environment (`benchmarks/environment_name.py`, `benchmarks/catalogue.py`)."""
_REFERENCE = re.compile(r"\{stage:([^{}]*)\}")


def with_folders(value: Any, folder: Path) -> Any:
    """Returns settings with all references replaced by absolute paths, because processes may have other working folders."""
    if isinstance(value, str):
        in_query = (found := _ENVIRONMENT.fullmatch(value)) is not None and found[2] is not None
        paths = {name: str((folder / name).resolve()) for name in _REFERENCE.findall(value)}
        return _REFERENCE.sub(lambda named: quote(paths[named[1]], "/:=,") if in_query else paths[named[1]], value)
    if isinstance(value, Mapping):
        return {key: with_folders(item, folder) for key, item in value.items()}
    return [with_folders(item, folder) for item in value] if isinstance(value, list | tuple) else value


def environments(value: object, registered: Mapping[str, object]) -> set[str]:
    """Returns the ids of the environments that settings name, directly or through another environment's registration.

    Args:
        value: settings.
        registered: the recipe's registrations, by id.
    """
    if isinstance(value, str):
        value = _id_in(value)
        inner = {key: kept for key, kept in registered.items() if key != value}
        return {value} | environments(registered[value], inner) if value in registered else set()
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*(environments(item, registered) for item in items))


def stages_named_in(value: object, environments: Mapping[str, object]) -> set[str]:
    """Returns the stages that settings refer to, directly or through the registration of an environment.

    Args:
        value: settings.
        environments: the recipe's registrations, by id.
    """
    if isinstance(value, str):
        id = _id_in(value)
        inner = {key: kept for key, kept in environments.items() if key != id}
        further = stages_named_in(environments[id], inner) if id in environments else set()
        return {reference[1] for reference in _REFERENCE.finditer(value)} | further
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*(stages_named_in(item, environments) for item in items))


def _id_in(text: str) -> str:
    """Returns the environment id in the name of a benchmark task (env:ID), else the text."""
    found = _ENVIRONMENT.fullmatch(text)
    return found[1] if found else text
