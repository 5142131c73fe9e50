"""The registered environments as rows, for `tenfold env list` and the reference. No environment is created or imported."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import gymnasium
from gymnasium.envs.registration import EnvSpec

from .. import extras
from . import built_in, registry

OTHER = "other"
"""The group of environments that are not built in."""
PACKAGES = {"champ": "champ_dataset", "hf": "datasets", "parquet": "pyarrow", "reasoning_gym": "reasoning_gym"}
"""The module that a scheme of problem URIs needs."""
VERIFIER_PACKAGES = {"instructions": "lm_eval", "reasoning_gym": "reasoning_gym"}
"""The module that a verifier needs."""
TOOLS = {"tenfold.envs.tools:with_python": "python", "tenfold.envs.tools:with_tests": "python, run_tests"}
"""The tools that a wrapper adds."""
KNOWN_TURNS = {
    registry.TEXT_ENV: "single",
    "tenfold.envs.preference:PreferenceEnv": "single",
    **dict.fromkeys(TOOLS, "several"),
}
"""The number of turns of an episode, by entry point."""


class Row(TypedDict):
    """One environment. A text is empty if the registration does not determine it."""

    id: str
    group: str
    turns: str
    """single or several."""
    tools: str
    verifier: str
    problems: str
    needs: str
    """The extra of tenfold that must be installed."""


def rows() -> list[Row]:
    """Returns the registered environments, those of a group one after another."""
    groups = {id: group for group, declarations in built_in.GROUPS.items() for id in declarations}
    found = [row(gymnasium.spec(id), groups.get(id, OTHER)) for id in registry.ids()]
    order = [*built_in.GROUPS, OTHER]
    return sorted(found, key=lambda each: order.index(each["group"]))


def row(spec: EnvSpec, group: str) -> Row:
    """Returns the row of an environment.

    Args:
        spec: the registration.
        group: the environment's group.
    """
    entry = spec.entry_point if isinstance(spec.entry_point, str) else ""
    is_game = entry.startswith("tenfold.envs.games.")
    inner = spec.kwargs.get("environment")
    merged = dict(spec.kwargs)
    if isinstance(inner, str) and inner in gymnasium.registry:
        merged = {**gymnasium.spec(inner).kwargs, **merged}
    problems, verifier = _problems(merged.get("problems")), _verifier(merged.get("verifier"))
    modules = [PACKAGES.get(problems.partition(":")[0]), *(VERIFIER_PACKAGES.get(name) for name in verifier.split(" + "))]
    needs = dict.fromkeys(extras.extra_of(module) for module in modules if module)
    return Row(
        id=spec.id,
        group=group,
        turns="several" if is_game else KNOWN_TURNS.get(entry, ""),
        tools=TOOLS.get(entry, ""),
        verifier="game" if is_game else verifier,
        problems=problems,
        needs=", ".join(one for one in needs if not any(one in extras.INCLUDED.get(other, ()) for other in needs)),
    )


def short(listed: Sequence[Row]) -> list[Row]:
    """Returns the rows with one row in place of all environments of reasoning-gym's generators."""
    short: list[Row] = []
    for each in listed:
        if each["id"] not in built_in.REASONING_GYM:
            short.append(each)
        elif not any(other["group"] == each["group"] for other in short):
            count = len(built_in.REASONING_GYM)
            problems = f"reasoning_gym:GENERATOR ({count} generators; --all lists them)"
            short.append({**each, "id": f"{built_in.REASONING_GYM_PREFIX}GENERATOR-v0", "problems": problems})
    return short


def _problems(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{len(value)} problems" if isinstance(value, Sequence) else ""


def _verifier(value: object) -> str:
    if isinstance(value, Mapping):
        return _verifier(value.get("name"))
    if isinstance(value, list | tuple):
        return " + ".join(map(_verifier, value))
    return value if isinstance(value, str) else str(getattr(value, "__name__", "" if value is None else type(value).__name__))
