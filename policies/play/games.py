"""An episode while it is played: its start, the policy's turns, the environment's replies, and its verdict."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import gymnasium

from ... import faults
from ...core import (
    Completion,
    Episode,
    Info,
    Message,
    Policy,
    Problem,
    Sampling,
    SamplingIncomplete,
    Status,
    UserError,
    Verdict,
    sample_seed,
    verdict_without_response,
)
from ...texts import without_surrogates
from ..server import requests
from ..transcript import Limits, TokenPolicy, Transcript

Environment = gymnasium.Env[str, str]


class Raised(Exception):
    """An exception that an environment raised in another process. Its text is that of `faults.described`."""


@dataclasses.dataclass(slots=True)
class Game:
    """An episode that is being played."""

    environment: Environment
    index: int
    sample: int
    problem_id: str
    transcript: Transcript
    rewards: float = 0.0
    verdict: Verdict | None = None
    turns_passed: int = 0
    """Number of turns that were passed to the environment."""

    @property
    def turns(self) -> list[Completion]:
        """The turns of the policy."""
        return self.transcript.turns

    def key(self) -> str:
        """Returns the key of the next turn's seed."""
        return f"{self.problem_id}/{self.sample}/{len(self.turns)}"


def sample(games: Sequence[Game], policy: Policy, sampling: Sampling) -> SamplingIncomplete | None:
    """Samples the policy's next turn in each game, with the game's own token limit.

    Returns:
        The error if the policy stopped; some games then have no new turn.
    """
    if isinstance(policy, TokenPolicy):
        for game, completion in zip(games, policy.complete(*requests_of(games, sampling)), strict=True):
            game.transcript.add_turn(completion)
        return None
    by_limit: dict[int, list[Game]] = {}
    for game in games:
        by_limit.setdefault(game.transcript.tokens_left, []).append(game)

    def generate(limit: int) -> tuple[Sequence[Sequence[Completion | None]], SamplingIncomplete | None]:
        conversations, keys = [game.transcript.messages for game in by_limit[limit]], [game.key() for game in by_limit[limit]]
        try:
            return policy.generate(conversations, 1, dataclasses.replace(sampling, max_tokens=limit), keys), None
        except SamplingIncomplete as error:
            return error.completions, error

    # In the first turn all games have the same limit. Later the limits differ, and the requests to a server are concurrent.
    concurrent = len(by_limit) > 1
    results = [f.result() for f in requests.submit(generate, by_limit, 16)] if concurrent else map(generate, by_limit)
    stopped = None
    for group, (rows, error) in zip(by_limit.values(), results, strict=True):
        stopped = stopped or error
        for game, row in zip(group, rows, strict=True):
            if row and row[0] is not None:
                game.transcript.add_turn(row[0])
    return stopped


def requests_of(games: Sequence[Game], sampling: Sampling) -> tuple[list[list[int]], Sampling, list[int], list[int]]:
    """Returns the arguments of `TokenPolicy.complete` for the next turn of each game."""
    seeds = [sample_seed(sampling.seed, game.key(), 0) for game in games]
    return [game.transcript.tokens for game in games], sampling, seeds, [game.transcript.tokens_left for game in games]


def begin(transcript: Callable[[list[Message]], Transcript], environment: Environment, index: int, sample: int) -> Game:
    """Returns an episode after the reset of its environment. If that fails, the episode has a verdict.

    Args:
        transcript: creates the transcript from the prompt.
        environment: plays the episode.
        index: index of the problem.
        sample: number of the sample.

    Raises:
        UserError: the environment rejects the problem.
    """
    game = Game(environment, index, sample, str(index), Transcript(Limits(0, 0), []))
    try:
        text, raw_info = environment.reset(seed=index, options={"problem": index, "sample": sample})
        info = cast(Info, raw_info)
        game.problem_id = without_surrogates(str(info.get("problem_id", index)))
        game.transcript = transcript([*prompt_messages_of(text, info)])
    except UserError:
        raise
    except Exception as error:
        game.verdict = environment_error(error)
    return game


