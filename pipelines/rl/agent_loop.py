"""Gym and verl meet here: an agent loop of verl that plays one episode of any registered environment.

verl makes one for every draw. The row it is given names the problem; the environment is rebuilt from its registration,
which the stage wrote down, so that it need not be known to this process. Only new tokens are ever appended: what the
policy wrote stays as it was drawn, and what the environment says is tokenised by itself.

An environment that has ended its episode is reset for another one; one that raised, or whose episode was ended for it, is
closed: it may still hold an interpreter.

The first step's policy is the one that a filter drew with, just before: its draws are taken instead of new ones, as far as it
made them (`stage.py` sees to it that they may be).

An episode that ends in a fault of ours is played once more and then left out: verl is given no trajectory, so that the
group's mean is over the others.

An environment with a method `score_group(problem, responses)` judges all draws of a problem together: each waits for the
others, which verl plays in the same process.
"""

import contextlib
import dataclasses
import functools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from ...core import Completion, Episode, Message, Verdict, draw_seed
from ...policies import initial
from ...policies.rollout import crashed, episode_to_json, first_messages, verdict_of
from ...policies.turns import turn_tokens
from . import groups
from .threads import in_thread


class EnvironmentLoop(AgentLoopBase):
    """Plays one episode and tells verl its tokens, mask and reward."""

    def __init__(
        self,
        *args: Any,
        environment: str,
        registered: list[str],
        episodes: str,
        seed: int,
        max_turns: int,
        drawn: str | None = None,
        **kwargs: Any,
    ):
        """Takes verl's own arguments and, from the loop's configuration file:

        Args:
            environment: the environment's registration, as Gymnasium's EnvSpec writes it to JSON.
            registered: registrations of the others that this process may not know; a mixture names some.
            episodes: folder to write finished episodes to, one file a process.
            seed: base seed of the stage.
            max_turns: turns of the policy after which an episode is ended.
            drawn: index of the draws that a filter made with the policy of the first step.
            args, kwargs: verl's.
        """
        super().__init__(*args, **kwargs)
        for spec in map(_spec, registered):
            gymnasium.registry.setdefault(spec.id, spec)
        self.environment, self.seed, self.max_turns = environment, seed, max_turns
        self.drawn = drawn
        self.log = Path(episodes) / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self.budget = int(self.rollout_config.response_length)
        self.draws = int(self.rollout_config.n)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput | list[AgentLoopOutput]:
        """Plays the problem of `row["extra_info"]`; an empty list when no verdict could be had."""
        problem, sample, step = int(row["extra_info"]["index"]), int(row["session_id"]), int(row["global_steps"])
        score_group = await in_thread(_score_group, self.environment)
        played = [await self._play(problem, sample, step, sampling_params)]
        if played[0][0].verdict.score is None:
            played.append(await self._play(problem, sample, step, sampling_params))
        episode, output = played[-1]
        if score_group:
            last = episode.messages[-1]["content"] if episode.messages else ""
            said = None if episode.verdict.score is None else Completion(last, episode.finish_reason).judged
            judge = functools.partial(score_group, problem)
            told = await groups.verdict(str(row["uid"]), self.draws, sample, said, judge)
            episode = dataclasses.replace(episode, verdict=told or episode.verdict)
            output.reward_score = episode.verdict.score
        for earlier, its_output in played[:-1]:
            self._write(earlier, problem, step, its_output)
        self._write(episode, problem, step, output)
        return output if output.reward_score is not None else []

    async def _play(
        self, problem: int, sample: int, step: int, sampling_params: dict[str, Any]
    ) -> tuple[Episode, AgentLoopOutput]:
        """One episode from reset to verdict."""
        started, waited = time.monotonic(), 0.0
        environment, ended = None, False
        prompt: list[int] = []
        response: list[int] = []
        mask: list[int] = []
        logprobs: list[float] = []
        messages: list[Message] = []
        problem_id, reason, turns, rewards = str(problem), "stop", 0, 0.0
        # Of which optimizer step the weights are that draw; a server says so of its own draws.
        extra: dict[str, Any] = dict.fromkeys(("global_steps", "min_global_steps", "max_global_steps"), step - 1)
        stored = stored_turns(self.drawn, problem, sample) if self.drawn and step == 1 else []
        try:
            environment = await in_thread(_borrow, self.environment)
            text, info = await in_thread(environment.reset, seed=problem, options={"problem": problem})
            problem_id = str(info.get("problem_id", problem))
            messages = [*first_messages(text, info)]
            prompt = initial.prompt_tokens(self.tokenizer, messages)
            while True:
                limit = self.budget - len(response)
                if turns < len(stored) and len(stored[turns]) <= limit:
                    tokens, told = stored[turns], None
                else:
                    stored = []  # whatever followed belongs to another episode
                    asked = time.monotonic()
                    drawn = await self.server_manager.generate(
                        request_id=f"{problem_id}/{step}/{sample}",
                        prompt_ids=prompt + response,
                        sampling_params={
                            **sampling_params,
                            "max_tokens": limit,
                            "seed": draw_seed(self.seed, f"{problem_id}/{step}/{turns}", sample),
                        },
                    )
                    waited += time.monotonic() - asked
                    if drawn.stop_reason == "aborted":
                        raise ConnectionAbortedError("the server gave the draw up")
                    tokens, told, extra = drawn.token_ids, drawn.log_probs, drawn.extra_fields
                turns += 1
                response += tokens
                mask += [1] * len(tokens)
                logprobs += told or [0.0] * len(tokens)
                said = self.tokenizer.decode(tokens, skip_special_tokens=True)
                messages.append(Message(role="assistant", content=said))
                # Not every server tells a draw that was cut from one that ended.
                cut = len(tokens) >= limit and tokens[-1] != self.tokenizer.eos_token_id
                judged = Completion(said, "length" if cut else "stop").judged
                text, reward, terminated, truncated, info = await in_thread(environment.step, judged)
                rewards += float(reward)
                heard: list[int] = []
                if not (terminated or truncated or cut or turns >= self.max_turns):
                    heard = turn_tokens(self.tokenizer, info.get("role", "user"), text, tokens)
                    cut = len(response) + len(heard) >= self.budget
                if not heard or cut:
                    reason = "length" if cut else "stop"
                    verdict = verdict_of(info, rewards)
                    ended = terminated or truncated
                    break
                messages.append(Message(role=info.get("role", "user"), content=text))
                response += heard
                mask += [0] * len(heard)
                logprobs += [0.0] * len(heard)
        except Exception as error:
            verdict = crashed(error)
        finally:
            if environment is not None and ended:
                _give_back(self.environment, environment)
            elif environment is not None:
                environment.close()
        episode = Episode(problem_id, sample, tuple(messages), verdict, sum(mask), reason)
        if reason == "length":
            mask = [0] * len(mask)  # a response cut short says nothing about its ending: it is left out of the loss
        metrics = AgentLoopMetrics(generate_sequences=waited, compute_score=time.monotonic() - started - waited)
        return episode, AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=response,
            response_mask=mask,
            response_logprobs=logprobs if self.rollout_config.calculate_log_probs else None,
            reward_score=verdict.score,
            num_turns=2 * turns,
            metrics=metrics,
            extra_fields={"turn_scores": [], "tool_rewards": [], "reward_extra_info": {}, **extra},
        )

    def _write(self, episode: Episode, problem: int, step: int, output: AgentLoopOutput) -> None:
        """Appends the episode to this process's file; the stage reads them for its figures."""
        line = episode_to_json(episode) | {
            "problem": problem,
            "step": step,
            "generate_seconds": output.metrics.generate_sequences,
            "environment_seconds": output.metrics.compute_score,
            "reused": bool(self.drawn) and step == 1 and output.metrics.generate_sequences == 0,
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def stored_turns(index: str, problem: int, sample: int) -> list[list[int]]:
    """The tokens of each turn of a draw that a filter stored; none where it did not make that draw.

    Args:
        index: JSON of the file that holds the draws, and of where in it each begins: {"file": ..., "places": {"3/0": 1024}}.
        problem, sample: which draw.
    """
    file, places = _index(index)
    if (place := places.get(f"{problem}/{sample}")) is None:
        return []
    with open(file, "rb") as lines:
        lines.seek(place)
        turns: list[list[int]] = json.loads(lines.readline())["turns"]
    return turns


@functools.lru_cache(maxsize=8)
def _index(path: str) -> tuple[str, dict[str, int]]:
    read = json.loads(Path(path).read_text())
    return read["file"], read["places"]


def _score_group(registration: str) -> Callable[[int, Sequence[str]], list[Verdict] | None] | None:
    """What judges a whole group, where the environment has it. One that cannot be made has none; playing it says why."""
    with _FIRST, contextlib.suppress(Exception):  # whoever comes first reads the problems; the others would read them, too
        return _judge_of_groups(registration)
    return None


_FIRST = threading.Lock()


@functools.lru_cache(maxsize=8)
def _judge_of_groups(registration: str) -> Callable[[int, Sequence[str]], list[Verdict] | None] | None:
    return getattr(_make(registration).unwrapped, "score_group", None)


@functools.lru_cache(maxsize=64)
def _spec(registration: str) -> EnvSpec:
    return EnvSpec.from_json(registration)


def _make(registration: str) -> gymnasium.Env[str, str]:
    return gymnasium.make(_spec(registration))


_FREE: dict[str, list[gymnasium.Env[str, str]]] = {}
"""Environments whose episode has ended, by their registration: making one anew may look at all of its problems."""


def _borrow(registration: str) -> gymnasium.Env[str, str]:
    with contextlib.suppress(KeyError, IndexError):
        return _FREE[registration].pop()
    return _make(registration)


def _give_back(registration: str, environment: gymnasium.Env[str, str]) -> None:
    _FREE.setdefault(registration, []).append(environment)
