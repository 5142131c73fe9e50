"""The types, protocols and errors that all other modules use.

A policy receives the prompt of a `Problem` and returns `Completion`s. A `Verifier` compares the text of a completion with the
problem's gold answer and returns a `Verdict`. An environment connects the two: one problem played to its verdict is an
`Episode`.

Types
    Message, Conversation    one turn, and a list of turns, in the form of the OpenAI API and of chat templates
    Problem                  a prompt with its gold answer
    Sampling                 temperature, top_p, top_k, token limit, base seed and stop strings
    Completion               one sample of a policy: text, tokens, finish reason
    Status, Verdict, Part    the result that a verifier returns for one response
    Info                     the `info` dictionary of an environment's `reset` and `step`
    Episode                  one problem played once, with its verdict

Protocols
    Policy                   samples completions for conversations
    Verifier                 judges a response
    Supports...              optional methods of policies and verifiers, found with isinstance

Functions
    sample_seed              the seed of one sample, from the base seed, a key and the sample's number
    batch_size               the number of samples that a policy generates at once
    verdict_without_response the verdict on a sample that has no response
    message_text             a message as text, tool calls included

Errors
    UserError                a mistake that the user can correct, in one line
    SamplingIncomplete       a policy stopped before it made all samples
    PromptRefused            a server will never answer this prompt
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from .responses import complete_part
from .texts import without_secrets


class Function(TypedDict):
    """The name and the arguments of a tool call."""

    name: str
    arguments: Mapping[str, object]


class ToolCall(TypedDict):
    """One call of a tool, in the form that chat templates accept."""

    type: Literal["function"]
    function: Function
    id: NotRequired[str]


class Message(TypedDict):
    """One turn of a conversation. The roles are those of the chat template: system, user, assistant, tool."""

    role: str
    content: str
    tool_calls: NotRequired[list[ToolCall]]
    """Tool calls of this turn (role "assistant" only). The content may then be empty."""
    tool_call_id: NotRequired[str]
    """Id of the call that this message answers (role "tool" only)."""
    name: NotRequired[str]
    """Name of the called function (role "tool" only)."""
    tools: NotRequired[Sequence[Mapping[str, object]]]
    """Functions that the policy may call (first message only), in the form of the option `tools` of chat templates."""


TEXT = "text"
"""Role of a single message whose content the policy continues as plain text, without a chat template."""

Conversation = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt with its gold answer."""

    id: str
    """Equal in all runs and on all machines."""
    prompt: tuple[Message, ...]
    """The messages that the policy receives. The last one is not the policy's."""
    answer: object
    """The gold answer: text, a number, tests, function calls or a reference response. `golds.py` lists the forms."""
    source: str
    """The URI that the problem was read from."""
    meta: Mapping[str, object] = field(default_factory=dict)
    """Further fields of the source, such as `solution`, a worked answer. `invalid_gold` is the reason why the problem cannot be
    used: its gold answer is unreadable or its prompt is empty."""


