"""Whether two results are comparable, and the settings in which they differ."""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import environment_name
from ..evaluate import NOT_HASHED, TASK_SETTINGS
from ..result import Result, ScoredProblem, scored, without_location

LM_EVAL_SETTINGS = frozenset(("lm_eval", "n_shot", "limit"))
"""Settings of the results of lm-eval's own tasks that describe the task (`lm_eval_tasks.py`)."""
SAME_EXPECTED_SCORE = frozenset(("seed", "samples"))
"""Settings that do not change the expected score. Results that differ only in these are comparable."""
NAMES = {
    "max_gen_toks": "max_tokens",
    "number": "number of problems",
    "template": "prompt template",
    "system": "system prompt",
    "fewshot": "few-shot examples",
    "examples_hash": "few-shot examples",
    "n_shot": "few-shot examples",
    "baseline_hash": "baseline",
    "judging": "prompts or sampling of the judge",
    "judge settings": "prompts or sampling of the judge",
}
"""Names for the user, where they differ from the stored ones."""
PROMPT_SETTINGS = frozenset(("template", "system", "fewshot", "examples_hash", "text"))
"""Settings that determine the prompts, together with the problems."""
_OWN_SETTINGS = frozenset(("problems", "template", "system", "verifier"))
"""Options of an environment that are also settings of its result."""
IDENTITY = "identity "
"""Prefix of settings that are parts of a task's identity, such as the digest of the verifier's source text."""
MAX_VALUE = 24
"""Longest text in characters that is shown as the value of a setting. Our choice."""


@dataclass(frozen=True)
class Measured:
    """A result in a folder, with the name of the folder for the reader."""

    folder: Path
    label: str
    result: Result

    @functools.cached_property
    def problems(self) -> dict[str, ScoredProblem]:
        """The problems with the verdicts on their samples, by problem id."""
        return {str(row["problem"]): row for row in scored(self.folder, self.result.task)}

    @property
    def task(self) -> str:
        """Name of the task without its k. Results with equal names are compared.

        An environment with other options is another task, unless these options are also settings of the result.
        """
        settings = self.result.settings
        name = str(settings.get("task") or re.sub(r"_avg\d+(-[0-9a-f]{6})?$", "", self.result.task))
        if name.startswith(environment_name.PREFIX):  # "module:ID" and ID are one environment
            id, mark, query = name.removeprefix(environment_name.PREFIX).partition("?")
            name = f"{environment_name.PREFIX}{id.rpartition(':')[2]}{mark}{query}"
        if name.startswith(environment_name.PREFIX) and isinstance(options := settings.get("options"), Mapping):
            name = environment_name.with_options(name, {key: options[key] for key in sorted({*options} - _OWN_SETTINGS)})
        return f"{name} (own problems)" if settings.get("own") == "problems" else name


@dataclass(frozen=True, slots=True)
class SettingDifferences:
    """The settings in which two results differ, as text."""

    settings: tuple[str, ...]
    """Such as "temperature 0.6 and 1.0"."""
    comparable: bool
    """True if no setting changes the expected score."""

    def __str__(self) -> str:
        """Returns the caution for the reader; empty if no setting differs."""
        if not self.settings:
            return ""
        return f"{'settings differ' if self.comparable else 'not comparable'}: {', '.join(self.settings)}"


def setting_differences(first: Measured, second: Measured) -> SettingDifferences:
    """Returns the settings in which two results of a task differ. Results with equal hashes do not differ.

    Args:
        first: a result; its values come first in the texts.
        second: another result.
    """
    if first.result.hash == second.result.hash:
        return SettingDifferences((), True)
    before, after = (dict(_flat(measured.result.settings)) for measured in (first, second))
    differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    found: dict[str, str] = {}
    for name in differing:
        if name == "problems_hash":
            if part := _problems_or_prompt(first, second, differing):
                found[part] = part
            continue
        if name == "number" and "problems_hash" in differing:
            continue
        plain_name = name.removeprefix(IDENTITY)
        shown = NAMES.get(plain_name, plain_name)
        values = [_value(settings.get(name)) for settings in (before, after)]
        found.setdefault(shown, f"{shown} {values[0]} and {values[1]}" if all(values) else shown)
    return SettingDifferences(
        tuple(found.values()) or ("hash of the settings",), bool(differing) and {*differing} <= SAME_EXPECTED_SCORE
    )


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yields the settings that describe the task. Each entry of `sampling`, `identity` and `versions` is one setting."""
    names = (TASK_SETTINGS | LM_EVAL_SETTINGS) - NOT_HASHED - {"task"}  # see `Measured.task`
    for name in sorted(names, key=lambda name: (name in ("identity", "versions"), name)):
        value = settings.get(name)
        if name == "sampling" and isinstance(value, Mapping):
            yield from ((part, number) for part, number in value.items() if part != "do_sample")
        elif name == "identity" and isinstance(value, Mapping):
            yield from ((f"{IDENTITY}{part}", digest) for part, digest in value.items() if not part.startswith("problems"))
        elif name == "versions" and isinstance(value, Mapping):
            yield from ((f"version of {part}", number) for part, number in value.items())
        else:
            yield name, without_location(value) if name == "options" else value


def _problems_or_prompt(first: Measured, second: Measured, differing: list[str]) -> str:
    """Returns what differs, the problems or only their prompts; empty if another setting explains why the prompts differ."""
    before, after = ({id: row.get("gold") for id, row in measured.problems.items()} for measured in (first, second))
    if before != after:
        shared = sum(id in after and after[id] == gold for id, gold in before.items())
        return f"problems ({shared} of {len(before)} and {len(after)} are the same)"
    return "" if PROMPT_SETTINGS & {*differing} else "prompt"


def _value(value: object) -> str:
    """Returns the value of a setting as text; empty if it is long or a digest."""
    text = "none" if value is None else str(value)
    is_long = len(text) > MAX_VALUE or re.search(r"\s", text) or re.fullmatch(r"[0-9a-f]{12,}", text)
    return "" if is_long or not text else text
