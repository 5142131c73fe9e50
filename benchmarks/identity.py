"""What decides the score of a benchmark task beside the samples: its problems, its wording, and who judges."""

from typing import Any

from .. import digests
from ..envs import identity
from ..envs.identity import Identity
from ..policies import identity as policies
from . import catalogue, judged
from .result import Options
from .tasks import avg_at_k


def of_verdicts(metadata: dict[str, Any], options: Options) -> Identity:
    """What decides the verdicts on a task's samples: the verifier, or the judge's weights and the baseline's answers.

    Args:
        metadata: of the task.
        options: how it is run.
    """
    if "judged" not in metadata:
        verifier = metadata.get("verifier", avg_at_k.DEFAULTS["verifier"])
        return {f"verifier {name}".strip(): value for name, value in identity.of_verifier(verifier).items()}
    found = {"judged": str(metadata["judged"])}
    if options.judge:
        found |= {"judge": options.judge}
        found |= {f"judge {name}": digest for name, digest in policies.files(options.judge).items()}
    if metadata.get("baseline") and options.baseline:
        found["baseline content"] = digests.of(judged.baseline(options.baseline))
    return found


def of_task(name: str, options: Options) -> Identity:
    """What decides the score of a task of ours, its problems among it. Of lm-eval's own tasks nothing is said: a digest of
    their prompts and gold answers is in their results.

    Args:
        name: of a task or a suite, perhaps with the number of samples.
        options: how it is run.

    Raises:
        UserError: there is no such task, or its problems are not there.
    """
    found: Identity = {}
    for asked in catalogue.expand([name]):
        if asked.task.startswith(catalogue.LM_EVAL):
            continue
        settings = catalogue.settings(asked.task)
        where = {"problems": options.problems, "data": None if options.problems else options.data}
        metadata = settings["metadata"] | {name: value for name, value in where.items() if value is not None}
        of = {"settings": digests.of(dict(settings)), **of_verdicts(metadata, options)}
        of["problems content"] = identity.of_problems(avg_at_k.source(metadata))
        found |= {f"task {asked.task} {part}": value for part, value in of.items()}
    return found