def prompt_of(environment: Environment, index: int, name: str) -> tuple[str, list[Message]]:
    """Resets an environment outside of an episode; returns the id of the problem and the prompt.

    Args:
        environment: the environment.
        index: index of the problem.
        name: the environment's id, for the error.

    Raises:
        UserError: the environment raises an exception, for example because the server of a model that it asks is down.
    """
    try:
        text, info = environment.reset(seed=index, options={"problem": index})
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name}: problem {index} has no prompt: {faults.described(error)}") from error
    return str(info.get("problem_id", index)), [*prompt_messages_of(text, cast(Info, info))]


def turn(game: Game) -> Game:
    """Passes the policy's last turn to the environment; returns the episode, which has a verdict if it has ended.

    After a fault, the episode is replayed once from the start.
    """
    game.turns_passed = len(game.turns)
    last = game.turns[-1]
    if verdict := verdict_without_response(last.finish_reason, last.error):
        game.verdict = verdict
        return game
    for is_retry in (False, True):
        try:
            if is_retry:
                game.rewards = _replay(game)
            text, reward, terminated, truncated, raw_info = game.environment.step(game.turns[-1].scorable_text)
            info, rewards = cast(Info, raw_info), game.rewards + float(reward)
            game.verdict = verdict_of(info, rewards)
            if game.verdict.status != Status.FAULT or is_retry:
                break
        except Exception as error:
            game.verdict = environment_error(error)
    else:
        return game
    game.rewards = rewards
    try:
        if game.transcript.add_reply(terminated or truncated, info.get("role", "user"), text):
            game.verdict = None
    except Exception as error:  # chat templates may raise
        game.verdict = environment_error(error)
    return game


def _replay(game: Game) -> float:
    """Plays the earlier turns again, and returns the sum of their rewards."""
    game.environment.reset(seed=game.index, options={"problem": game.index, "sample": game.sample})
    return sum(float(game.environment.step(turn.scorable_text)[1]) for turn in game.turns[:-1])


def problem_at(environment: Environment, index: int) -> Problem | None:
    """Returns a problem of an environment, or None if the environment has no list of `Problem`."""
    listed: Any = getattr(environment.unwrapped, "problems", None)
    try:
        found = listed[index]
        while not isinstance(found, Problem):  # in a mixture: an environment, and the problem's index in it
            part, own = found
            found = part.unwrapped.problems[own]
    except Exception:
        return None
    return found


def count_problems(environment: Environment, limit: int | None = None) -> int | None:
    """Returns the number of problems of an environment, the length of its attribute `problems`; None if it has none.

    Args:
        environment: the environment.
        limit: largest number to return; later problems are not generated.
    """
    problems = getattr(environment.unwrapped, "problems", None)
    if problems is None:
        return None
    if limit is not None and isinstance(problems, Sequence):
        problems = problems[:limit]
    return len(problems) if limit is None else min(len(problems), limit)


def prompt_messages_of(text: str, info: Info) -> tuple[Message, ...]:
    """Returns the prompt of an episode: the messages in `info`, else the observation as a user turn."""
    return tuple(info.get("messages") or (Message(role="user", content=text),))


def verdict_of(info: Info, reward: float) -> Verdict:
    """Returns the verdict in `info`, else the reward as a verdict. A NaN reward is a fault."""
    if "verdict" in info:
        return info["verdict"]
    if math.isnan(reward):
        return Verdict(Status.FAULT, None, "environment", "the reward is NaN")
    return Verdict(Status.SCORED, reward, "environment", "")


def environment_error(error: Exception) -> Verdict:
    """Returns the verdict of an episode whose environment raised: a fault, not a score of 0."""
    return Verdict(Status.FAULT, None, "environment", str(error) if isinstance(error, Raised) else faults.described(error))


def episode(game: Game) -> Episode:
    """Returns a finished game as an episode."""
    assert game.verdict is not None
    transcript, tokens = game.transcript, sum(len(turn.token_ids) for turn in game.turns)
    return Episode(game.problem_id, game.sample, tuple(transcript.messages), game.verdict, tokens, transcript.finish_reason)
