"""Environments for TRL's GRPOTrainer (TRL 1.16): a data set of prompts, a reward function, and an environment factory.

    folder = checkpoint("smollm2:")                       # of tenfold.policies.checkpoints
    GRPOTrainer(
        model=str(folder),
        train_dataset=dataset("tenfold/ChainSum-v0", 64),
        reward_funcs=reward("tenfold/ChainSum-v0", model=folder),
    )

TRL itself is not imported here. A verdict without a score (status undecided or fault) is None, TRL's word for a completion that
has no reward: it is left out of the group's mean, and its advantage is 0.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

from ... import extras
from ...core import TEXT, Completion, Message, ToolCall, UserError, message_text
from ...policies.chat import tools
from ...policies.chat.prompts import prompt_tokens
from ...policies.checkpoints import stop_ids, tokenizer_of
from ...policies.completions import completion
from ...policies.play import games
from .. import registry
from .episodes import MAX_TURNS, THREADS, Judge, Judged, begin, score, take_turn

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

PROBLEM, PROBLEM_ID = "problem", "problem_id"
"""Columns of the data set: the index of the problem, and its id."""
NO_TURN_LEFT = "The episode has ended. Do not call this function again."
"""What `TRLEnvironment.respond` returns after the end of an episode."""


class Turn(TypedDict, total=False):
    """A message of a conversational completion of TRL."""

    role: str
    content: str | Sequence[Mapping[str, object]] | None
    """Text, or parts of which those with `text` count."""
    tool_calls: list[ToolCall] | None


Rewards = list[float | None]
LogMetric = Callable[[str, float], None]
"""TRL's function that records a number of the step."""


