"""A policy as the judge of answers: `verifier="tenfold.policies.judge:verify"`.

The environment variable TENFOLD_JUDGE names it by its URI ("openai:MODEL?base_url=...", "hf:ORG/NAME", ...), so that every
process of an RL stage finds it. TENFOLD_JUDGE_ALWAYS=1 asks it about every response, not only about those that the rules leave
undecided.
"""

import functools
import os

from ..core import Conversation, Policy, Problem, Refused, Sampling, UserError, Verdict, Verifier
from ..verifiers import agentic
from . import load_policy


def asking(policy: Policy, sampling: Sampling | None = None) -> agentic.Ask:
    """A policy as the function that `agentic.verifier` asks, at temperature 0 unless said otherwise."""
    settings = sampling or Sampling(temperature=0.0, max_tokens=2_048)

    def ask(conversation: Conversation) -> str:
        (completion,) = policy.generate([conversation], 1, settings)[0]
        if completion.finish_reason == "refused":
            raise Refused(completion.error)
        if completion.finish_reason == "fault":
            raise ConnectionError(completion.error)
        return completion.text

    return ask


def prepare() -> None:
    """Loads the judge.

    Raises:
        UserError: TENFOLD_JUDGE is not set, or leads nowhere.
    """
    _judge(os.environ.get("TENFOLD_JUDGE", ""), bool(os.environ.get("TENFOLD_JUDGE_ALWAYS")))


def verify(problem: Problem, response: str) -> Verdict:
    """The rules' verdict, or where they are undecided the judge's."""
    return _judge(os.environ.get("TENFOLD_JUDGE", ""), bool(os.environ.get("TENFOLD_JUDGE_ALWAYS")))(problem, response)


@functools.lru_cache(maxsize=1)
def _judge(uri: str, always: bool) -> Verifier:
    if not uri:
        raise UserError("say who judges: set TENFOLD_JUDGE to a policy, say openai:MODEL?base_url=http://localhost:8000/v1")
    return agentic.verifier(asking(load_policy(uri)), always=always)
