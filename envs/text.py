"""`TextEnv`: an environment with one problem in each episode that scores the response with a verifier.

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
"""Largest number of characters of an observation or an action. Our choice."""


def prompt_messages(problem: Problem, template: str = "{prompt}", system: str | None = None) -> tuple[Message, ...]:
    """Returns the prompt of a problem: the system turn, then the problem's turns, the last user turn in the template.

    Without a user turn, the template applies to the last turn that is neither a tool's reply nor a tool call.

    Args:
        problem: the problem.
        template: text of the last user turn; `{prompt}` stands for its original text.
        system: text of a system turn to put first.
    """
    turns = [turn.copy() for turn in problem.prompt]
    texts = [turn for turn in turns if turn["role"] != "tool" and "tool_calls" not in turn]
    # Answers of the policy, tool calls and replies of tools may follow the last user turn.
    if candidates := [turn for turn in texts if turn["role"] == "user"] or texts:
        candidates[-1]["content"] = template.replace("{prompt}", candidates[-1]["content"])
    return (*([Message(role="system", content=system)] if system else []), *turns)


def problem_index(options: Mapping[str, Any] | None, problems: int, rng: np.random.Generator) -> int:
    """Returns the index of the problem that `reset` selects: `options["problem"]`, or a random index.

    Args:
        options: the options of `reset`.
        problems: number of problems.
        rng: random number generator.

    Raises:
        UserError: there is no such problem.
    """
    index = (options or {}).get("problem")
    if index is None:
        index = int(rng.integers(problems))
    if not 0 <= index < problems:
        raise UserError(f"there is no problem {index}: use an index from 0 to {problems - 1}")
    return int(index)


def _without_invalid(
    problems: Sequence[Problem], invalid: list[tuple[Problem, str]], invalid_gold: str, uri: str
) -> Sequence[Problem]:
    """Applies `invalid_gold`: returns the usable problems ("drop"), warns and returns all ("warn"), or raises an error."""
    first = "; ".join(f"{problem.id}: {reason}" for problem, reason in invalid[:5])
    more = "; ..." if len(invalid) > 5 else ""
    message = f"{uri or 'problems'}: {len(invalid)} of {len(problems)} problems cannot be used ({first}{more})"
    invalid_ids = {id(problem) for problem, _ in invalid}
    valid = [problem for problem in problems if id(problem) not in invalid_ids]
    if invalid_gold == "error" or (invalid_gold == "drop" and not valid):
        raise UserError(message)
    if invalid_gold == "warn":
        warnings.warn(f"{message}; invalid_gold=drop drops these problems", stacklevel=3)
    return valid if invalid_gold == "drop" else problems


@runtime_checkable
class SupportsScoreGroup(Protocol):
    """An environment that judges all samples of a problem together."""

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Returns verdicts on all responses to problem `index`, or None if each is judged alone."""
        ...


class Text(gymnasium.spaces.Text):
    """The space of all strings up to a length. Gymnasium's own text space needs a list of all characters."""

    def __init__(self, max_length: int = MAX_CHARACTERS, seed: int | np.random.Generator | None = None):
        super().__init__(max_length, min_length=0, charset=string.ascii_letters + string.digits + " .,+-=\n", seed=seed)

    def contains(self, x: object) -> bool:
        """True if x is a string of an allowed length."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: object = None, probability: object = None) -> str:
        """Returns a short random string of ASCII characters."""
        return super().sample(mask=(int(self.np_random.integers(1, 33)), None))


class TextEnv(gymnasium.Env[str, str]):
    """An environment in which each episode has one problem and one response.

    Observations and actions are text. `reset(options={"problem": i})` starts an episode with problem i, `reset()` with a
    random problem. In `info`, `messages` is the prompt as messages and `problem_id` the problem's id. `step` ends the episode:
    the reward is the verdict's score, and `info["verdict"]` is the verdict. For a verdict without a score the reward is NaN,
    not 0, because the response may be correct.
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
        """Creates the environment.

        Args:
            problems: a problem URI (see `problems/sources.py`), or the problems.
            verifier: name of a verifier, "package.module:name", {"name": NAME, OPTION: VALUE}, a `Verifier`, or a function
                `(problem, response)` that returns a `Verdict`, a score from 0 to 1, or a bool.
            template: text of the last user turn; `{prompt}` stands for its original text.
            system: text of a system turn to put first.
            invalid_gold: treatment of problems that cannot be used, because the verifier cannot read the gold answer or the
                prompt is empty: "warn" keeps them with a warning (their verdicts are undecided), "drop" drops them, "error"
                raises an error.

        Raises:
            UserError: the URI or the verifier's name is invalid, or the template lacks `{prompt}`.
        """
        if invalid_gold not in ("warn", "drop", "error"):
            raise UserError(f"invalid_gold: expected warn, drop or error, got {invalid_gold!r}")
        if "{prompt}" not in template:
            raise UserError(f"the template {template!r} does not contain {{prompt}}: add it")
        self.problems = problem_sources.load(problems) if isinstance(problems, str) else problems
        self.verifier = verifiers.load(verifier)
        flagged = [(problem, str(problem.meta["invalid_gold"])) for problem in self.problems if "invalid_gold" in problem.meta]
        unflagged = [problem for problem in self.problems if "invalid_gold" not in problem.meta]
        if invalid := [*flagged, *verifiers.invalid_gold(self.verifier, unflagged)]:
            uri = problems if isinstance(problems, str) else ""
            self.problems = _without_invalid(self.problems, invalid, invalid_gold, uri)
        self.template, self.system = template, system
        self.observation_space = Text()
        self.action_space = Text()
        self.problem: Problem | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses problem `options["problem"]`; without this option, a random one."""
        super().reset(seed=seed)
        index = problem_index(options, len(self.problems), self.np_random)
        self.problem = self.problems[index]
        messages = prompt_messages(self.problem, self.template, self.system)
        text = "\n\n".join(message["content"] for message in messages)
        return text, dict(Info(problem_id=self.problem.id, index=index, messages=messages))

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Scores the response and ends the episode."""
        if self.problem is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        problem, self.problem = self.problem, None
        verdict = self.verifier(problem, action)
        reward = math.nan if verdict.score is None else verdict.score
        return "", reward, True, False, dict(Info(problem_id=problem.id, verdict=verdict))
