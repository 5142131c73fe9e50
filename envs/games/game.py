"""`TextGame`: the base class of text games of several turns.

In each turn the policy replies with one move in `\\boxed{}`, and the environment replies to it. A subclass defines the rules:

    class GuessNumber(TextGame):
        def start(self, problem): ...       # sets the state
        def play(self, move): ...           # returns a Reply
        def gold_move(self): ...            # returns a move that leads to a score of 1

If a text is not a legal move, the reply states the form of a move. The text uses up a turn and is counted.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import gymnasium

from ...core import Info, Problem, Status, UserError, Verdict
from ...verifiers.formats.marked import marked_answer
from ..problems import sources
from ..text import Text, as_problems, check_system, observation, problem_index, prompt_messages

MAX_MOVE = 200
"""Maximum length of a move, in characters. A longer text is not a legal move. Our choice."""


class Reply(NamedTuple):
    """The reply to a move."""

    text: str
    score: float | None = None
    """From 0 to 1 if the move ends the game."""
    is_legal: bool = True


class TextGame(gymnasium.Env[str, str], abc.ABC):
    """A game with one problem in each episode and a limit of turns.

    The problem's answer is a mapping with everything that the rules need, and `turns`, the limit. The score is that of the
    reply that ends the game, or 0 if the turns are used up. `info["invalid_actions"]` is the number of texts so far that were
    not legal moves.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(self, problems: str | Sequence[Problem | Mapping[str, object]], system: str | None = None):
        """Loads the problems.

        Args:
            problems: a problem URI (see `envs/problems/sources.py`), or a list of `Problem`s or rows.
            system: text of a system turn to put first.
        """
        check_system(system)
        self.problems = sources.load(problems) if isinstance(problems, str) else as_problems(problems)
        self.system = system
        self.observation_space = self.action_space = Text()
        self.problem: Problem | None = None
        self.limit = self.turns = self.invalid_actions = 0

    @abc.abstractmethod
    def start(self, problem: Problem) -> None:
        """Starts a game."""

    @abc.abstractmethod
    def play(self, move: str) -> Reply:
        """Returns the reply to a move, which may be any text of at most `MAX_MOVE` characters."""

    @abc.abstractmethod
    def gold_move(self) -> str:
        """Returns a move that leads to a score of 1, if all earlier moves of the game were gold moves."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts a game with problem `options["problem"]`; without this option, with a random one.

        Raises:
            UserError: there is no such problem, or it is not one of this game.
        """
        super().reset(seed=seed)
        self.problem = None
        index = problem_index(options, self.problems, self.np_random)
        problem = self.problems[index]
        self.turns = self.invalid_actions = 0
        try:
            self.limit = int(cast(Mapping[str, Any], problem.answer)["turns"])
            self.start(problem)
        except (LookupError, TypeError, ValueError) as error:
            game, cause = type(self).__name__, f"{type(error).__name__}: {error}"
            raise UserError(
                f"problem {problem.id} is not a problem of {game}: the problem's answer lacks what the rules need ({cause}); "
                f"use problems that the generator of {game} makes"
            ) from error
        self.problem = problem
        messages = prompt_messages(problem, system=self.system)
        text = observation(messages)
        return text, dict(Info(problem_id=problem.id, index=index, messages=messages))

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Plays the move in a response."""
        if self.problem is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        self.turns += 1
        move = marked_answer(action)
        reply = self.play(move if len(move) <= MAX_MOVE else "")
        self.invalid_actions += not reply.is_legal
        left = self.limit - self.turns
        score = 0.0 if reply.score is None and left <= 0 else reply.score
        info = Info(problem_id=self.problem.id, invalid_actions=self.invalid_actions)
        if score is None:
            return f"{reply.text} Turns left: {left}.", 0.0, False, False, dict(info)
        reason = f"{self.turns} turns, {self.invalid_actions} of them not legal: {reply.text}"
        info["verdict"] = Verdict(Status.SCORED, score, "game", reason)
        self.problem = None
        return reply.text, score, True, False, dict(info)