class Status(StrEnum):
    """The kind of a verdict."""

    SCORED = "scored"
    """The response was judged."""
    TIMEOUT = "timeout"
    """Judging exceeded a limit of time, size or memory, for example for an endless loop or a huge power. It scores 0."""
    UNDECIDED = "undecided"
    """The problem cannot be judged, for example because its gold answer does not parse. There is no score."""
    FAULT = "fault"
    """A verifier, a worker process or a server failed. There is no score: the sample is tried again, then left out."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a verdict on several properties of a response, such as its correctness and its length."""

    name: str
    """The name under which the part is reported."""
    score: float | None
    """From 0 to 1. None if this part has no score; the verdict then has none."""
    weight: float
    """Weight in the verdict's score, which is the weighted mean of the parts' scores."""
    method: str = ""
    """The comparison that decided, as in `Verdict`."""
    reason: str = ""
    """Why the score is this one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result that a verifier returns for one response."""

    status: Status
    """Whether the response was judged, and if not, why."""
    score: float | None
    """From 0 to 1. None for the statuses UNDECIDED and FAULT."""
    method: str
    """The comparison that decided: "exact", "rational", "symbolic", "tests", ..."""
    reason: str
    """Why the verdict is this one, in at most one line."""
    judge_messages: tuple[str, ...] = ()
    """Messages of the judge model and replies of its tools."""
    parts: tuple[Part, ...] = ()
    """The parts of a reward that has several; see `verifiers/rewards/weighted.py`."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy samples. The defaults are those of training: the model's own distribution."""

    temperature: float = 1.0
    """0 means greedy decoding."""
    top_p: float = 1.0
    """Nucleus sampling: total probability of the most likely tokens to sample from."""
    max_tokens: int = 512
    """Limit of new tokens, the end-of-sequence token included; in an episode, of all turns and the replies between them."""
    seed: int = 0
    """The base seed; see `sample_seed`."""
    stop: tuple[str, ...] = ()
    """The text of a sample ends before the first of these strings."""
    top_k: int | None = None
    """Number of the most likely tokens to sample from, before `top_p`; None: all. `scripted:` and `call:` ignore it."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that gives no distribution, and for an empty stop string, which empties samples."""
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature: expected a finite number of at least 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p: expected a number above 0 and at most 1, got {self.top_p}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k: expected 1 or more, got {self.top_k}; omit it for all tokens")
        if "" in self.stop:
            raise UserError("stop: an empty text ends each sample at its start; remove it")


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of a policy."""

    text: str
    """The text of the turn, reasoning included."""
    finish_reason: str
    """"stop" if the policy ended its turn; "length" if it was truncated at `max_tokens` or at the end of the model's window.
    Two values mean that there is no response: "refused" (the server will never answer this prompt) and "fault" (the server
    failed; the sample may be tried again). See `verdict_without_response`."""
    token_ids: tuple[int, ...] = ()
    """The new tokens, end-of-sequence included. Empty if the server does not return them."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each token of `token_ids` under the distribution that it was sampled from."""
    error: str = ""
    """The server's error message if there is no response."""

    @property
    def scorable_text(self) -> str:
        """The part of the text that is judged: the whole text, or, if it was truncated, its complete sentences.

        A truncated "So the answer is 1" might have continued as 12. A text with `\\boxed{...}` or `</answer>` after its
        reasoning is judged as a whole, because these marks show whether the answer is complete.
        """
        return complete_part(self.text) if self.finish_reason == "length" else self.text


def verdict_without_response(finish_reason: str, error: str = "") -> Verdict | None:
    """Returns the verdict on a sample that has no response, or None if the sample has one.

    A refused prompt is UNDECIDED: it is stored and not sampled again. A failed request is FAULT: it is sampled again.

    Args:
        finish_reason: `Completion.finish_reason` of the sample.
        error: the server's error message.
    """
    if finish_reason == "refused":
        return Verdict(Status.UNDECIDED, None, "refused", error or "the server refused the prompt")
    if finish_reason == "fault":
        return Verdict(Status.FAULT, None, "server", error or "the server returned no response")
    return None


class Info(TypedDict, total=False):
    """The `info` dictionary that environments of this package return. Other environments may omit any entry."""

    problem_id: str
    index: int
    """Index of the problem; returned by `reset`."""
    messages: Sequence[Message]
    """The prompt as messages; returned by `reset`. If absent, the observation is the user's turn."""
    verdict: Verdict
    """Returned by the last `step`. If absent, the sum of the rewards is the score."""
    role: str
    """Role of the observation that `step` returns; "user" if absent."""
    tool_calls: int
    """Number of tool calls so far in the episode; returned by `step`."""
    invalid_actions: int
    """Number of responses so far in the episode that were not legal moves of a game; returned by `step`."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One problem played once, with its verdict."""

    problem_id: str
    """The id that the environment returned, or the index of the problem."""
    sample: int
    """Number of the sample among those of the problem, from 0."""
    messages: tuple[Message, ...]
    """The whole conversation, turns of the policy included."""
    verdict: Verdict
    """The verdict of the last step."""
    tokens: int
    """Number of tokens that the policy sampled."""
    finish_reason: str
    """Finish reason of the last turn, or "length" if a reply left no tokens for another turn (`policies/transcript.py`)."""


