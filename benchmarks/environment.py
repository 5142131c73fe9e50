"""A registered environment as a benchmark task: plays k episodes of each held-out problem, or of each problem if the
environment names no held-out problems.

`policies/rollout.py` plays the episodes, with the seeds of a rollout. They may have several turns and tools. A file of episodes
is continued only if everything that determines the reward is unchanged (`envs/identity.py`).
"""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from ..core import Completion, Episode, Message, Policy, Sampling, UserError
from ..envs import held_out, identity, registry
from ..envs.bfcl import memory, remembering
from ..envs.rollout import turn_limit
from ..envs.tau2.environment import Tau2
from ..policies import rollout as playing
from ..policies.play import games
from ..policies.play.hosts import OnNodes
from ..policies.store import verdict_to_json
from . import environment_name, voting
from .catalogue import TaskRequest
from .result import (
    Options,
    Result,
    ScoredProblem,
    ScoredSample,
    by_category,
    free_name,
    free_store,
    result_of,
    save,
    settings_hash,
    without_location,
)
from .stats.scores import pass_hat_k

SAMPLES, TEMPERATURE, TOP_P, MAX_TOKENS = 8, 0.6, 0.95, 65536
"""Defaults, as for our tasks (`tasks/_avg_at_k.yaml`)."""
CAUTION = "these may be training problems: the environment names no held-out problems; register it with held_out=URI"
_NOT_HASHED = ("problems", "baseline", "protocol")
"""Settings that `Result.hash` does not cover: the location of data, and what other settings determine."""


@dataclasses.dataclass(frozen=True)
class EnvironmentTask:
    """An environment with the options of a run."""

    id: str
    """The id in the name of the task, which may be "module:id"."""
    name: str
    """Start of the names of its files: env_lab_Units-v0."""
    options: dict[str, Any]
    """Keyword arguments of the environment that the user has chosen."""
    arguments: dict[str, Any]
    """All keyword arguments, with those that select the held-out problems."""
    is_held_out: bool
    """False if the problems may be training problems."""
    own: Literal["problems"] | None
    """"problems" if the user has named other problems than the registration, else None."""
    samples: int
    sampling: Sampling
    max_turns: int
    limit: int | None
    thinking: str | None = None
    """See `Options.thinking`."""

    def make(self, **further: object) -> games.Environment:
        """Returns a new environment with the problems of the benchmark.

        Args:
            **further: further keyword arguments of the environment, which are no settings of the result.

        Raises:
            UserError: the environment cannot be created; for held-out problems the message says how to name others.
        """
        try:
            return registry.make(self.id, **self.arguments, **further)
        except UserError as error:
            if not self.is_held_out or "problems" in self.options or self._fails_with_training_problems(str(error)):
                raise
            raise UserError(f"{error} (held-out problems of {self.id}; register it with held_out=URI to name others)") from None

    def _fails_with_training_problems(self, message: str) -> bool:
        """True if the environment cannot be made with its own problems either, for the same reason."""
        try:
            registry.make(self.id, **self.options).close()
        except UserError as error:
            return str(error) == message
        return False

    def problem_count(self) -> int:
        """Returns the number of problems that are played.

        Raises:
            UserError: the environment does not report its number of problems, and there is no limit.
        """
        environment = self.make()
        with contextlib.closing(environment):
            count = games.count_problems(environment, self.limit)
        number = self.limit if count is None else count
        if number is None:
            raise UserError(f"{self.id} does not report its number of problems; set --limit")
        return number

    def episode_count(self) -> int:
        """Returns the number of episodes that are played. Raises as `problem_count` does."""
        count = self.problem_count()
        with contextlib.closing(self.make()) as environment:
            if isinstance(inner := environment.unwrapped, memory.BFCLMemory) and "snapshots" not in self.options:
                count += sum(map(len, remembering.conversations_before(inner, self.limit)[1].values()))
        return count * self.samples


