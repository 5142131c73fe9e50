"""The samples of an autopsy: scored episodes of a GRPO stage, chosen by step, each with its problem."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from ... import disk
from ...core import Completion, Message, Problem, UserError, message_text
from ...disk import Row
from ...envs import registry
from ...policies.play.games import problem_at
from ..rl import metrics

ProblemOf = Callable[[int], Problem | None]
"""Returns the problem with an index, or None if it is not known."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One scored episode."""

    step: int
    problem: Problem
    """The problem. Its answer is None if the problem is not known."""
    group: tuple[int, int]
    """Index of the problem, and attempt in the step: the samples of a group answer one prompt."""
    number: int
    """Number of the sample in its group."""
    question: str
    """Text of the prompt's turns, as the policy received them."""
    text: str
    """The policy's last turn."""
    response: str
    """The part of the last turn that is judged; see `Completion.scorable_text`."""
    reward: float
    """The reward, from 0 to 1; see `read`."""
    verifier: str
    """The comparison that decided about the reward, as in `Verdict.method`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """The samples of a stage."""

    steps: Mapping[int, Sequence[Sample]]
    """Samples by step, in the order of the steps."""
    episodes: int
    """All stored episodes."""
    without_score: int
    """Episodes without a score. They are left out."""
    unknown_problems: int
    """Samples whose problem is not known, because the environment has no list of problems or another one."""
    scale: tuple[float, float]
    """The rewards that count as 0 and 1. They are 0 and 1 unless the stage has rewards outside of this range."""


class _Place(NamedTuple):
    """Where an episode is stored."""

    path: Path
    offset: int
    """Of its line in the file, in bytes."""
    group: tuple[int, int]
    number: int
    score: float | None


def read(folder: Path, problem_of: ProblemOf, per_step: int | None, seed: int = 0) -> Read:
    """Returns the samples of a GRPO stage. If a reward is below 0 or above 1, all rewards are scaled to 0..1.

    Args:
        folder: folder of the stage.
        problem_of: returns the problem with an index.
        per_step: maximum number of samples of a step; None: all. The choice has about as many samples of each group, and
            depends only on the seed.
        seed: seed of the choice.

    Raises:
        UserError: the stage has no scored episode.
    """
    if not (folder / "episodes").is_dir():
        raise UserError(f"{folder} is not the folder of a GRPO stage that has begun: it has no folder episodes")
    found = _places(folder / "episodes")
    scored = {step: [place for place in places if place.score is not None] for step, places in found.items()}
    rewards = [place.score for places in scored.values() for place in places if place.score is not None]
    if not rewards:
        raise UserError(f"{folder} has no episode with a score; let the stage make some steps first")
    low, high = (0.0, 1.0) if min(rewards) >= 0 and max(rewards) <= 1 else (min(rewards), max(rewards))
    chosen = {step: _chosen(step, places, per_step, seed) for step, places in scored.items() if places}
    known = _remembered(problem_of)
    steps = {step: [_sample(row, known, low, high) for row in _rows(places)] for step, places in chosen.items()}
    episodes = sum(map(len, found.values()))
    return Read(
        steps=steps,
        episodes=episodes,
        without_score=episodes - len(rewards),
        unknown_problems=sum(sample.problem.answer is None for rows in steps.values() for sample in rows),
        scale=(low, high),
    )


def problems_of(environment: str, options: Mapping[str, object]) -> tuple[ProblemOf, object]:
    """Returns a function that finds the problems of an environment, and the environment's verifier (None if it has none).

    Raises:
        UserError: the environment cannot be made.
    """
    made = registry.make(environment, **options)
    return lambda index: problem_at(made, index), getattr(made.unwrapped, "verifier", None)


def _places(folder: Path) -> dict[int, list[_Place]]:
    """Returns where the episodes of each step are, sorted by problem, attempt and sample.

    If an episode is repeated, its last repetition counts, as in `metrics.episodes`. A store may be larger than the memory, so
    its texts are not kept.
    """
    found: dict[int, dict[tuple[int, int, int], _Place]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime):
        for offset, row in disk.read_rows(path, _check):
            score = row["verdict"]["score"]
            place = _Place(path, offset, (row["problem"], row.get("attempt", 0)), row["sample"], score)
            found.setdefault(row["step"], {})[*place.group, place.number] = place
    return {step: [found[step][key] for key in sorted(found[step])] for step in sorted(found)}


def _rows(places: Sequence[_Place]) -> Iterator[metrics.StepEpisode]:
    """Yields the episodes at their places."""
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(path.open("rb")) for path in {place.path for place in places}}
        for place in places:
            files[place.path].seek(place.offset)
            yield cast(metrics.StepEpisode, json.loads(files[place.path].readline()))


def _chosen(step: int, places: Sequence[_Place], limit: int | None, seed: int) -> list[_Place]:
    """Returns at most `limit` places in their order: of each group the first ones by a hash, in turn."""
    if limit is None or len(places) <= limit:
        return list(places)
    groups: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for number, place in enumerate(places):
        key = f"{seed} {step} {place.group} {place.number}"
        groups.setdefault(place.group, []).append((hashlib.sha256(key.encode()).hexdigest(), number))
    ranked = sorted((rank, key, number) for members in groups.values() for rank, (key, number) in enumerate(sorted(members)))
    return [places[number] for number in sorted(number for _, _, number in ranked[:limit])]


def _remembered(problem_of: ProblemOf) -> ProblemOf:
    """Returns the same function, which never raises and finds each problem once."""
    found: dict[int, Problem | None] = {}

    def problem(index: int) -> Problem | None:
        if index not in found:
            try:
                found[index] = problem_of(index)
            except Exception:  # an environment of the user
                found[index] = None
        return found[index]

    return problem


def _sample(row: metrics.StepEpisode, problem_of: ProblemOf, low: float, high: float) -> Sample:
    turns = list(row["messages"])
    last = next((turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"), "")
    prompt = tuple(_prompt(turns))
    problem = problem_of(row["problem"])
    if problem is None or problem.id != row["problem_id"]:
        problem = Problem(row["problem_id"], prompt, None, "")
    return Sample(
        step=row["step"],
        problem=problem,
        group=metrics.group(row),
        number=row["sample"],
        question="\n\n".join(message_text(turn) for turn in prompt if turn["role"] != "system"),
        text=last,
        response=Completion(last, row.get("last_turn", row["finish_reason"])).scorable_text,
        reward=(float(row["verdict"]["score"] or 0.0) - low) / ((high - low) or 1.0),
        verifier=row["verdict"].get("method", ""),
    )


def _prompt(turns: Sequence[Message]) -> Iterator[Message]:
    """Yields the turns before the policy's first one. A prompt's own answers of the policy are taken for the policy's."""
    for turn in turns:
        if turn["role"] == "assistant":
            return
        yield turn


def _check(row: Row) -> None:
    """Checks the fields that an autopsy reads. Raises KeyError or TypeError."""
    metrics.check_episode(row)
    if not math.isfinite(row["verdict"]["score"] or 0):
        raise ValueError("a score is not finite")
    disk.check_types(row, problem_id=str, messages=list, finish_reason=str)
    for turn in row["messages"]:
        disk.check_types(turn, role=str, content=str)