class RewardFunction(Protocol):
    """A reward function as TRL calls it."""

    __name__: str

    def __call__(
        self,
        prompts: Sequence[str | Sequence[Message]],
        completions: Sequence[str | Sequence[Turn]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: LogMetric | None = None,
        **columns: Sequence[object],
    ) -> Rewards:
        """Returns the reward of each completion, or None where there is none."""
        ...


def dataset(id: str, problems: Sequence[int] | int | None = None, **options: object) -> "Dataset":
    """Returns the prompts of an environment as a `datasets.Dataset`.

    The columns are `prompt` (a conversation, or a text if the environment wants the policy to continue a text), `problem` (the
    index of the problem) and `problem_id`. Declarations of functions are text in the system turn, because TRL gives the policy
    only the functions of its own argument `tools`.

    Args:
        id: id of the environment.
        problems: indices of the problems, or a number N for the first N; the default is all problems.
        **options: arguments that differ from those of the environment's registration.

    Raises:
        UserError: there is no such environment or problem.
    """
    with extras.required_by("tenfold.envs.interop.trl.dataset"):
        from datasets import Dataset
    environment = registry.make(id, **options)
    if problems is None or isinstance(problems, int):
        count = games.count_problems(environment, problems)
        if (number := problems if count is None else count) is None:
            raise UserError(f"{id} has no list of problems: give their number, dataset({id!r}, 100)")
        problems = range(number)
    rows = []
    for index in problems:
        problem_id, messages = games.prompt_of(environment, index, id)
        rows.append({"prompt": _prompt(messages), PROBLEM: index, PROBLEM_ID: problem_id})
    environment.close()
    return Dataset.from_list(rows)


def _prompt(messages: Sequence[Message]) -> str | list[dict[str, str]]:
    if [message["role"] for message in messages] == [TEXT]:
        return messages[0]["content"]
    return [{"role": message["role"], "content": message_text(message)} for message in tools.as_text(messages)]


def reward(
    id: str, *, model: str | Path | None = None, name: str | None = None, threads: int = THREADS, **options: object
) -> RewardFunction:
    """Returns a reward function for `reward_funcs`: the scores of an environment's verdicts.

    The data set has the column `problem`; see `dataset`. Each completion is played as an episode: its assistant messages are
    the turns of the policy, with tool calls as text. Other messages are ignored, because the environment replies anew.

    Args:
        id: id of the environment.
        model: folder of the checkpoint that TRL trains. With it, the text and the end of each completion come from its tokens,
            as in tenfold's own rollouts: a truncated completion is judged by its complete sentences, and reasoning that the
            prompt opened is not an answer. Without it, the text that TRL decoded is judged as a whole.
        name: name of the reward in TRL's logs; the default is the id.
        threads: number of completions that are judged at once.
        **options: arguments that differ from those of the environment's registration. `dataset` must get the same.

    Returns:
        The function. It logs the share of completions without a reward as the metric `NAME/without_reward`. If the environment
        compares the samples of a problem with each other, `per_device_train_batch_size` must be a multiple of
        `num_generations`, so that one call has the whole group.

    Raises:
        UserError: there is no such environment, or the folder has no tokenizer.
    """
    judge = Judge(id, options, threads)
    tokens = Tokens(model) if model is not None else None

    def rewards(
        prompts: Sequence[str | Sequence[Message]],
        completions: Sequence[str | Sequence[Turn]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        log_metric: LogMetric | None = None,
        **columns: Sequence[object],
    ) -> Rewards:
        indices = _problems(columns)
        if tokens is None or completion_ids is None:
            turns = [turns_of(completion) for completion in completions]
        else:
            turns = [*map(tokens.turns_of, prompts, completions, completion_ids)]
        judged = judge.judged(indices, turns)
        _check_ids(id, indices, judged, columns.get(PROBLEM_ID, ()))
        scores = [each.verdict.score for each in judged]
        if log_metric is not None and scores:
            log_metric(f"{rewards.__name__}/without_reward", scores.count(None) / len(scores))
        return scores

    rewards.__name__ = name or id
    return rewards


def _problems(columns: Mapping[str, Sequence[object]]) -> list[int]:
    """Returns the index of the problem of each completion; raises `UserError` if there is no column of indices."""
    indices = [index for index in columns.get(PROBLEM, ()) if isinstance(index, int)]
    if PROBLEM not in columns or len(indices) != len(columns[PROBLEM]):
        raise UserError(f"the data set has no column {PROBLEM!r} with indices: make it with tenfold.envs.interop.trl.dataset")
    return indices


def _check_ids(id: str, indices: Sequence[int], judged: Sequence[Judged], ids: Sequence[object]) -> None:
    """Raises `UserError` if the data set was made from other problems than those that were judged.

    Args:
        id: id of the environment.
        indices: index of the problem of each completion.
        judged: what was judged.
        ids: ids of the problems in the data set; empty if it has none.
    """
    for index, each, given in zip(indices, judged, ids, strict=False):
        if each.problem_id not in (None, given):
            raise UserError(
                f"problem {index} of {id} is {each.problem_id!r}, but the data set has {given!r}: "
                "give `dataset` and `reward` the same options"
            )


def turns_of(completion: str | Sequence[Turn]) -> list[Completion]:
    """Returns the policy's turns in a completion of TRL, a text or messages. Each counts as ended by the policy."""
    if isinstance(completion, str):
        return [Completion(completion, "stop")]
    return [Completion(_text(turn), "stop") for turn in completion if turn["role"] == "assistant"]


def _text(turn: Turn) -> str:
    content = turn.get("content") or ""
    if not isinstance(content, str):
        content = "".join(str(part["text"]) for part in content if "text" in part)
    message = Message(role="assistant", content=content)
    return message_text({**message, "tool_calls": calls} if (calls := turn.get("tool_calls")) else message)


class Tokens:
    """The tokenizer of a checkpoint: turns of the policy from the tokens that TRL sampled."""

    def __init__(self, folder: str | Path):
        """Loads the tokenizer; raises `UserError` if the folder has none."""
        with extras.required_by("tenfold.envs.interop.trl.reward"):
            self.tokenizer: PreTrainedTokenizerBase = tokenizer_of(folder)
            self.stop_ids = stop_ids(folder, self.tokenizer)

    def turns_of(
        self, prompt: str | Sequence[Message], completed: str | Sequence[Turn], tokens: Sequence[int]
    ) -> list[Completion]:
        """Returns the policy's turns in a completion.

        Args:
            prompt: the prompt, a text or messages.
            completed: the completion as TRL decoded it. Its texts are used if it has several messages, because the tokens do
                not show where each begins.
            tokens: the completion's tokens.
        """
        tokens = [*tokens]
        while tokens and tokens[-1] == self.tokenizer.pad_token_id and tokens[-1] not in self.stop_ids:
            tokens.pop()
        if not isinstance(completed, str) and len(completed) > 1:
            *earlier, last = turns_of(completed) or [Completion("", "stop")]
            ended = completed[-1]["role"] != "assistant" or (bool(tokens) and tokens[-1] in self.stop_ids)
            return [*earlier, Completion(last.text, "stop" if ended else "length")]
        messages = [Message(role=TEXT, content=prompt)] if isinstance(prompt, str) else prompt
        return [completion(self.tokenizer, prompt_tokens(self.tokenizer, messages), tokens, self.stop_ids)]


def environment(id: str, max_turns: int = MAX_TURNS, **options: object) -> "Callable[[], TRLEnvironment]":
    """Returns an environment factory for `environment_factory`: the policy plays the episode by calling a function.

    The function `respond` passes one turn to the environment and returns its reply. TRL calls it for each tool call of the
    policy; it is meant for environments with several turns. The reward is that of the environment, so `reward_funcs` may be
    omitted.

    Args:
        id: id of the environment.
        max_turns: limit of the calls in an episode.
        **options: arguments that differ from those of the environment's registration. `dataset` must get the same.

    Raises:
        UserError: there is no such environment.
    """
    registry.make(id, **options).close()
    return functools.partial(TRLEnvironment, id, max_turns, options)


class TRLEnvironment:
    """An environment of TRL's `environment_factory`, which takes public methods other than these two for tools."""

    def __init__(self, id: str, max_turns: int, options: Mapping[str, object]):
        """Creates the environment; see `environment`."""
        self._environment = registry.make(id, **options)
        self._max_turns = max_turns
        self._game: games.Game | None = None

    def reset(self, problem: int, **columns: object) -> None:
        """Begins an episode. The prompt is that of the data set.

        Args:
            problem: index of the problem, from the data set.
            columns: the other columns, which are ignored.
        """
        self._game = begin(self._environment, problem, self._max_turns)

    def respond(self, text: str) -> str:
        """Passes your next response to the environment and returns its reply.

        Args:
            text: your whole response.

        Returns:
            The reply. It says so if the episode has ended.
        """
        if self._game is None or self._game.verdict is not None:
            return NO_TURN_LEFT
        take_turn(self._game, Completion(text, "stop"))
        return NO_TURN_LEFT if self._game.verdict is not None else self._game.transcript.messages[-1]["content"]

    def get_reward(self) -> float | None:
        """Returns the score of the episode: of its verdict, or the rewards so far. None if the episode must be left out."""
        return None if self._game is None else score(self._game)
