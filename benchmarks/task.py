"""A benchmark task with the options of a run applied, and checks of tasks before they run."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import UserError
from ..envs import identity as environments
from ..policies import checkpoints
from ..policies import identity as policy_identity
from . import catalogue, environment, environment_name, judged
from .catalogue import TaskRequest
from .judged import published
from .result import Options, Result
from .tasks import avg_at_k

STORED = ("problems", "examples", "system", "fewshot", "text", "judging")
"""Settings of a result that replace entries of its task's `metadata` when its samples are judged again."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One of our tasks or a task file, with the options of a run."""

    name: str
    """Start of the names of its files: gsm8k, gsm8k-own-1a2b3c (with problems of the user), or the name of a task file."""
    lm_eval: str
    """Name of lm-eval's task: gsm8k, or `catalogue.OWN` for a task file."""
    metadata: dict[str, Any]
    samples: int
    """Samples per problem, k."""
    generation: dict[str, Any]
    """lm-eval's `generation_kwargs`."""
    own: str | None = None
    """"problems" if the problems are the user's, "file" for a task file, else None, in which case published scores apply."""


def resolve(request: TaskRequest, options: Options) -> Task:
    """Returns a task with the options applied.

    Raises:
        UserError: there is no such task file, the problems cannot be read, or the task cannot have these options.
    """
    settings = catalogue.settings(request.task)
    metadata = settings["metadata"] | _published_system(settings["metadata"], options) | overrides(options)
    generation = dict(settings["generation_kwargs"])
    chosen = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
        "max_gen_toks": options.max_tokens,
    }
    generation |= {name: value for name, value in chosen.items() if value is not None}
    if options.temperature is not None:
        generation["do_sample"] = options.temperature > 0
    samples = next(number for number in (options.samples, request.samples, settings["repeats"]) if number is not None)
    if samples < 1:
        raise UserError(f"{request.name}: expected at least one sample per problem, got {samples}")
    if options.text:
        generation["until"] = [*(generation.get("until") or ()), avg_at_k.TEXT_STOP]
    is_file = request.task not in catalogue.names()
    if metadata.get("fewshot") and not metadata.get("examples"):
        remedy = (
            "list examples in it, or omit fewshot" if is_file else "omit --fewshot, or list examples in a task file (--task)"
        )
        raise UserError(f"{request.task} has no few-shot examples; {remedy}")
    own = "file" if is_file else None
    name = settings["task"] if is_file else request.task
    if options.problems is not None and options.problems != settings["metadata"].get("problems"):
        own = own or "problems"
        name += f"-own-{environments.of_problems(options.problems)[:6]}"
    return Task(name, catalogue.OWN if is_file else request.task, metadata, samples, generation, own)


def stored(result: Result) -> Task:
    """Returns the task of a stored result, with the result's own settings.

    Raises:
        KeyError, TypeError: the settings are incomplete.
    """
    settings = result.settings
    sampling = settings["sampling"] | {"until": settings["stop"]}
    if settings.get("own") == "file":
        return Task(settings["task"], catalogue.OWN, settings["definition"], settings["samples"], sampling, "file")
    changed = {name: settings[name] for name in STORED if settings.get(name) is not None}
    metadata = catalogue.settings(settings["task"])["metadata"] | changed
    return Task(settings["task"], settings["task"], metadata, settings["samples"], sampling, settings.get("own"))


def with_model_sampling(options: Options, uri: str) -> Options:
    """Returns options with the sampling settings that a checkpoint recommends, where the user has set none.

    Args:
        options: options of the benchmark run.
        uri: URI of the policy.

    Raises:
        UserError: the policy is not a checkpoint, or its generation_config.json has none of temperature, top_p and top_k.
    """
    if uri.partition(":")[0] in ("openai", "scripted", "call"):
        raise UserError(f"sampling: {uri} is not a checkpoint and recommends no settings; set temperature, top_p and top_k")
    folder = policy_identity.checkpoint_of(uri)
    found = checkpoints.recommended_sampling(folder)
    if not found:
        raise UserError(f"sampling: {uri} has no generation_config.json with temperature, top_p or top_k; set them yourself")
    recommended = {"temperature": 1.0, "top_p": 1.0, **found}  # 1 is transformers' default of both
    return dataclasses.replace(
        options, **{name: value for name, value in recommended.items() if getattr(options, name) is None}
    )


