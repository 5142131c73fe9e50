"""Environments for SkyRL (skyrl-gym 0.4): a `BaseTextEnv` that plays any environment of this package.

    skyrl_gym.register(id="tenfold", entry_point="tenfold.envs.interop.skyrl:SkyRLEnv")

Each row of SkyRL's data names the environment and the problem: {"env_class": "tenfold", "environment": "tenfold/ChainSum-v0",
"problem": 3, "prompt": [...]}. `rows` makes them.

SkyRL has no value for a missing verdict: it counts the reward None as 0. Therefore an episode whose verdict has no score raises
`NoVerdict`, after one more try. SkyRL does not tell an environment that a response was truncated, so a truncated response is
judged as a whole; leave it out with SkyRL's own setting `generator.apply_overlong_filtering=true`.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from ...core import Completion, Message, UserError, message_text
from ...policies.chat import tools
from ...policies.play import games
from ...responses import without_turn_end
from .. import registry
from .episodes import MAX_TURNS, begin, score, take_turn

try:
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
except ModuleNotFoundError as error:
    raise UserError("tenfold.envs.interop.skyrl needs the package skyrl-gym: pip install 'skyrl-gym==0.4.0'") from error


class Row(TypedDict):
    """A row of SkyRL's data."""

    env_class: str
    environment: str
    problem: int
    prompt: list[dict[str, str]]


class NoVerdict(Exception):
    """The verdict of an episode has no score: its response must not count as incorrect."""


def rows(id: str, problems: Sequence[int] | int, env_class: str = "tenfold") -> list[Row]:
    """Returns rows of SkyRL's data for problems of an environment.

    Args:
        id: id of the environment.
        problems: indices of the problems, or a number N for the first N.
        env_class: the id under which `SkyRLEnv` is registered in skyrl_gym.

    Raises:
        UserError: there is no such environment or problem.
    """
    environment = registry.make(id)
    made = []
    for index in range(problems) if isinstance(problems, int) else problems:
        _, messages = games.prompt_of(environment, index, id)
        made.append(Row(env_class=env_class, environment=id, problem=index, prompt=_turns(messages)))
    environment.close()
    return made


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message_text(message)} for message in tools.as_text(messages)]


class SkyRLEnv(BaseTextEnv):
    """An episode of an environment of this package."""

    def __init__(self, env_config: object = None, extras: Mapping[str, object] | None = None):
        """Creates the environment that the row names.

        Args:
            env_config: SkyRL's settings of the environment; not used.
            extras: the row, with `environment`, `problem` and, from SkyRL, `max_turns`.

        Raises:
            UserError: the row lacks an entry, or there is no such environment.
        """
        super().__init__()
        extras = extras or {}
        id, problem, turns = extras.get("environment"), extras.get("problem"), extras.get("max_turns", MAX_TURNS)
        if not isinstance(id, str) or not isinstance(problem, int) or not isinstance(turns, int):
            raise UserError("a row of SkyRL needs `environment`, an id, and `problem`, an index: make it with `rows`")
        self.max_turns, self.problem = turns, problem
        self.environment = registry.make(id)
        self.game: games.Game | None = None
        self.rewarded = 0.0

    def init(self, prompt: Sequence[Mapping[str, object]]) -> tuple[list[dict[str, str]], dict[str, object]]:
        """Begins the episode; returns the environment's own prompt, and the id of the problem.

        Raises:
            NoVerdict: the environment has failed.
        """
        self.game, self.turns, self.rewarded = begin(self.environment, self.problem, self.max_turns), 0, 0.0
        self._check(self.game)
        return _turns(self.game.transcript.messages), {"problem_id": self.game.problem_id}

    def step(self, action: str) -> "BaseTextEnvStepOutput":
        """Passes a turn of the policy to the environment.

        The rewards of an episode's steps add up to the score of its verdict.

        Raises:
            NoVerdict: the verdict has no score.
        """
        if self.game is None or self.game.verdict is not None:
            raise UserError("call init() before step(): the episode has ended or not begun")
        take_turn(self.game, Completion(without_turn_end(action), "stop"))
        self.turns += 1
        self._check(self.game)
        done, last = self.game.verdict is not None, self.game.transcript.messages[-1]
        reward = (score(self.game) or 0.0) - self.rewarded
        self.rewarded += reward
        return BaseTextEnvStepOutput(
            observations=[] if done else [{"role": last["role"], "content": last["content"]}],
            reward=reward,
            done=done,
            metadata={"problem_id": self.game.problem_id},
        )

    def close(self) -> None:
        """Closes the environment."""
        self.environment.close()

    def _check(self, game: games.Game) -> None:
        if score(game) is None:
            verdict = game.verdict
            reason = f"{verdict.status}: {verdict.reason}" if verdict else "the rewards so far are NaN"
            raise NoVerdict(f"problem {self.problem} has no verdict ({reason})")
