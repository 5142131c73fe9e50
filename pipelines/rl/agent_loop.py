"""An agent loop for verl that plays one episode of a registered environment.

verl creates a loop for each sample and passes a row that names the problem. The loop makes the environment from its
registration, which the stage has stored, so this process need not have registered it. The rules of an episode are those of all
rollouts (`policies/transcript.py`). Tokens are only appended: sampled tokens stay as they are, and each text of the environment
is tokenized alone.

An environment whose episode has ended is reset and reused. An environment that raised an error or was stopped early is closed,
because it may still have a running interpreter.

In the first step, the policy is often that of an earlier filter stage. Then the filter's samples are used instead of new ones,
as far as they exist (`grpo.py` checks that the settings are equal).

An episode without a score is played once more. If it again has no score, verl gets no trajectory, so the group's mean is over
the other samples.

If the environment has a method `score_group(index, responses)`, all samples of a problem are scored together. Each sample
waits for the others of its group, which verl plays in the same process.
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
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import EnvSpec
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from ...core import Episode, Info, Verdict, sample_seed
from ...envs import registry
from ...envs.text import SupportsScoreGroup
from ...policies.play.games import environment_error, prompt_messages_of, verdict_of
from ...policies.store import episode_to_json
from ...policies.transcript import Limits, Transcript
from ...texts import without_surrogates
from ..verl_compat.order import SampleId
from . import groups
from .threads import in_thread, timed


@dataclasses.dataclass(slots=True)
class PlayedEpisode:
    """An episode with verl's output for it."""

    episode: Episode
    output: AgentLoopOutput
    scored_text: str
    """The part of the last turn that the verifier got."""
    other_seconds: float
    """See `metrics.StepEpisode`."""
    reused: bool
    """True if a filter sampled all turns of the episode; False without turns."""


