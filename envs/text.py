"""TextEnv: a problem is posed, the policy answers, a verifier scores.

env = gymnasium.make("tenfold/ChainSum-v0")
prompt, info = env.reset(options={"problem": 3})
_, reward, terminated, _, info = env.step("41")
info["verdict"]        # Verdict(status=SCORED, score=1.0, method="exact", reason="41")
"""

import math
import string
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np

from .. import verifiers
from ..core import Info, Message, Problem, UserError, Verdict
from .problems import sources as problem_sources

MAX_CHARACTERS = 1_000_000
"""Longest text an environment says or hears."""


def prompt_messages(problem: Problem, template: str = "{prompt}", system: str | None = None) -> tuple[Message, ...]:
    """A problem as it is posed: a system turn first, the last turn in the template's words."""
    turns = [turn.copy() for turn in problem.prompt]
    # A tool's reply is no question: the template words the user's last turn before it.
    asked = [place for place, turn in enumerate(turns) if turn["role"] != "tool" and "tool_calls" not in turn]
    if asked:
        turns[asked[-1]]["content"] = template.replace("{prompt}", turns[asked[-1]]["content"])
    return (*([Message(role="system", content=system)] if system else []), *turns)


def problem_index(options: Mapping[str, Any] | None, problems: int, random: np.random.Generator) -> int:
    """Which of so many problems `reset` is to pose: the one that its options name, else one that is sampled.

    Raises:
        UserError: there is no such problem.
    """
    index = (options or {}).get("problem")
    if index is None:
        index = int(random.integers(problems))
    if not 0 <= index < problems:
        raise UserError(f"there is no problem {index}; this environment has {problems}, from 0")
    return int(index)


def _without(problems: Sequence[Problem], lost: list[tuple[Problem, str]], invalid_gold: str, uri: str) -> Sequence[Problem]:
    """The problems, or those that can be judged; says which cannot."""
    first = "; ".join(f"{problem.id}: {reason}" for problem, reason in lost[:5])
    more = "; ..." if len(lost) > 5 else ""
    said = f"{uri or 'problems'}: {len(lost)} of {len(problems)} gold answers cannot be read ({first}{more})"
    gone = {id(problem) for problem, _ in lost}
    left = [problem for problem in problems if id(problem) not in gone]
    if invalid_gold == "error" or (invalid_gold == "drop" and not left):
        raise UserError(said)
    if invalid_gold == "warn":
        warnings.warn(f"{said}; invalid_gold=drop leaves them out", stacklevel=3)
    return left if invalid_gold == "drop" else problems


@runtime_checkable
class SupportsScoreGroup(Protocol):
    """An environment that judges all samples of a problem together."""

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Verdicts on all responses to problem `index`; None where each is judged alone."""
        ...


class Text(gymnasium.spaces.Text):
    """Any string up to a length. Gymnasium's own space also wants every character listed; a language has too many."""

    def __init__(self, max_length: int = MAX_CHARACTERS, seed: int | np.random.Generator | None = None):
        super().__init__(max_length, min_length=0, charset=string.ascii_letters + string.digits + " .,+-=\n", seed=seed)

    def contains(self, x: object) -> bool:
        """Whether x is a string of an allowed length."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: object = None, probability: object = None) -> str:
        """A short string of ordinary characters."""
        return super().sample(mask=(int(self.np_random.integers(1, 33)), None))


class TextEnv(gymnasium.Env[str, str]):
    """One problem an episode, one answer a problem.

    Observations and actions are text. `reset(options={"problem": i})` poses problem i, otherwise one is sampled;
    `info["messages"]` holds the prompt as messages and `info["problem_id"]` its id. `step` terminates: the reward is the
    verdict's score and `info["verdict"]` the verdict. A verdict without a score (a fault, an undecidable problem) has
    reward NaN, so that it cannot pass for a wrong answer.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(
        self,
        problems: str | Sequence[Problem],
        verifier: verifiers.VerifierLike = "math",
        template: str = "{prompt}",
        system: str | None = None,
        invalid_gold: str = "warn",
    ):
        """Poses `problems`, judged by `verifier`.

        Args:
            problems: a problem URI (see `problems`), or the problems themselves.
            verifier: a verifier's name, "package.module:name", {"name": either, option: value}, or the verifier itself.
            template: how the last user turn is worded; `{prompt}` stands for the problem's own words.
            system: a system turn put first.
            invalid_gold: what becomes of problems whose gold answer the verifier cannot read: "warn" names them and keeps them
                (their verdicts are undecided), "drop" leaves them out, "error" refuses.

        Raises:
            UserError: the URI or the verifier's name does not lead anywhere, or the template lacks `{prompt}`.
        """
        if invalid_gold not in ("warn", "drop", "error"):
            raise UserError(f"invalid_gold is one of warn, drop, error, not {invalid_gold!r}")
        if "{prompt}" not in template:
            raise UserError(f"the template {template!r} does not say where {{prompt}} goes")
        self.problems = problem_sources.load(problems) if isinstance(problems, str) else problems
        self.verifier = verifiers.load(verifier)
        flagged = [(problem, str(problem.meta["invalid_gold"])) for problem in self.problems if "invalid_gold" in problem.meta]
        rest = [problem for problem in self.problems if "invalid_gold" not in problem.meta]
        if lost := [*flagged, *verifiers.invalid_gold(self.verifier, rest)]:
            self.problems = _without(self.problems, lost, invalid_gold, problems if isinstance(problems, str) else "")
        self.template, self.system = template, system
        self.observation_space = Text()
        self.action_space = Text()
        self.problem: Problem | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses a problem: `options["problem"]` is its index; without it one is sampled."""
        super().reset(seed=seed)
        index = problem_index(options, len(self.problems), self.np_random)
        self.problem = self.problems[index]
        messages = prompt_messages(self.problem, self.template, self.system)
        text = "\n\n".join(message["content"] for message in messages)
        return text, dict(Info(problem_id=self.problem.id, index=index, messages=messages))

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Scores the answer and ends the episode."""
        if self.problem is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        problem, self.problem = self.problem, None
        verdict = self.verifier(problem, action)
        reward = math.nan if verdict.score is None else verdict.score
        return "", reward, True, False, dict(Info(problem_id=problem.id, verdict=verdict))