def find(request: TaskRequest, options: Options, chosen: Mapping[str, Any] | None = None) -> EnvironmentTask:
    """Returns the environment that a task names, with the options of a run.

    Args:
        request: the task, "env:ID" or "env:ID?NAME=VALUE".
        options: options of the benchmark run.
        chosen: further keyword arguments of the environment.

    Raises:
        UserError: there is no such environment, or it cannot have these options.
    """
    id, named = environment_name.parse(request.task)
    chosen = named | dict(chosen or {})
    if options.fewshot:
        raise UserError(f"{request.task}: an environment has no few-shot examples; omit --fewshot")
    if options.text:
        raise UserError(f"{request.task}: an environment has prompts of its own; omit --text")
    if options.system is not None:
        chosen["system"] = options.system
    if options.problems is not None:
        chosen["problems"] = options.problems
    spec = registry.find(id)
    arguments, is_held_out = held_out.held_out_arguments(id, chosen)
    if "problems" in chosen:
        chosen["problems"] = arguments["problems"]  # with changes (?NAME=VALUE) applied
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"env_{spec.id}")
    own: Literal["problems"] | None = None
    if isinstance(problems := chosen.get("problems"), str) and problems not in (
        registry.held_out_of(spec.id),
        spec.kwargs.get("problems"),
    ):
        own = "problems"
        name += f"-own-{identity.of_problems(problems)[:6]}"
    samples = next(number for number in (options.samples, request.samples, SAMPLES) if number is not None)
    if samples < 1:
        raise UserError(f"{request.name}: expected at least one sample per problem, got {samples}")
    sampling = Sampling(
        TEMPERATURE if options.temperature is None else options.temperature,
        TOP_P if options.top_p is None else options.top_p,
        options.max_tokens or MAX_TOKENS,
        options.seed,
        top_k=options.top_k,
    )
    max_turns = turn_limit(id, options.max_turns)
    return EnvironmentTask(
        id, name, chosen, arguments, is_held_out, own, samples, sampling, max_turns, options.limit, options.thinking
    )


def evaluate(
    request: TaskRequest,
    policy: Policy,
    options: Options,
    *,
    store_settings: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
    on_nodes: OnNodes | None = None,
) -> Result:
    """Measures a policy on an environment.

    Args:
        request: the task, "env:ID".
        policy: the policy to measure.
        options: see `evaluate.evaluate`.
        store_settings, folder, progress: see `evaluate.evaluate`.
        on_nodes: see `rollout.play`. Not used if the environment loads a model.

    Raises:
        UserError: there is no such environment, its problems cannot be loaded, or the stored episodes were played in another
            environment.
    """
    task = find(request, options)
    task.problem_count()
    chosen = {
        "options": task.options,
        **dataclasses.asdict(task.sampling),
        "max_turns": task.max_turns,
        "thinking": task.thinking,
    }
    store = free_store(folder, task.name, chosen, store_settings)
    inputs = identity.of_environment(task.id, task.arguments)
    rewards = {"options": task.options, "rewards": inputs}
    play = functools.partial(
        playing.play,
        policy=policy,
        samples=task.samples,
        sampling=task.sampling,
        max_turns=task.max_turns,
        store_settings={**(store_settings or {}), **rewards, **({"thinking": task.thinking} if task.thinking else {})},
        progress=progress,
    )
    played = play(
        functools.partial(task.make, **further_arguments(task, store, play)),
        problems=task.limit,
        store=store,
        on_nodes=None if on_nodes is None or identity.loads_model(inputs) else on_nodes,
    )
    return scored(task, played, store, store_settings=store_settings, folder=folder)


def further_arguments(
    task: EnvironmentTask, store: Path | None, play: Callable[..., Mapping[int, Sequence[Episode]]] | None = None
) -> dict[str, object]:
    """Returns keyword arguments of the environment that come from the policy: the memories of `BFCLMemory`.

    Args:
        task: the environment with the options of the run.
        store: file of the samples.
        play: `playing.play` with the policy and its settings; None: the stored memories are used.
    """
    with contextlib.closing(task.make()) as environment:
        inner = environment.unwrapped
        if not isinstance(inner, memory.BFCLMemory) or "snapshots" in task.options:
            return {}
        if play is None:
            return {"snapshots": remembering.stored(store) if store else None}
        return {"snapshots": remembering.memories(inner, task.limit, task.samples, store, play)}


