"""Judges that are models, by URI.

openai:MODEL?base_url=...    a judge of answers, as `verifier: judge` with `always` (`verifiers/agentic.py`)
prefer:URI                   a judge of two responses or a reward model: the probability that a response is better than the
                             problem's answer or solution, as in preference environments (`policies/preference.py`)
stage:FOLDER                 the latter if the stage trained a reward model, else a judge of answers
"""

import dataclasses
from pathlib import Path

from ...benchmarks.audit.judging import default_at_once
from ...core import Problem
from ...envs.gold import gold_response
from ...policies import check_uri, judge, load_policy
from ...policies.checkpoints import stage_and_step
from ...policies.preference import preference
from ...texts import without_secrets
from ...verifiers import agentic, pairwise
from ..stage import read_record
from .judges import Judge, by_verifier
from .mathematics import golds

PREFER = "prefer:"
"""Start of the name of a judge of two responses."""
PREFERRED_AT_ONCE = 16
"""Comparisons at the same time; the judge makes batches of them. Our choice."""


def check(uri: str) -> None:
    """Checks the URI of a judge without loading it.

    Raises:
        UserError: there is no such scheme.
    """
    check_uri(uri.removeprefix(PREFER))


def judge_of(uri: str) -> Judge:
    """Returns the judge of a URI.

    Raises:
        UserError: the URI is invalid, or the policy cannot be loaded.
    """
    if uri.startswith(PREFER) or _is_reward_model(uri):
        return _preferring(uri)
    policy = load_policy(uri)
    ask = agentic.verifier(judge.asking(policy), "math", always=True)
    scored = by_verifier(ask)

    def score(problem: Problem, response: str) -> float | None:
        return scored(problem, response) if golds(problem) else None

    return Judge(without_secrets(uri), "a gold answer", score, at_once=default_at_once(uri, policy))


def _is_reward_model(uri: str) -> bool:
    """True if a URI names a finished stage that trained a reward model."""
    scheme, _, location = uri.partition(":")
    if scheme != "stage":
        return False
    record = read_record(Path(stage_and_step(location)[0]))
    return record is not None and record["stage"]["kind"] == "reward_model"


def _preferring(uri: str) -> Judge:
    compare = by_verifier(pairwise.verifier(preference(uri.removeprefix(PREFER))))

    def score(problem: Problem, response: str) -> float | None:
        reference = gold_response(problem)
        answer = problem.answer if reference is None else reference
        return compare(dataclasses.replace(problem, answer=answer), response)

    return Judge(without_secrets(uri), "an answer or a solution", score, at_once=PREFERRED_AT_ONCE)
