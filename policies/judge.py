"""A policy as the judge of responses: `verifier="judge"`.

A registration or a recipe names the judge and its options:

    verifier: {name: judge, policy: "openai:MODEL?base_url=http://localhost:8000/v1", always: true, rules: math}

Without `policy`, the environment variable TENFOLD_JUDGE is used; TENFOLD_JUDGE_ALWAYS=1 means `always: true`. All processes of
an RL stage inherit the variables. A stage records the judge that it used, also if a variable named it.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Mapping

from .. import verifiers
from ..core import Conversation, Policy, Problem, PromptRefused, Sampling, UserError, Verdict, Verifier
from ..responses import complete_lines
from ..verifiers import agentic
from . import load_policy


@dataclasses.dataclass(frozen=True)
class JudgeVerifier:
    """A verifier that asks a policy about a response if its rules are undecided; with `always`, about every response."""

    policy: str | None = None
    """URI of the policy; None: the value of TENFOLD_JUDGE at the time of the verdict."""
    always: bool | None = None
    """Ask the policy about every response; None: the value of TENFOLD_JUDGE_ALWAYS."""
    rules: verifiers.VerifierSpec = "math"
    """The verifier with the rules."""

    @property
    def options(self) -> Mapping[str, object]:
        """The current options: `policy`, `always`, `rules`."""
        always = os.environ.get("TENFOLD_JUDGE_ALWAYS", "") not in ("", "0") if self.always is None else self.always
        policy = os.environ.get("TENFOLD_JUDGE", "") if self.policy is None else self.policy
        return {"policy": policy, "always": always, "rules": self.rules}

    def with_options(self, **options: object) -> "JudgeVerifier":
        """Returns the judge with other options: `policy`, `always`, `rules`.

        Raises:
            UserError: there is no such option, or a value has the wrong type.
        """
        types = {"policy": str | None, "always": bool | None, "rules": str | Mapping | list}
        for name, value in options.items():
            if name not in types:
                raise UserError(f"the judge has no option {name!r}; its options are {', '.join(types)}")
            if not isinstance(value, types[name]):
                raise UserError(f"the judge's option {name} has the wrong type: {value!r:.100}")
        return dataclasses.replace(self, **options)  # type: ignore[arg-type]

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the rules' verdict, or the policy's if the rules are undecided or `always` is set."""
        return self._loaded()(problem, response)

    def invalid_gold(self, problem: Problem) -> str | None:
        """Returns the reason why the rules cannot read the problem's gold answer, or None."""
        return verifiers.find(self.rules).invalid_gold(problem)

    def prepare(self) -> None:
        """Loads the policy.

        Raises:
            UserError: no policy is set, or its URI is invalid.
        """
        self._loaded().prepare()

    def _loaded(self) -> Verifier:
        options = self.options
        if not options["policy"]:
            raise UserError(
                "the judge has no policy: use verifier: {name: judge, policy: URI}, or set TENFOLD_JUDGE to a URI such as "
                "openai:MODEL?base_url=http://localhost:8000/v1"
            )
        return _verifier(options["policy"], options["always"], json.dumps(options["rules"]))


verify = JudgeVerifier()
"""The judge that the environment variables name. A registration may set its options."""


def asking(policy: Policy, sampling: Sampling | None = None) -> agentic.Ask:
    """Returns the function that `agentic.verifier` calls to ask a policy. The default temperature is 0.

    The last line of a truncated turn is left out: "VERDICT: EQUIVALENT" may have continued.
    """
    settings = sampling or Sampling(temperature=0.0, max_tokens=2_048)

    def ask(conversation: Conversation) -> str:
        (completion,) = policy.generate([conversation], 1, settings)[0]
        if completion.finish_reason == "refused":
            raise PromptRefused(completion.error)
        if completion.finish_reason == "fault":
            raise ConnectionError(completion.error)
        return complete_lines(completion.text) if completion.finish_reason == "length" else completion.text

    return ask


@functools.lru_cache(maxsize=4)
def _verifier(uri: str, always: bool, rules: str) -> Verifier:
    return agentic.verifier(_asking(uri), json.loads(rules), always=always)


@functools.lru_cache(maxsize=2)
def _asking(uri: str) -> agentic.Ask:
    return asking(load_policy(uri))