@runtime_checkable
class SupportsInvalidGold(Protocol):
    """An object with the method `invalid_gold`. Every `Verifier` has it; `as_verifier` adds it to a plain function."""

    def invalid_gold(self, problem: Problem) -> str | None:
        """Returns the reason why no response to the problem can be judged, or None."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """An object with the method `prepare`. Every `Verifier` has it; `as_verifier` adds it to a plain function."""

    def prepare(self) -> None:
        """Checks what the verifier needs on this machine, such as packages or a server; raises `UserError` if it is missing."""
        ...


@runtime_checkable
class Verifier(SupportsInvalidGold, SupportsPrepare, Protocol):
    """Judges a response.

    A verifier has no side effects. It raises nothing but `UserError`, ends within a time limit, uses bounded memory, and works
    in any thread or process. `verifiers.as_verifier` turns a plain function into a verifier.
    """

    @property
    def options(self) -> Mapping[str, object]:
        """Settings that affect verdicts, by name. Values that come from environment variables are included."""
        ...

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on `response` as an answer to `problem`."""
        ...

    def with_options(self, **options: object) -> "Verifier":
        """Returns the same verifier with other options; raises `UserError` for an unknown option."""
        ...


class Policy(Protocol):
    """Samples responses to conversations."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Samples `samples` completions for each conversation.

        Args:
            conversations: the prompts; the last turn of each is not the policy's.
            samples: number of samples for each conversation.
            sampling: temperature, token limit and base seed.
            keys: one key for each conversation. It is part of the seed of each sample. Use the problem's id, plus the number
                of the call if `generate` is called several times for one problem. The default is the text of the conversation.
                Equal keys and equal conversations give equal completions.

        Returns:
            For each conversation, in order, a list of `samples` completions. Sample j has the seed
            `sample_seed(sampling.seed, key, j)`, so that it does not depend on the rest of the batch.
        """
        ...


@runtime_checkable
class SupportsBatchSize(Protocol):
    """A policy with the property `batch_size`, the number of samples that it generates at once."""

    @property
    def batch_size(self) -> int:
        """Number of samples that are generated at once."""
        ...


@runtime_checkable
class SupportsChoiceProbabilities(Protocol):
    """A policy that can return the probability of each of several given answers."""

    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """Returns the probability of each option as the answer to each conversation, given that the answer is an option.

        Returns:
            For each conversation a list with one probability for each option. The probabilities sum to 1, or are all NaN if
            the policy returned no answer, for example because the prompt fills its window.
        """
        ...


@runtime_checkable
class SupportsLoglikelihoods(Protocol):
    """A policy that can return the log-probability of a given text."""

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Returns for each (context, continuation) its log-probability, and True if greedy decoding generates it."""
        ...


def batch_size(policy: Policy) -> int:
    """Returns the number of samples that a policy generates at once: its own `batch_size`, or 64."""
    return policy.batch_size if isinstance(policy, SupportsBatchSize) else 64


def sample_seed(base: int, key: str, sample: int) -> int:
    """Returns the seed of one sample. It is below 2**53 so that JSON represents it exactly.

    Args:
        base: base seed of the run.
        key: text that identifies the problem and the attempt. A caller that samples the same problem again (in a later step,
            twice in one step, or in the next turn) must use another key. A key must not depend on the batch or the engine.
        sample: number of the sample among those with this key, from 0.
    """
    digest = hashlib.sha256(f"{base}\n{key}\n{sample}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def message_text(message: Message) -> str:
    """Returns a message as text: its content, then each tool call as `<tool_call>` with a JSON object of name and arguments."""
    functions = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    calls = [f"<tool_call>\n{function}\n</tool_call>" for function in functions]
    return "\n".join([message["content"], *calls] if message["content"] else calls)


class UserError(Exception):
    """A mistake that the user can correct. The message is one line: what is wrong, and what to do.

    The command line prints the message and exits with status 2. Secrets in URLs are replaced by ***.
    """

    def __init__(self, message: str = ""):
        """Sets the message."""
        super().__init__(without_secrets(str(message)))


class SamplingIncomplete(UserError):
    """A policy stopped before it made all samples. The error holds the samples that were made."""

    def __init__(self, message: str, completions: Sequence[Sequence[Completion | None]]):
        """Creates the error. `completions` has the requested completions, with None for each that was not generated."""
        super().__init__(message)
        self.completions = completions

    @property
    def error_to_raise(self) -> BaseException:
        """The error to raise once the samples are stored: the interrupt (such as Ctrl-C) that caused it, else itself."""
        return self.__cause__ if isinstance(self.__cause__, KeyboardInterrupt) else self


class PromptRefused(Exception):
    """A server will never answer this prompt, for example because of a content filter. A retry cannot help."""
