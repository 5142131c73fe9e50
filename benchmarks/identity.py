"""Digests of a task's problems, prompt, and verifier or judge: everything that determines the score, except the samples."""

import json
import os
from collections.abc import Mapping
from typing import cast

from .. import digests
from ..envs import identity
from ..envs.identity import Identity
from ..policies import identity as policies
from ..verifiers import VerifierLike
from . import catalogue, environment, judged
from .result import Options
from .task import resolve
from .tasks import avg_at_k


def of_verdicts(metadata: Mapping[str, object], options: Options) -> Identity:
    """Returns the digests of what determines verdicts: the verifier, or the judge's weights and the baseline's answers.

    Args:
        metadata: the task's `metadata`.
        options: options of the benchmark run.
    """
    if "judged" not in metadata:
        verifier = cast(VerifierLike, metadata.get("verifier", avg_at_k.DEFAULTS["verifier"]))
        return {f"verifier {name}".strip(): value for name, value in identity.of_verifier(verifier).items()}
    found = {"judged": str(metadata["judged"])}
    if options.judge:
        asked = judged.settings.of_task(judged.BENCHMARKS[found["judged"]], metadata, options.judge, options.data)
        found |= {"judge": options.judge, "judge settings": digests.of(judged.settings.row_of(asked))}
        found |= {f"judge {name}": digest for name, digest in policies.files(options.judge).items()}
    if metadata.get("baseline") and options.baseline:
        found["baseline content"] = digests.of(judged.baseline(options.baseline))
    return found


def of_task(name: str, options: Options) -> Identity:
    """Returns the digests of what determines the score of our tasks, task files and environments, their problems included.

    lm-eval's own tasks are left out. Their results contain a digest of the prompts and gold answers.

    Args:
        name: a task or a suite, optionally with the number of samples.
        options: options of the benchmark run.

    Raises:
        UserError: there is no such task, or its problems cannot be loaded.
    """
    found: Identity = {}
    for request in catalogue.expand([name]):
        if request.is_lm_eval:
            continue
        if request.is_environment:
            task = environment.find(request, options)
            parts = identity.of_environment(task.id, task.arguments)
        else:
            settings, metadata = catalogue.settings(request.task), resolve(request, options).metadata
            parts = {"settings": digests.of(_without_folder(settings)), **of_verdicts(metadata, options)}
            parts["problems content"] = identity.of_problems(avg_at_k.source(metadata))
            if "system_file" in metadata:
                parts["system"] = digests.of(metadata["system"])
            if examples := avg_at_k.few_shot(metadata):
                parts["examples content"] = digests.of(examples)
        found |= {f"task {request.task} {part}": value for part, value in parts.items()}
    return found


def _without_folder(settings: Mapping[str, object]) -> Mapping[str, object]:
    """Returns a task's settings with the names of its functions relative to the folder of the task files.

    lm-eval makes them absolute. Without this, a run could not be resumed with the package in another folder.
    """
    text = json.dumps(settings)
    for folder in (catalogue.TASKS, catalogue.TASKS.resolve()):
        text = text.replace(json.dumps(f"{folder}{os.sep}")[1:-1], "")
    return cast(Mapping[str, object], json.loads(text))
