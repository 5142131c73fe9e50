"""Any environment of this package as a taskset and an environment of verifiers 0.4, for `vf-eval` and prime-rl.

    vf-eval tenfold_verifiers --env.taskset.environment tenfold/ChainSum-v0 -m MODEL -n 8

`tenfold_verifiers` is the package that exports these classes, because verifiers finds a taskset by the name of a package.

The text that is judged and the verdict are those of a rollout. A verdict without a score (status undecided or fault) is an
error of the episode, which verifiers retries (`--env.retries.max-retries`) and never counts as a reward of 0.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ...core import Completion, Message, UserError, message_text
from ...policies.chat import tools
from ...policies.play import games
from .. import registry
from .episodes import MAX_TURNS, begin, take_turn
from .verifiers import package

package("a taskset for verifiers")
import verifiers.v1 as vf  # noqa: E402 (after the line that names it if it is missing)


class NoScore(Exception):
    """The verdict has no score. verifiers records the exception as an error of the episode."""


class TenfoldData(vf.TaskData):
    """A problem of an environment. The prompt is asked of the environment when the episode begins."""

    environment: str
    """Id of the environment."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the environment."""
    index: int
    """Index of the problem."""


class TenfoldTask(vf.Task[TenfoldData]):
    """A problem. `TenfoldEnv` scores it."""


class TenfoldConfig(vf.TasksetConfig):
    """Settings of the taskset, under `--env.taskset`."""

    environment: str = "tenfold/ChainSum-v0"
    """Id of the environment."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Arguments that differ from those of the registration."""


class TenfoldTaskset(vf.Taskset[TenfoldTask, TenfoldConfig]):
    """The problems of an environment."""

    def load(self) -> Iterator[TenfoldTask]:
        """Yields the problems in order.

        Raises:
            UserError: there is no such environment, or it has no list of problems.
        """
        environment, options = self.config.environment, self.config.options
        made = registry.make(environment, **options)
        count = games.count_problems(made)
        if not count:
            raise UserError(f"{environment} has no list of problems")
        for index in range(count):
            problem = games.problem_at(made, index)
            data = TenfoldData(id=problem.id if problem else str(index), environment=environment, options=options, index=index)
            yield TenfoldTask(data, self.config.task)


class TenfoldEnvConfig(vf.EnvConfig):
    """Settings of the environment, under `--env`."""

    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})
    """The policy. It has no tools of verifiers: an environment's own tools are called in the text of a turn."""
    max_turns: int = MAX_TURNS
    """Limit of the policy's turns in an episode."""


class TenfoldEnv(vf.Env[TenfoldEnvConfig]):
    """Plays one episode of an environment of this package."""

    async def run(self, task: TenfoldTask, agents: vf.Agents) -> None:
        """Plays an episode, and records its score as the reward `tenfold`.

        Args:
            task: the problem.
            agents: the policy, as `player`.

        Raises:
            NoScore: the verdict is undecided or a fault.
        """
        environment = await asyncio.to_thread(registry.make, task.data.environment, **task.data.options)
        try:
            game = await asyncio.to_thread(begin, environment, task.data.index, self.config.max_turns)
            trace = await self._play(game, task, agents) if game.verdict is None else None
        finally:
            await asyncio.to_thread(environment.close)
        if trace is not None and trace.errors:
            return  # of the policy or of its server: verifiers reports them
        if trace is not None and not game.turns:
            raise NoScore("the policy gave no response")
        verdict = game.verdict or games.verdict_of({}, game.rewards)
        if verdict.score is None or trace is None:
            raise NoScore(f"{verdict.status} ({verdict.method}): {verdict.reason}")
        trace.info["tenfold"] = {"status": str(verdict.status), "method": verdict.method, "reason": verdict.reason}
        trace.record_reward("tenfold", verdict.score)

    async def _play(self, game: games.Game, task: TenfoldTask, agents: vf.Agents) -> vf.Trace:
        """Plays the turns of an episode; returns verifiers' record of it."""
        turns = tools.as_text(game.transcript.messages)
        system = turns.pop(0)["content"] if turns and turns[0]["role"] == "system" else None
        prompt = [_message(turn) for turn in turns]
        posed = task.with_data(prompt=prompt, system_prompt=task.data.system_prompt or system)
        async with agents.player.interaction(posed) as played:
            segment = await played.turn()
            while not segment.terminated:
                await asyncio.to_thread(take_turn, game, completion(played.trace))
                if game.verdict is not None:
                    break
                segment = await played.turn(game.transcript.messages[-1]["content"])
        return played.trace


def completion(trace: vf.Trace) -> Completion:
    """Returns the last turn of the policy. Reasoning that the server has set aside is not a part of it.

    Args:
        trace: verifiers' record of the episode.
    """
    said = trace.assistant_messages[-1].content or ""
    call = next((call for call in reversed(trace.calls) if call.error is None), None)
    return Completion(said, "length" if call is not None and call.finish_reason == "length" else "stop")


def _message(turn: Message) -> vf.Message:
    if turn["role"] == "assistant":
        return vf.AssistantMessage(content=message_text(turn))
    return vf.SystemMessage(content=turn["content"]) if turn["role"] == "system" else vf.UserMessage(content=turn["content"])
