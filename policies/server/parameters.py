"""Parameters of the requests to OpenAI-compatible servers, and what to do if a server rejects one."""

from collections.abc import Mapping
from typing import Any

LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
"""Names of the parameter with the token limit. OpenAI's reasoning models accept only the second."""
OPTIONAL = ("logprobs", "top_logprobs", "seed", "stop")
"""Parameters that are left out if the server rejects them. Stop strings are then applied by the client."""
DISTRIBUTION = ("temperature", "top_p")
"""Parameters that change the distribution of samples. The default of OpenAI's API is 1; another server's may differ."""
TEMPLATE = "chat_template_kwargs"
"""Variables of the model's chat template."""
TOP_K = "top_k"
"""Number of the most likely tokens to sample from."""
EXTENSIONS = (TEMPLATE, TOP_K)
"""Parameters that OpenAI's API does not have. vLLM and SGLang accept them."""
NAMED_IN_ERRORS = frozenset((LIMIT, "response_format", *OPTIONAL, *DISTRIBUTION, *EXTENSIONS))
"""Parameters that are recognized in a server's error."""


def as_arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a request as arguments of OpenAI's client, which takes extensions as `extra_body`."""
    extensions = {name: value for name, value in parameters.items() if name in EXTENSIONS}
    known = {name: value for name, value in parameters.items() if name not in EXTENSIONS}
    return {**known, "extra_body": extensions} if extensions else known


def remedy(name: str, value: object) -> str | None:
    """Returns what the user can do if a server rejects a parameter; None if the request may be sent without it.

    Args:
        name: name of the parameter.
        value: its value.
    """
    if name in DISTRIBUTION and value != 1:
        return f"set {name} to 1, or add omit_parameters={name} to the policy's URI to use the server's value"
    return {
        "response_format": "choose a model that supports it",
        TEMPLATE: "omit thinking (--thinking)",
        TOP_K: "omit top_k (--top-k), or use a server that has it, such as vLLM's or SGLang's",
    }.get(name)
