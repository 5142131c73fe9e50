"""Environments for Atropos (atroposlib 0.4): a `BaseEnv` that plays any environment of this package.

    TenfoldEnv.cli()                            # in a program of your own; the command line of Atropos

    python my_program.py serve --env.environment tenfold/ChainSum-v0 --env.tokenizer_name ORG/NAME --openai.server_type vllm ...

The text that is judged and the verdict are those of a rollout. A sample whose verdict has no score (status undecided or fault)
is left out of its group; a group with fewer than two samples is not sent. As in the `grpo` stage, a truncated response is not
in the loss: its mask is empty.
"""

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from typing import TypedDict

from ...core import Completion, Message, UserError, message_text
from ...policies.chat import tools
from ...policies.completions import completion
from ...policies.play import games
from .. import registry
from .episodes import MAX_TURNS, begin, close_if_failed, score, take_turn

try:
    from atroposlib.envs.base import BaseEnv, BaseEnvConfig, ScoredDataGroup, ScoredDataItem
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "atroposlib":
        raise
    raise UserError("tenfold.envs.interop.atropos needs the package atroposlib: pip install 'atroposlib==0.4.0'") from error

IGNORED = -100
"""Atropos' mark of a token that is not in the loss."""


class Item(TypedDict):
    """A problem that Atropos has asked for."""

    problem: int


class TenfoldConfig(BaseEnvConfig):
    """Settings of Atropos, and the environment."""

    environment: str = "tenfold/ChainSum-v0"
    """Id of the environment."""
    evaluation: str = ""
    """Id of the environment that is measured every `steps_per_eval` steps; empty: none."""
    evaluation_problems: int = 64
    """Number of problems that are measured, the first ones."""
    max_turns: int = MAX_TURNS
    """Limit of the policy's turns in an episode."""
    temperature: float = 1.0
    """Sampling temperature in training. Evaluation is greedy."""


class TenfoldEnv(BaseEnv):
    """Plays episodes with a policy that Atropos serves."""

    name = "tenfold"
    env_config_cls = TenfoldConfig
    config: TenfoldConfig

    async def setup(self) -> None:
        """Creates the environment and shuffles its problems.

        Raises:
            UserError: there is no such environment, it has no list of problems, or a setting does not fit.
        """
        if self.config.num_rollouts_per_group_for_logging not in (0, 1, 2):
            raise UserError("num_rollouts_per_group_for_logging: expected 0 to 2, because a group may have only two samples")
        first = registry.make(self.config.environment)
        count = games.count_problems(first)
        if not count:
            raise UserError(f"{self.config.environment} has no list of problems")
        self.free = {self.config.environment: [first]}
        self.order, self.position = list(range(count)), 0
        self.percent_correct: list[tuple[str, float]] = []
        random.Random(0).shuffle(self.order)

    async def get_next_item(self) -> Item:
        """Returns the next problem. After the last one the first follows."""
        problem = self.order[self.position % len(self.order)]
        self.position += 1
        return Item(problem=problem)

    async def collect_trajectory(self, item: Item) -> tuple[ScoredDataItem | None, list[Item]]:
        """Plays one episode. Returns None in place of the sample if its verdict has no score.

        Args:
            item: the problem.
        """
        game, tokens, mask = await self._play(self.config.environment, item["problem"], self.config.temperature)
        reward = score(game)
        if reward is None:
            return None, []
        if game.transcript.finish_reason == "length":  # its score is not that of a whole response
            mask = [IGNORED] * len(mask)
        messages = [{"role": turn["role"], "content": turn["content"]} for turn in game.transcript.messages]
        return ScoredDataItem(tokens=tokens, masks=mask, scores=reward, messages=messages), []

    async def collect_trajectories(self, item: Item) -> tuple[ScoredDataGroup | None, list[Item]]:
        """Plays the episodes of a group. Those without a score are left out; Atropos is told the group's size.

        Args:
            item: the problem.
        """
        played = await asyncio.gather(*(self.collect_trajectory(item) for _ in range(self.config.group_size)))
        kept = [sample for sample, _ in played if sample is not None]
        if len(kept) < 2:
            return None, []
        return ScoredDataGroup(
            tokens=[sample["tokens"] for sample in kept],
            masks=[sample["masks"] for sample in kept],
            scores=[sample["scores"] for sample in kept],
            messages=[sample["messages"] for sample in kept],
            group_overrides={"group_size": len(kept)},
        ), []

    async def evaluate(self, *args: object, **kwargs: object) -> None:
        """Measures the mean score on the environment `evaluation`. Episodes without a score are not counted.

        Args:
            args: Atropos'; not used.
            kwargs: Atropos'; not used.
        """
        if not self.config.evaluation:
            return
        problems = range(self.config.evaluation_problems)
        played = await asyncio.gather(*(self._play(self.config.evaluation, problem, 0.0) for problem in problems))
        scores = [found for game, _, _ in played if (found := score(game)) is not None]
        if scores:
            self.percent_correct.append(("eval/mean_score", sum(scores) / len(scores)))

    async def wandb_log(self, wandb_metrics: dict[str, object] | None = None) -> None:
        """Adds the results of `evaluate` to the metrics of Atropos."""
        metrics = {**(wandb_metrics or {}), **dict(self.percent_correct)}
        self.percent_correct = []
        await super().wandb_log(metrics)

    async def _play(self, id: str, problem: int, temperature: float) -> tuple[games.Game, list[int], list[int]]:
        """Plays an episode; returns it with its tokens and their mask."""
        free = self.free.setdefault(id, [])
        environment = free.pop() if free else await asyncio.to_thread(registry.make, id)
        game = await asyncio.to_thread(begin, environment, problem, self.config.max_turns)
        conversation = _turns(game.transcript.messages)
        tokens: list[int] = []
        mask: list[int] = []
        async with self.server.managed_server(tokenizer=self.tokenizer) as server:
            while game.verdict is None:
                sampled = await server.chat_completion(
                    messages=conversation,
                    n=1,
                    max_tokens=max(1, self.config.max_token_length - sum(token != IGNORED for token in mask)),
                    temperature=temperature,
                )
                node, choice = server.get_state()["nodes"][-1], sampled.choices[0]
                tokens, mask = node.tokens, node.masked_tokens
                turn = self._turn(tokens, mask, truncated=choice.finish_reason == "length")
                await asyncio.to_thread(take_turn, game, turn)
                reply = game.transcript.messages[-1]
                # Atropos continues the tokens only if it gets its own text back.
                conversation.append({"role": "assistant", "content": choice.message.content or ""})
                conversation.append({"role": reply["role"], "content": reply["content"]})
        if not close_if_failed(environment, game):
            free.append(environment)
        return game, tokens, mask

    def _turn(self, tokens: Sequence[int], mask: Sequence[int], truncated: bool) -> Completion:
        """Returns the last turn of the policy. Its text comes from the tokens, as in a rollout.

        Args:
            tokens: all tokens so far.
            mask: for each token, itself if the policy sampled it, else `IGNORED`.
            truncated: true if the turn ended at its limit of tokens.
        """
        start = len(mask)
        while start and mask[start - 1] != IGNORED:
            start -= 1
        special = self.tokenizer.all_special_ids
        ends = [token for token in tokens[-1:] if start < len(tokens) and token in special and not truncated]
        said = completion(self.tokenizer, tokens[:start], tokens[start:], ends)
        return dataclasses.replace(said, finish_reason="length" if truncated else "stop")


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message_text(message)} for message in tools.as_text(messages)]