def overrides(options: Options) -> dict[str, Any]:
    """Returns the options that replace entries of a task's `metadata`."""
    values = {
        "problems": options.problems,
        "data": None if options.problems else options.data,
        "examples_data": options.data,
        "system": options.system,
        "fewshot": options.fewshot,
        "text": options.text,
    }
    return {name: value for name, value in values.items() if value is not None}


def _published_system(metadata: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Returns the system prompt that the benchmark publishes, if its file is in the folder with the data."""
    system = published.system(metadata, options.data)
    return {} if system is None else {"system": system}


def check(task: str, options: Options) -> None:
    """Checks that a task exists and that its problems can be loaded.

    Raises:
        UserError: the check fails.
    """
    from ..envs.problems import sources

    for request in catalogue.expand([task]):
        if request.is_environment:
            environment.find(request, options).make().close()
        elif request.is_lm_eval:
            if request.samples is not None:
                raise UserError(f"{request.name}: lm-eval's tasks have their own number of samples; omit _avg{request.samples}")
            if options.system is not None:
                raise UserError(f"{request.name}: lm-eval's tasks have their own prompts; omit --system")
            if options.text or options.thinking:
                raise UserError(f"{request.name}: the prompts of lm-eval's tasks are plain text; omit --text and --thinking")
        else:
            metadata = resolve(request, options).metadata
            sources.load(avg_at_k.source(metadata))
            avg_at_k.few_shot(metadata)
            if "judged" in metadata:  # before the samples are requested, so that a damaged file with prompts costs nothing
                judged.settings.of_task(judged.BENCHMARKS[metadata["judged"]], metadata, options.judge or "", options.data)


def token_limit(request: TaskRequest, options: Options) -> int:
    """Returns the limit of tokens per sample; 0 for lm-eval's own tasks, whose limit is unknown until they are loaded."""
    found = sampling_of(request, options)
    return 0 if found is None else int(found[1]["max_gen_toks"])


def sampling_of(request: TaskRequest, options: Options) -> tuple[int, dict[str, Any]] | None:
    """Returns a task's number of samples and its settings of sampling, as in a result; None for lm-eval's own tasks."""
    if request.is_lm_eval:
        return None
    if request.is_environment:
        found = environment.find(request, options)
        return found.samples, environment.sampling_settings(found.sampling)
    resolved = resolve(request, options)
    return resolved.samples, {name: value for name, value in resolved.generation.items() if name != "until"}


def sampling_cost(task: str, options: Options) -> tuple[int, int]:
    """Returns a task's number of samples and its limit of tokens per sample. Both are 0 for lm-eval's own tasks, because their
    number of problems is unknown until they are loaded."""
    from ..envs.problems import sources

    request = catalogue.expand([task])[0]
    if request.is_lm_eval:
        return 0, 0
    if request.is_environment:
        found = environment.find(request, options)
        return found.episode_count(), found.sampling.max_tokens
    resolved = resolve(request, options)
    problems = len(sources.load(avg_at_k.source(resolved.metadata)))
    return min(problems, options.limit or problems) * resolved.samples, resolved.generation["max_gen_toks"]


def not_runnable(requests: Sequence[TaskRequest], options: Options) -> dict[str, str]:
    """Returns the tasks that cannot run, with the reason, for example that the judge or the data are missing.

    Raises:
        UserError: there is only one task, and `check` raises an error.
    """
    reasons = {}
    for request in requests:
        if reason := missing(request.task, options):
            reasons[request.name] = reason
            continue
        try:
            check(request.name, options)
        except UserError as error:
            if len(requests) == 1:
                raise
            reasons[request.name] = str(error)
    return reasons


def missing(task: str, options: Options) -> str | None:
    """Returns which option a judged task still needs; None if none is missing."""
    if task.startswith((catalogue.LM_EVAL, environment_name.PREFIX)):
        return None
    metadata = catalogue.settings(task)["metadata"]
    if "judged" not in metadata:
        return None
    if not options.judge:
        return "it needs a judge; name one with --judge"
    if metadata.get("baseline") and not options.baseline:
        return "it needs a baseline's answers; name their files with --baseline"
    return None
