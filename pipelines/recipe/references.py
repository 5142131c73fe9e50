"""What a recipe says of the folders that its own stages will leave: {stage:NAME} in any text stands for the folder of NAME.

problems: "jsonl:{stage:tests}/problems.jsonl"        reward_model: "stage:{stage:reward_model}"
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLACE = re.compile(r"\{stage:([^{}]*)\}")


def filled(value: Any, folder: Path) -> Any:
    """The same settings with every place filled: absolute, for a stage's processes may work elsewhere."""
    if isinstance(value, str):
        return _PLACE.sub(lambda place: str((folder / place[1]).resolve()), value)
    if isinstance(value, Mapping):
        return {key: filled(item, folder) for key, item in value.items()}
    return [filled(item, folder) for item in value] if isinstance(value, list | tuple) else value


def environments(value: Any, known: Mapping[str, Any]) -> set[str]:
    """Ids of the environments that settings name, and of those that these are registered with."""
    if isinstance(value, str):
        inner = {key: kept for key, kept in known.items() if key != value}
        return {value} | environments(known[value], inner) if value in known else set()
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*(environments(item, known) for item in items))


def named(value: Any, environments: Mapping[str, Any]) -> set[str]:
    """Stages whose folders are spoken of in settings, or in what those environments among them are registered with."""
    if isinstance(value, str):
        inner = {key: kept for key, kept in environments.items() if key != value}
        further = named(environments[value], inner) if value in environments else set()
        return {place[1] for place in _PLACE.finditer(value)} | further
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return set().union(*(named(item, environments) for item in items))