def scored(
    task: EnvironmentTask,
    played: Mapping[int, Sequence[Episode]],
    store: Path | None,
    *,
    store_settings: Mapping[str, object] | None,
    folder: str | Path | None,
    name: str | None = None,
) -> Result:
    """Returns the result of played episodes, and saves it if there is a folder.

    Args:
        task: the environment with the options of the run.
        played: the episodes of each problem, by its index.
        store: file of the episodes.
        store_settings: facts about the policy, for the settings of the result.
        folder: folder of the results.
        name: name of the result; default: the first that is free.
    """
    environment = task.make()
    with contextlib.closing(environment):
        rows = [_row(environment, index, episodes) for index, episodes in played.items()]
        inner = environment.unwrapped
        protocol, reliability = (inner.protocol, _reliability(rows)) if isinstance(inner, Tau2) else ([], {})
    found = identity.of_environment(task.id, task.arguments)
    spec = registry.find(task.id)
    problems = task.arguments.get("problems", spec.kwargs.get("problems"))
    verifier = task.arguments.get("verifier", spec.kwargs.get("verifier")) or found.get("verifier") or str(spec.entry_point)
    settings: dict[str, Any] = {
        "task": f"{environment_name.PREFIX}{task.id}",
        "own": task.own,
        "version": None,
        "problems": problems if isinstance(problems, str) else None,
        "held_out": task.is_held_out,
        "problems_hash": settings_hash([[row["prompt"], row["gold"]] for row in rows]),
        "number": len(rows),
        "verifier": verifier if isinstance(verifier, str | dict | list) else str(found.get("verifier", verifier)),
        "template": task.arguments.get("template", spec.kwargs.get("template")),
        "system": task.arguments.get("system", spec.kwargs.get("system")),
        "options": task.options,
        "max_turns": task.max_turns,
        "samples": task.samples,
        "sampling": sampling_settings(task.sampling),
        "stop": [],
        "seed": task.sampling.seed,
        "judge": None,
        "baseline": None,
        "baseline_hash": None,
        "identity": found,
        "versions": identity.versions(),
        **({"thinking": task.thinking} if task.thinking else {}),
        **({"protocol": protocol} if protocol else {}),
    }
    hashed = {key: value for key, value in settings.items() if key not in _NOT_HASHED}
    hashed["task"] = f"{environment_name.PREFIX}{spec.id}"  # "module:ID" and ID are one environment
    hashed["options"] = without_location(task.options)
    hashed["identity"] = {key: value for key, value in found.items() if key.rpartition(" ")[2] not in _NOT_HASHED}
    settings |= store_settings or {}
    plain = f"{task.name}_avg{task.samples}"
    result = result_of(
        name or free_name(folder, plain, settings),
        rows,
        settings,
        hashed=hashed,
        figures=voting.majority(verifier, rows, functools.partial(_last_turn, played)) | by_category(rows) | reliability,
        store=store.name if store else "",
        cautions=[] if task.is_held_out else [CAUTION],
    )
    if folder:
        save(Path(folder), result, rows)
    return result


def sampling_settings(sampling: Sampling) -> dict[str, Any]:
    """Returns settings of sampling under lm-eval's names, as a result stores them."""
    return {
        "do_sample": sampling.temperature > 0,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_gen_toks": sampling.max_tokens,
        **({"top_k": sampling.top_k} if sampling.top_k else {}),
    }


def _row(environment: games.Environment, index: int, episodes: Sequence[Episode]) -> ScoredProblem:
    """Returns a problem with the verdicts on its episodes.

    Raises:
        UserError: a reward is not in 0..1.
    """
    problem = games.problem_at(environment, index)
    return {
        "problem": episodes[0].problem_id,
        "prompt": _prompt(environment, index, episodes[0]),
        "gold": problem.answer if problem else None,
        "meta": problem.meta if problem else {},
        "request": str(index),
        "samples": [_sample(episode) for episode in episodes],
    }


def _sample(episode: Episode) -> ScoredSample:
    score = episode.verdict.score
    if score is not None and not 0 <= score <= 1:
        raise UserError(
            f"problem {episode.problem_id}: the reward {score:g} is not between 0 and 1, as avg@k needs; scale the rewards of "
            "the environment"
        )
    sample = {**verdict_to_json(episode.verdict), "tokens": episode.tokens, "finish_reason": episode.finish_reason}
    return cast(ScoredSample, sample)


def _reliability(rows: Sequence[ScoredProblem]) -> dict[str, float]:
    """Returns pass^k for each k from 2 to the number of samples, under its name."""
    scores = [[sample["score"] for sample in row["samples"]] for row in rows]
    found = {f"pass^{k}": pass_hat_k(scores, k) for k in range(2, max(map(len, scores)) + 1)}
    return {name: value for name, value in found.items() if value is not None}


def _prompt(environment: games.Environment, index: int, episode: Episode) -> Sequence[Message]:
    """Returns the prompt of a problem; the messages of an episode if the environment raises an error."""
    if isinstance(inner := environment.unwrapped, Tau2):  # its prompt is sampled
        return inner.problems[index].prompt
    try:
        text, info = environment.reset(seed=index, options={"problem": index})
        return games.prompt_messages_of(text, cast(Any, info))
    except UserError:
        raise
    except Exception:  # an environment of the user
        return episode.messages


def _last_turn(played: Mapping[int, Sequence[Episode]], row: ScoredProblem, number: int) -> str:
    """Returns the judged text of an episode's last turn."""
    episode = played[int(row["request"])][number]
    return Completion(episode.messages[-1]["content"], episode.finish_reason).scorable_text if episode.messages else ""
