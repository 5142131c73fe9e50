"""A policy as the judge of answers: `verifier="judge"`.

A registration, and so a recipe, names the judge and how it judges:

    verifier: {name: judge, policy: "openai:MODEL?base_url=http://localhost:8000/v1", always: true, rules: math}

Where it names no policy, the environment variable TENFOLD_JUDGE does; TENFOLD_JUDGE_ALWAYS=1 is `always: true`. The variables
reach every process of an RL stage. A stage's record holds the judge that was asked, whoever named it.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Mapping

from .. import verifiers
from ..core import Conversation, Policy, Problem, Refused, Sampling, UserError, Verdict, Verifier
from ..verifiers import agentic
from . import load_policy


@dataclasses.dataclass(frozen=True)
class JudgeVerifier:
    """The rules' verdict, or where they are undecided a policy's."""

    policy: str | None = None
    """URI of the policy; None: what TENFOLD_JUDGE says when a verdict is wanted."""
    always: bool | None = None
    """Ask the policy about every response; None: what TENFOLD_JUDGE_ALWAYS says."""
    rules: verifiers.Named = "math"
    """The verifier that judges first."""

    @property
    def options(self) -> Mapping[str, object]:
        """The policy, whether it is always asked, and the rules, as they hold now."""
        always = bool(os.environ.get("TENFOLD_JUDGE_ALWAYS")) if self.always is None else self.always
        policy = os.environ.get("TENFOLD_JUDGE", "") if self.policy is None else self.policy
        return {"policy": policy, "always": always, "rules": self.rules}

    def with_options(self, **options: object) -> "JudgeVerifier":
        """The judge with other options: `policy`, `always`, `rules`.

        Raises:
            UserError: there is no such option, or a value is not of its kind.
        """
        known = {"policy": str | None, "always": bool | None, "rules": str | Mapping}
        for name, value in options.items():
            if name not in known:
                raise UserError(f"a judge has no option {name!r}; its options are: {', '.join(known)}")
            if not isinstance(value, known[name]):
                raise UserError(f"a judge's option {name} cannot be {value!r:.100}")
        return dataclasses.replace(self, **options)  # type: ignore[arg-type]

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """The rules' verdict, or where they are undecided the policy's."""
        return self._loaded()(problem, response)

    def invalid_gold(self, problem: Problem) -> str | None:
        """Why the rules cannot read the problem's gold answer, or None."""
        return verifiers.find(self.rules).invalid_gold(problem)

    def prepare(self) -> None:
        """Loads the policy.

        Raises:
            UserError: nobody says which it is, or its URI leads nowhere.
        """
        self._loaded().prepare()

    def _loaded(self) -> Verifier:
        options = self.options
        if not options["policy"]:
            raise UserError(
                "say who judges: verifier: {name: judge, policy: URI}, or set TENFOLD_JUDGE to a policy, say "
                "openai:MODEL?base_url=http://localhost:8000/v1"
            )
        return _verifier(options["policy"], options["always"], json.dumps(options["rules"]))


verify = JudgeVerifier()
"""The judge that the environment variables name, until a registration gives options."""


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


@functools.lru_cache(maxsize=4)
def _verifier(uri: str, always: bool, rules: str) -> Verifier:
    return agentic.verifier(_asking(uri), json.loads(rules), always=always)


@functools.lru_cache(maxsize=2)
def _asking(uri: str) -> agentic.Ask:
    return asking(load_policy(uri))
