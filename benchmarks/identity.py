"""Digests of everything that determines a task's score, except the samples: problems, prompt, verifier or judge."""

from collections.abc import Mapping

from .. import digests
from ..envs import identity
from ..envs.identity import Identity
from ..policies import identity as policies
from . import catalogue, judged
from .result import Options
from .tasks import avg_at_k


def of_verdicts(metadata: Mapping[str, object], options: Options) -> Identity:
    """Returns the digests of what determines verdicts: the verifier, or the judge's weights and the baseline's answers.

    Args:
        metadata: the task's `metadata`.
        options: options of the benchmark run.
    """
    if "judged" not in metadata:
        verifier = str(metadata.get("verifier", avg_at_k.DEFAULTS["verifier"]))
        return {f"verifier {name}".strip(): value for name, value in identity.of_verifier(verifier).items()}
    found = {"judged": str(metadata["judged"])}
    if options.judge:
        found |= {"judge": options.judge}
        found |= {f"judge {name}": digest for name, digest in policies.files(options.judge).items()}
    if metadata.get("baseline") and options.baseline:
        found["baseline content"] = digests.of(judged.baseline(options.baseline))
    return found


def of_task(name: str, options: Options) -> Identity:
    """Returns the digests of what determines the score of our tasks, their problems included.

    lm-eval's own tasks are left out. Their results contain a digest of the prompts and gold answers.

    Args:
        name: a task or a suite, optionally with the number of samples.
        options: options of the benchmark run.

    Raises:
        UserError: there is no such task, or its problems cannot be loaded.
    """
    found: Identity = {}
    for request in catalogue.expand([name]):
        if request.task.startswith(catalogue.LM_EVAL):
            continue
        settings = catalogue.settings(request.task)
        overrides = {"problems": options.problems, "data": None if options.problems else options.data}
        metadata = settings["metadata"] | {name: value for name, value in overrides.items() if value is not None}
        parts = {"settings": digests.of(dict(settings)), **of_verdicts(metadata, options)}
        parts["problems content"] = identity.of_problems(avg_at_k.source(metadata))
        found |= {f"task {request.task} {part}": value for part, value in parts.items()}
    return found
