"""How a judge is asked: prompts, sampling, number of attempts. Also in what this differs from the published protocol.

The `metadata` of a judged task:
    repository      repository of the benchmark
    prompt_files    names of its files with the prompts for the judge, which are read from --data
    judges          the published judges, each with the names of its models, `temperature`, `max_tokens` and optionally `top_p`.
                    Any other judge is asked with the sampling settings of the first one
    judge_attempts  maximum number of times that a question is asked until its answer can be read
    response_tokens token limit of the responses, if the benchmark publishes one
    system          system prompt of the policy in our words, if the benchmark publishes one
    system_file     name of its file with that prompt, which is read from --data
    system_digest   SHA-256 of the published prompt
    judging         settings of an earlier result, which replace all of these
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from ... import disk
from ...core import Policy, Sampling, UserError
from ...policies import identity
from ...policies.store import sampling_settings
from . import published
from .judge import Benchmark, JudgeSettings


class JudgingRow(TypedDict):
    """The settings as a result records them."""

    prompts: Mapping[str, str]
    published: bool
    sampling: Mapping[str, Any]
    attempts: int


def row_of(settings: JudgeSettings) -> JudgingRow:
    """Returns the settings as JSON data."""
    sampling = sampling_settings(settings.sampling)
    return {
        "prompts": settings.prompts,
        "published": settings.published,
        "sampling": {name: value for name, value in sampling.items() if name not in ("seed", "stop")},
        "attempts": settings.attempts,
    }


def of_task(benchmark: Benchmark, metadata: Mapping[str, Any], judge: str, data: str | None) -> JudgeSettings:
    """Returns the settings of a task.

    Args:
        benchmark: a module of this folder.
        metadata: the task's `metadata`; see above.
        judge: URI of the judge.
        data: folder with the benchmark's files.

    Raises:
        UserError: a file with the benchmark's prompts cannot be read, or has other prompts; or the settings of the earlier
            result are damaged.
    """
    if "judging" in metadata:
        with disk.reading("judging of the result", "remove the result and run its benchmark again"):
            row = cast(JudgingRow, metadata["judging"])
            disk.check_types(dict(row), prompts=dict, published=bool, sampling=dict, attempts=int)
            return JudgeSettings(row["prompts"], row["published"], Sampling(**row["sampling"]), row["attempts"])
    known = metadata.get("judges") or [{}]
    chosen = next((entry for entry in known if model_name(judge) in entry.get("models", ())), known[0])
    changed = {name: value for name, value in chosen.items() if name != "models"}
    sampling = dataclasses.replace(JudgeSettings.sampling, **changed)
    files = published.files(data, metadata.get("prompt_files") or ())
    prompts = benchmark.OWN_PROMPTS if files is None else benchmark.prompts(files)
    places, expected = _places(prompts["question"]), _places(benchmark.OWN_PROMPTS["question"])
    if places != expected:
        raise UserError(f"{_files(metadata)}: the question has the places {places}, not {expected}; download it again")
    return JudgeSettings(
        dict(prompts), files is not None, sampling, int(metadata.get("judge_attempts", JudgeSettings.attempts))
    )


def differences(
    benchmark: Benchmark, metadata: Mapping[str, Any], found: JudgeSettings, judge: str, policy: Policy, max_tokens: int | None
) -> list[str]:
    """Returns in what the settings of a run differ from the published ones.

    Args:
        benchmark: a module of this folder.
        metadata: the task's `metadata`.
        found: the settings of the judge.
        judge: URI of the judge.
        policy: the judge.
        max_tokens: token limit of the responses.
    """
    differing = []
    if not found.published:
        differing.append(f"the judge's prompt has our words; with {_files(metadata)} in --data it is the published one")
    if not is_published(metadata, judge):
        published_names = " or ".join(_published_judges(metadata))
        differing.append(f"the judge is {model_name(judge)}, the published one {published_names}")
    if getattr(policy, "response_format", None) != benchmark.RESPONSE_FORMAT:
        differing.append("the judge answers in text, not in a structured form")
    if "system_digest" in metadata and _digest(metadata.get("system") or "") != metadata["system_digest"]:
        place = f"{metadata['system_file']} of {metadata['repository']}"
        differing.append(f"the policy's system prompt is not the published one; with {place} in --data it is")
    limit = metadata.get("response_tokens")
    if limit and max_tokens != limit:
        differing.append(f"responses have up to {max_tokens} tokens, the published ones {limit}")
    return differing


def is_published(metadata: Mapping[str, Any], judge: str) -> bool:
    """True if a judge is one of the published ones. Other servers may not support the structured form of its answers.

    Args:
        metadata: the task's `metadata`.
        judge: URI of the judge.
    """
    return model_name(judge) in _published_judges(metadata)


def conditions(metadata: Mapping[str, Any]) -> list[str]:
    """Returns what the protocol of a judged task depends on, one line each.

    Args:
        metadata: the task's `metadata`.
    """
    limit = metadata.get("response_tokens")
    return [
        f"published judges: {', '.join(_published_judges(metadata))}",
        f"published prompt of the judge: with {_files(metadata)} in --data",
        *([f"published system prompt: with {metadata['system_file']} in --data"] if "system_file" in metadata else []),
        *([f"published limit of the responses: --max-tokens {limit}"] if limit else []),
    ]


def _places(template: str) -> list[str]:
    """Returns the places of a template that `filled` fills: each name once, and each place without a name."""
    found = re.findall(r"\{\{|\}\}|(\{\w*\})", template)
    return sorted([*{place for place in found if place not in ("", "{}")}, *(place for place in found if place == "{}")])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _files(metadata: Mapping[str, Any]) -> str:
    return f"{' and '.join(metadata['prompt_files'])} of {metadata['repository']}"


def _published_judges(metadata: Mapping[str, Any]) -> Sequence[str]:
    return [model for entry in metadata["judges"] for model in entry["models"]]


def model_name(uri: str) -> str:
    """Returns the name of a policy's model: gpt-4.1 of openai:openai/gpt-4.1?base_url=URL."""
    scheme, _, address = identity.without_backend(uri).partition("?")[0].partition(":")
    return scheme if scheme == "scripted" else address.rstrip("/").rpartition("/")[2] or scheme
