"""Environments whose reward is a preference: a pairwise reward model compares a response with another one.

    tenfold.register("lab/Notes-v0", entry_point="tenfold.envs.preference:PreferenceEnv",
                     problems="jsonl:notes.jsonl", reward_model="stage:runs/notes/reward_model")

The other response is the problem's answer (`against="reference"`), or in turn each of those that the policy drew for the same
problem (`against="group"`): then an RL stage has the whole group judged at once, by `score_group`.
"""

from collections.abc import Sequence
from typing import Any

from ..core import Problem, Status, UserError, Verdict
from ..policies.preference import preference
from ..verifiers import pairwise
from .text import TextEnv

AGAINST = ("reference", "group")


class PreferenceEnv(TextEnv):
    """A `TextEnv` whose reward is the probability that the response is the better one of two."""

    def __init__(
        self,
        problems: str | Sequence[Problem],
        reward_model: str,
        against: str = "reference",
        template: str = "{prompt}",
        system: str | None = None,
    ):
        """Poses `problems`.

        Args:
            problems: a problem URI, or the problems; an answer is the response to be better than.
            reward_model: URI of the policy that chooses between two responses, say "stage:FOLDER" of a `reward_model` stage. It
                is loaded when the first problem is posed: an earlier stage of the recipe may have yet to make it.
            against: "reference" or "group"; a filter or a benchmark compares with the reference whatever is said here.
            template, system: as `TextEnv` has them.
        """
        if against not in AGAINST:
            raise UserError(f"against is one of {', '.join(AGAINST)}, not {against!r}")
        super().__init__(problems, _not_loaded, template, system)
        self.reward_model, self.against = reward_model, against

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses a problem; see `TextEnv.reset`.

        Raises:
            UserError: the reward model cannot be loaded.
        """
        self.verifier = pairwise.verifier(preference(self.reward_model))
        return super().reset(seed=seed, options=options)

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Verdicts on all responses to problem `index`, each compared with every other; None where it is with a reference."""
        if self.against != "group":
            return None
        return pairwise.round_robin(preference(self.reward_model), self.problems[index], responses)


def _not_loaded(problem: Problem, response: str) -> Verdict:
    return Verdict(Status.FAULT, None, "pairwise", "the reward model is loaded by reset()")