class EnvironmentLoop(AgentLoopBase):
    """Plays one episode and returns its tokens, mask and reward to verl."""

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
        seeded: bool = True,
        **kwargs: Any,
    ):
        """Takes verl's arguments and those of the loop's configuration file.

        Args:
            args: verl's.
            environment: registration of the environment, as JSON of Gymnasium's EnvSpec.
            registered: registrations of the other environments, which a mixture may name.
            episodes: folder for finished episodes, with a file for each process.
            seed: base seed of the stage.
            max_turns: limit of the policy's turns in an episode.
            stop_ids: tokens that end a turn of the policy.
            window: context window of the policy's model, in tokens; None: no limit.
            sampled: index file of the samples that a filter took from the first step's policy; see `stored_turns`.
            seeded: false if vLLM may continue a sample with new weights, because it would begin the seed's numbers again.
            kwargs: verl's.
        """
        super().__init__(*args, **kwargs)
        for spec in map(_spec, registered):
            gymnasium.registry.setdefault(spec.id, spec)
        self.environment, self.seed, self.sampled, self.seeded = environment, seed, sampled, seeded
        self.limits = Limits(int(self.rollout_config.response_length), max_turns, window)
        self.stop_ids = frozenset(stop_ids)
        self.log = Path(episodes) / f"{socket.gethostname()}-{os.getpid()}.jsonl"
        self.samples = int(self.rollout_config.n)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> AgentLoopOutput | list[AgentLoopOutput]:
        """Plays the problem of `row["extra_info"]`. Returns an empty list if the verdict has no score."""
        place = SampleId(
            problem=int(row["extra_info"]["index"]),
            sample=int(row["session_id"]),
            step=int(row["extra_info"].get("step", row["global_steps"])),
            attempt=int(row["extra_info"].get("attempt", 0)),
        )
        score_group = await in_thread(_score_group, self.environment)
        played = [await self._play(place, sampling_params)]
        if played[0].episode.verdict.score is None:
            played.append(await self._play(place, sampling_params))
        last = played[-1]
        if score_group:
            response = None if last.episode.verdict.score is None else last.scored_text
            score = functools.partial(score_group, place.problem)
            verdict = await groups.group_verdict(str(row["uid"]), self.samples, place.sample, response, score)
            last.episode = dataclasses.replace(last.episode, verdict=verdict or last.episode.verdict)
            last.output.reward_score = last.episode.verdict.score
        for attempt in played:
            self._write(attempt, place)
        return last.output if last.output.reward_score is not None else []

    async def _play(self, place: SampleId, sampling_params: dict[str, Any]) -> "PlayedEpisode":
        """Plays an episode from reset to verdict; `policies/transcript.py` has the rules."""
        started, waited, inside = time.monotonic(), 0.0, 0.0
        environment, ended, rewards = None, False, 0.0
        problem_id, transcript = str(place.problem), Transcript(self.limits, [])
        # Optimizer step of the weights, for reused samples. For new samples the server reports it.
        extra: dict[str, Any] = dict.fromkeys(("global_steps", "min_global_steps", "max_global_steps"), place.step - 1)
        stored: list[list[int]] = []
        # A filter does not store the log-probabilities of its samples.
        if self.sampled and place.may_be_reused and not self.rollout_config.calculate_log_probs:
            stored = stored_turns(self.sampled, place.problem, place.sample)
        try:
            environment = await in_thread(_borrow, self.environment)
            (text, info), inside = await timed(environment.reset, seed=place.problem, options={"problem": place.problem})
            problem_id = without_surrogates(str(info.get("problem_id", place.problem)))
            transcript = Transcript(self.limits, [*prompt_messages_of(text, cast(Info, info))], self.tokenizer, self.stop_ids)
            while True:
                turn = len(transcript.turns)
                if turn < len(stored) and len(stored[turn]) <= transcript.tokens_left:
                    message = transcript.add_tokens(stored[turn])
                else:
                    stored = []  # later stored turns belong to an episode that went differently
                    requested = time.monotonic()
                    seed = sample_seed(self.seed, f"{place.seed_key(problem_id)}/{turn}", place.sample)
                    sampled = await self.server_manager.generate(
                        request_id=f"{place.seed_key(problem_id)}/{place.sample}",
                        prompt_ids=transcript.tokens,
                        sampling_params={
                            **sampling_params,
                            "max_tokens": transcript.tokens_left,
                            **({"seed": seed} if self.seeded else {}),
                        },
                    )
                    waited += time.monotonic() - requested
                    if sampled.stop_reason in ("aborted", "abort"):
                        raise ConnectionAbortedError("the server aborted the sample")
                    message = transcript.add_tokens(sampled.token_ids, sampled.log_probs or ())
                    oldest = min(extra["min_global_steps"], sampled.extra_fields.get("min_global_steps", place.step - 1))
                    extra = sampled.extra_fields | {"min_global_steps": oldest}
                (text, reward, terminated, truncated, info), took = await timed(environment.step, message.scorable_text)
                inside += took
                rewards += float(reward)
                ended = terminated or truncated
                if not transcript.add_reply(ended, info.get("role", "user"), text):
                    verdict = verdict_of(cast(Info, info), rewards)
                    break
        except Exception as error:
            verdict, ended = environment_error(error), False
        finally:
            if environment is not None and ended:
                _give_back(self.environment, environment)
            elif environment is not None:
                with contextlib.suppress(Exception):  # an environment that has failed may fail here again
                    await in_thread(environment.close)
        mask = transcript.mask
        messages, reason = tuple(transcript.messages), transcript.finish_reason
        episode = Episode(problem_id, place.sample, messages, verdict, sum(mask), reason)
        if reason == "length":
            mask = [0] * len(mask)  # a truncated response is not in the loss, because its score is not that of a whole response
        metrics = AgentLoopMetrics(generate_sequences=waited, compute_score=inside)
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
        scored_text = transcript.turns[-1].scorable_text if transcript.turns else ""
        other = time.monotonic() - started - waited - inside
        return PlayedEpisode(episode, output, scored_text, other, reused=bool(stored and transcript.turns))

    def _write(self, played: "PlayedEpisode", place: SampleId) -> None:
        """Appends the episode to this process's file, from which the stage computes its metrics."""
        metrics = played.output.metrics
        line = episode_to_json(played.episode) | {
            "problem": place.problem,
            "step": place.step,
            "attempt": place.attempt,
            "generate_seconds": metrics.generate_sequences,
            "environment_seconds": metrics.compute_score,
            "other_seconds": played.other_seconds,
            "reused": played.reused,
        }
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def stored_turns(index: str, problem: int, sample: int) -> list[list[int]]:
    """Returns the tokens of each turn of a sample that a filter has stored; empty if there is no such sample.

    Args:
        index: JSON file with the name of the file of samples and the offset of each sample there, in bytes:
            {"file": ..., "places": {"3/0": 1024}} for sample 0 of problem 3.
        problem: index of the problem.
        sample: sample number.
    """
    file, offsets = _index(index)
    if (offset := offsets.get(f"{problem}/{sample}")) is None:
        return []
    with open(file, "rb") as lines:
        lines.seek(offset)
        turns: list[list[int]] = json.loads(lines.readline())["turns"]
    return turns


@functools.lru_cache(maxsize=8)
def _index(path: str) -> tuple[str, dict[str, int]]:
    read = json.loads(Path(path).read_text())
    return read["file"], read["places"]


def _score_group(registration: str) -> Callable[[int, Sequence[str]], list[Verdict] | None] | None:
    """Returns the environment's method that scores a group; None if there is none or the environment cannot be created.

    The error is reported when an episode is played.
    """
    with _MAKING, contextlib.suppress(Exception):  # with the lock, only one thread reads the problems
        return _make_score_group(registration)
    return None


_MAKING = threading.Lock()


@functools.lru_cache(maxsize=8)
def _make_score_group(registration: str) -> Callable[[int, Sequence[str]], list[Verdict] | None] | None:
    inner = _make(registration).unwrapped
    return inner.score_group if isinstance(inner, SupportsScoreGroup) else None


@functools.lru_cache(maxsize=64)
def _spec(registration: str) -> EnvSpec:
    return EnvSpec.from_json(registration)


def _make(registration: str) -> gymnasium.Env[str, str]:
    spec = _spec(registration)
    registry.constructor(spec)  # raises if the recipe may not name this code
    return gymnasium.make(spec)


_FREE: dict[str, list[gymnasium.Env[str, str]]] = {}
"""Idle environments by registration. They are reused, because making an environment may read all of its problems."""


def _borrow(registration: str) -> gymnasium.Env[str, str]:
    with contextlib.suppress(KeyError, IndexError):
        return _FREE[registration].pop()
    return _make(registration)


def _give_back(registration: str, environment: gymnasium.Env[str, str]) -> None:
    _FREE.setdefault(registration, []).append(environment)
