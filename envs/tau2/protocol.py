"""In what an environment differs from tau2-bench's own program; see `benchmarks/environment.py`."""

import os
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from ...core import Problem, Sampling
from . import problems as published
from .simulation import DOMAINS

MAX_STEPS, MAX_ERRORS = 200, 10
"""tau2-bench's `DEFAULT_MAX_STEPS` and `DEFAULT_MAX_ERRORS`."""
ALWAYS = (
    "tasks and code of tau2-bench 0.2; version 1.0 has other airline and retail tasks",
    "the policy's tokens are limited over the whole episode",
    "an empty response scores 0; tau2-bench asks up to three times again, then ends the run",
)
"""In what a result differs whatever the options are."""
USERS = ("gpt-4.1", "gpt-4.1-2025-04-14")
"""OpenAI's models that simulate the user by default in tau2-bench."""


def differences(
    problems: Sequence[Problem], user_policy: str, user: Sampling, max_steps: int, max_errors: int, system: str | None
) -> list[str]:
    """Returns in what the episodes differ from those of tau2-bench's own program, one line each.

    Args:
        problems: the tasks.
        user_policy: URI of the policy that simulates the user.
        user: how it samples. The seed is no difference, because tau2-bench's trials have different seeds, too.
        max_steps, max_errors, system: arguments of the environment.
    """
    limit = f"a message of the user has at most {user.max_tokens} tokens; tau2-bench has no limit"
    found = [*ALWAYS, limit, *_of_tasks(problems)]
    if not _is_published(user_policy):
        found.append(f"the user is simulated by {user_policy}; tau2-bench's default is OpenAI's {USERS[0]}")
    if user.temperature != 0:
        found.append(f"the user's messages have the temperature {user.temperature:g}; tau2-bench's is 0")
    if max_steps != MAX_STEPS:
        found.append(f"max_steps is {max_steps}; tau2-bench's default is {MAX_STEPS}")
    if max_errors != MAX_ERRORS:
        found.append(f"max_errors is {max_errors}; tau2-bench's default is {MAX_ERRORS}")
    if system is not None:
        found.append("the option system puts a text before the system turn")
    return found


def _is_published(uri: str) -> bool:
    """True if a URI names a default user of tau2-bench, at OpenAI, and the temperature is sent."""
    scheme, _, rest = uri.partition(":")
    model, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    elsewhere = "base_url" in options or os.environ.get("OPENAI_BASE_URL", "").strip()
    omitted = [name.strip() for name in options.get("omit_parameters", "").split(",")]
    return scheme == "openai" and model in USERS and not elsewhere and "temperature" not in omitted


def _of_tasks(problems: Sequence[Problem]) -> list[str]:
    """Returns a line if the tasks are not those of one domain that published scores are about."""
    answers = [problem.answer if isinstance(problem.answer, Mapping) else {} for problem in problems]
    domains = [name for name in DOMAINS if any(answer.get("domain") == name for answer in answers)]
    if len(domains) != 1:
        return ["the tasks are not of one domain"]
    expected = [problem.answer for problem in published.tasks(domains[0])]
    if len(answers) == len(expected) and all(answer in answers for answer in expected):
        return []
    split = f"{len(expected)} of the split {published.SPLIT} of {domains[0]}"
    return [f"the tasks are not the {split}, which published scores are about"]
