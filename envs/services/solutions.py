"""Conversations in which a policy plays the gold answer of `ToolsEnv`, for supervised fine-tuning.

The turns are those of an episode of the environment, so a policy sees the same tokens when it is trained and when it plays. The
loss is on the calls and the responses. What the services reply is masked (`pipelines/sft/examples.py`).
"""

import dataclasses
import random
from collections.abc import Iterator
from typing import cast

from ...core import Message, Problem, UserError, Verdict
from ...policies.chat import tools
from ..problems import sources
from .environment import ToolsEnv

URI = "generate:tenfold.envs.services.problems:problems"


def solved(
    problems: str = f"{URI}?size=500",
    describe: str = "json",
    instruction: str | None = None,
    system: str | None = None,
    hasty: float = 0.0,
    seed: int = 0,
) -> Iterator[Problem]:
    """Yields the gold conversation of each problem: all turns but the last as the prompt, and the last as the answer.

    With `hasty`, the policy also learns a worse way, so that reinforcement learning has a choice to improve.

    Args:
        problems: URI of problems for `ToolsEnv`, with its special characters escaped.
        describe: see `ToolsEnv`.
        instruction: see `ToolsEnv`.
        system: see `ToolsEnv`.
        hasty: share of the problems whose first user turn is answered at once, without the calls that it needs.
        seed: seed of the choice of these problems.

    Raises:
        UserError: `hasty` is no share, or gold calls do not pass.
    """
    if not 0 <= hasty <= 1:
        raise UserError(f"hasty: expected a share from 0 to 1, got {hasty!r:.40}")
    rng = random.Random(seed)
    environment = ToolsEnv(sources.load(problems), max_calls=1_000, describe=describe, instruction=instruction, system=system)
    for index, problem in enumerate(environment.problems):
        _, info = environment.reset(options={"problem": index})
        turns = [*cast(tuple[Message, ...], info["messages"])]
        if rng.random() < hasty:
            yield dataclasses.replace(problem, prompt=tuple(turns), answer=environment.last_response())
            continue
        ended = False
        while not ended:
            move = environment.gold_move()
            turns.append(Message(role="assistant", content=move))
            reply, _, ended, _, info = environment.step(move)
            if not ended:
                turns.append(Message(role=info.get("role", "user"), content=reply))
        verdict = cast(Verdict, info["verdict"])
        if verdict.score != 1:
            raise UserError(f"problem {problem.id}: the gold calls do not pass: {verdict.reason}")
        if describe == "template":  # it also writes the calls
            turns = tools.with_calls(turns)
        yield dataclasses.replace(problem, prompt=tuple(turns[:-1]), answer=turns[-1]["content"])
