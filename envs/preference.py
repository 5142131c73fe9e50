"""Environments whose reward is a preference: a pairwise reward model compares the response with another response.

    tenfold.register("lab/Notes-v0", entry_point="tenfold.envs.preference:PreferenceEnv",
                     problems="jsonl:notes.jsonl", reward_model="stage:runs/notes/reward_model")

With `compare_with="reference"` the other response is the problem's answer. With `compare_with="group"` the response is compared
with each of the other samples of the same problem; an RL stage then calls `score_group` for the whole group.
"""

from collections.abc import Sequence
from typing import Any

from ..core import Problem, Status, UserError, Verdict
from ..policies.preference import preference
from ..verifiers import pairwise
from .text import TextEnv

COMPARE_WITH = ("reference", "group")


class PreferenceEnv(TextEnv):
    """A `TextEnv` whose reward is the probability that the response is the better one of two."""

    def __init__(
        self,
        problems: str | Sequence[Problem],
        reward_model: str,
        compare_with: str = "reference",
        template: str = "{prompt}",
        system: str | None = None,
    ):
        """Creates the environment.

        Args:
            problems: a problem URI, or the problems. The answer of a problem is the reference response.
            reward_model: URI of the policy that chooses between two responses, such as "stage:FOLDER" of a `reward_model`
                stage. It is loaded by the first `reset`, because an earlier stage of the recipe may still have to train it.
            compare_with: "reference" or "group". A filter or a benchmark always compares with the reference.
            template: see `TextEnv`.
            system: see `TextEnv`.
        """
        if compare_with not in COMPARE_WITH:
            raise UserError(f"compare_with: expected one of {', '.join(COMPARE_WITH)}, got {compare_with!r}")
        super().__init__(problems, _not_loaded, template, system)
        self.reward_model, self.compare_with = reward_model, compare_with

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses a problem; see `TextEnv.reset`.

        Raises:
            UserError: the reward model cannot be loaded.
        """
        self.verifier = pairwise.verifier(preference(self.reward_model))
        return super().reset(seed=seed, options=options)

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Returns verdicts on all responses to problem `index`, each compared with every other.

        With `compare_with="reference"` it returns None.
        """
        if self.compare_with != "group":
            return None
        return pairwise.round_robin(preference(self.reward_model), self.problems[index], responses)


def _not_loaded(problem: Problem, response: str) -> Verdict:
    return Verdict(Status.FAULT, None, "pairwise", "reset() must be called first: it loads the reward model")
