"""Options of `tenfold bench` that depend on the policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core import Policy

if TYPE_CHECKING:
    from ..benchmarks.catalogue import TaskRequest
    from ..benchmarks.result import Options


def with_model_sampling(options: "Options", uri: str) -> "Options":
    """Returns the options with the checkpoint's own sampling settings, and prints what is used.

    Args:
        options: options of the command line.
        uri: URI of the policy.

    Raises:
        UserError: the checkpoint recommends nothing.
    """
    from ..benchmarks import task

    found = task.with_model_sampling(options, uri)
    top_k = f", top_k {found.top_k}" if found.top_k else ""
    print(f"sampling: temperature {found.temperature:g}, top_p {found.top_p:g}{top_k} (generation_config.json of {uri})")
    return found


def limit_cautions(requests: "Sequence[TaskRequest]", options: "Options", policy: Policy) -> list[str]:
    """Returns a caution if the tasks' own token limit is more than the window of a checkpoint, as for `micro:`.

    Args:
        requests: the tasks.
        options: options of the command line.
        policy: the policy.
    """
    from ..benchmarks import task
    from ..policies.transcript import TokenPolicy

    window = policy.window if isinstance(policy, TokenPolicy) else None
    if window is None or options.max_tokens is not None:
        return []
    names = [request.name for request in requests if task.token_limit(request, options) > window]
    if not names:
        return []
    return [
        f"{', '.join(names)}: without --max-tokens, a sample that does not end fills the policy's context window of {window:,} "
        "tokens; add --max-tokens N for fewer, such as --max-tokens 64"
    ]
