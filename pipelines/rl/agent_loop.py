"""Gym and verl meet here: an agent loop of verl that plays one episode of any registered environment.

verl makes one for every sample. The row it is given names the problem; the environment is rebuilt from its registration,
which the stage wrote down, so that it need not be known to this process. The rules of an episode, and what is judged of a
turn, are those of every other player (`policies/transcript.py`). Only new tokens are ever appended: what the policy wrote stays
as it was sampled, and what the environment says is tokenised by itself.

An environment that has ended its episode is reset for another one; one that raised, or whose episode was ended for it, is
closed: it may still hold an interpreter.

The first step's policy is the one that a filter drew with, just before: its samples are taken instead of new ones, as far as it
made them (`stage.py` sees to it that they may be).

An episode that ends in a fault of ours is played once more and then left out: verl is given no trajectory, so that the
group's mean is over the others.

An environment with a method `score_group(problem, responses)` judges all samples of a problem together: each waits for the
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

from ...core import Episode, Verdict, sample_seed, without_surrogates
from ...envs import registry
from ...envs.text import SupportsScoreGroup
from ...policies.rollout import crashed, first_messages, verdict_of
from ...policies.store import episode_to_json
from ...policies.transcript import Limits, Transcript
from ..verl_compat.order import SampleId
from . import groups
from .threads import in_thread


@dataclasses.dataclass(slots=True)
class Played:
    """An episode, and what verl is told of it."""

    episode: Episode
    output: AgentLoopOutput
    judged: str
    """What was judged of the policy's last turn."""


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
        stop_ids: list[int],
        window: int | None = None,
        sampled: str | None = None,
        **kwargs: Any,
    ):
        """Takes verl's own arguments and, from the loop's configuration file:

        Args:
            environment: the environment's registration, as Gymnasium's EnvSpec writes it to JSON.
            registered: registrations of the others that this process may not know; a mixture names some.
            episodes: folder to write finished episodes to, one file a process.
            seed: base seed of the stage.
            max_turns: turns of the policy after which an episode is ended.
            stop_ids: tokens that end a turn of the policy.
            window: most tokens that the policy's model reads and writes together.
            sampled: index of the samples that a filter made with the policy of the first step.
            args, kwargs: verl's.
        """
        super().__init__(*args, **kwargs)
        for spec in map(_spec, registered):
            gymnasium.registry.setdefault(spec.id, spec)
        self.environment, self.seed, self.sampled = environment, seed, sampled
        self.limits = Limits(int(self.rollout_config.response_length), max_turns, window)
        self.stop_ids = frozenset(stop_ids)
        self.log = Path(episodes) / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self.samples = int(self.rollout_config.n)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput | list[AgentLoopOutput]:
        """Plays the problem of `row["extra_info"]`; an empty list when no verdict could be had."""
        place = SampleId(
            problem=int(row["extra_info"]["index"]),
            sample=int(row["session_id"]),
            step=int(row["global_steps"]),
            attempt=int(row["extra_info"].get("attempt", 0)),
        )
        score_group = await in_thread(_score_group, self.environment)
        played = [await self._play(place, sampling_params)]
        if played[0].episode.verdict.score is None:
            played.append(await self._play(place, sampling_params))
        last = played[-1]
        if score_group:
            judged = None if last.episode.verdict.score is None else last.judged
            judge = functools.partial(score_group, place.problem)
            told = await groups.verdict(str(row["uid"]), self.samples, place.sample, judged, judge)
            last.episode = dataclasses.replace(last.episode, verdict=told or last.episode.verdict)
            last.output.reward_score = last.episode.verdict.score
        for one in played:
            self._write(one, place)
        return last.output if last.output.reward_score is not None else []

    async def _play(self, place: SampleId, sampling_params: dict[str, Any]) -> "Played":
        """One episode from reset to verdict; `policies/transcript.py` has its rules."""
        started, waited = time.monotonic(), 0.0
        environment, ended, rewards = None, False, 0.0
        problem_id, transcript = str(place.problem), Transcript(self.limits, [])
        # Version of the weights that sampled, as an optimizer step; a server reports the one of its own samples.
        extra: dict[str, Any] = dict.fromkeys(("global_steps", "min_global_steps", "max_global_steps"), place.step - 1)
        stored = stored_turns(self.sampled, place.problem, place.sample) if self.sampled and place.may_be_reused else []
        try:
            environment = await in_thread(_borrow, self.environment)
            text, info = await in_thread(environment.reset, seed=place.problem, options={"problem": place.problem})
            problem_id = without_surrogates(str(info.get("problem_id", place.problem)))
            transcript = Transcript(self.limits, [*first_messages(text, info)], self.tokenizer, self.stop_ids)
            while True:
                turn = len(transcript.turns)
                if turn < len(stored) and len(stored[turn]) <= transcript.left:
                    said = transcript.sample(stored[turn])
                else:
                    stored = []  # whatever followed belongs to another episode
                    asked = time.monotonic()
                    sampled = await self.server_manager.generate(
                        request_id=f"{place.seed_key(problem_id)}/{place.sample}",
                        prompt_ids=transcript.tokens,
                        sampling_params={
                            **sampling_params,
                            "max_tokens": transcript.left,
                            "seed": sample_seed(self.seed, f"{place.seed_key(problem_id)}/{turn}", place.sample),
                        },
                    )
                    waited += time.monotonic() - asked
                    if sampled.stop_reason in ("aborted", "abort"):
                        raise ConnectionAbortedError("the server gave the sample up")
                    said, extra = transcript.sample(sampled.token_ids, sampled.log_probs or ()), sampled.extra_fields
                text, reward, terminated, truncated, info = await in_thread(environment.step, said.scorable_text)
                rewards += float(reward)
                ended = terminated or truncated
                if not transcript.goes_on(ended, info.get("role", "user"), text):
                    verdict = verdict_of(info, rewards)
                    break
        except Exception as error:
            verdict, ended = crashed(error), False
        finally:
            if environment is not None and ended:
                _give_back(self.environment, environment)
            elif environment is not None:
                environment.close()
        mask = transcript.mask
        messages, reason = tuple(transcript.messages), transcript.finish_reason
        episode = Episode(problem_id, place.sample, messages, verdict, sum(mask), reason)
        if reason == "length":
            mask = [0] * len(mask)  # a response cut short says nothing about its ending: it is left out of the loss
        metrics = AgentLoopMetrics(generate_sequences=waited, compute_score=time.monotonic() - started - waited)
        output = AgentLoopOutput(
            prompt_ids=transcript.prompt,
            response_ids=transcript.response,
            response_mask=mask,
            response_logprobs=transcript.logprobs if self.rollout_config.calculate_log_probs else None,
            reward_score=verdict.score,
            num_turns=2 * len(transcript.turns),
            metrics=metrics,
            extra_fields={"turn_scores": [], "tool_rewards": [], "reward_extra_info": {}, **extra},
        )
        return Played(episode, output, transcript.turns[-1].scorable_text if transcript.turns else "")

    def _write(self, played: "Played", place: SampleId) -> None:
        """Appends the episode to this process's file; the stage reads them for its figures."""
        metrics = played.output.metrics
        line = episode_to_json(played.episode) | {
            "problem": place.problem,
            "step": place.step,
            "attempt": place.attempt,
            "generate_seconds": metrics.generate_sequences,
            "environment_seconds": metrics.compute_score,
            "reused": bool(self.sampled) and place.may_be_reused and metrics.generate_sequences == 0,
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def stored_turns(index: str, problem: int, sample: int) -> list[list[int]]:
    """The tokens of each turn of a sample that a filter stored; none where it did not make that sample.

    Args:
        index: JSON of the file that holds the samples, and of where in it each begins: {"file": ..., "places": {"3/0": 1024}}.
        problem, sample: which sample.
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
    inner = _make(registration).unwrapped
    return inner.score_group if isinstance(inner, SupportsScoreGroup) else None


@functools.lru_cache(maxsize=64)
def _spec(registration: str) -> EnvSpec:
    return EnvSpec.from_json(registration)


def _make(registration: str) -> gymnasium.Env[str, str]:
    spec = _spec(registration)
    registry.creator(spec)  # refuses what the recipe may not name
    return gymnasium.make(spec)


_FREE: dict[str, list[gymnasium.Env[str, str]]] = {}
"""Environments whose episode has ended, by their registration: making one anew may look at all of its problems."""


def _borrow(registration: str) -> gymnasium.Env[str, str]:
    with contextlib.suppress(KeyError, IndexError):
        return _FREE[registration].pop()
    return _make(registration)


def _give_back(registration: str, environment: gymnasium.Env[str, str]) -> None:
    _FREE.setdefault(registration, []).append(environment)
