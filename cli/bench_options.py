"""Options of `tenfold bench` that depend on the policy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    found, recommended = task.with_model_sampling(options, uri)
    unused = f"; its top_k {recommended['top_k']:g} is not used" if recommended.get("top_k") else ""
    print(f"sampling: temperature {found.temperature:g}, top_p {found.top_p:g} (generation_config.json of {uri}{unused})")
    return found
