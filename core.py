"""The nouns that every room of the house shares, and nothing else.

Index:
    Message, Conversation    what is said
    Problem                  one item, as posed
    Status, Verdict          what one response is worth
    Sampling, Completion     how a policy is asked, what it gives back
    Info                     what an environment says beside observation and reward
    Episode                  one problem played once
    Verifier, Policy         the two protocols that everything else is written against
    SupportsChoices, ...     what a policy or a verifier may offer beside that
    batch_size               how many conversations a policy is handed at once
    unanswered               the verdict on a sample that holds no answer
    spoken                   a message as text, with the tools that it calls
    without_surrogates       text that UTF-8 can hold
    sample_seed              the seed of one sample
    without_keys             text in which keys of addresses are hidden
    UserError                a mistake that one line can mend
    Incomplete               a policy stopped with some of the samples made
    Refused                  a policy will never answer this prompt
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from .responses import without_thinking


class Function(TypedDict):
    """A function that is called."""

    name: str
    arguments: Mapping[str, object]


class ToolCall(TypedDict):
    """One call of a tool, in the form that chat templates take."""

    type: Literal["function"]
    function: Function
    id: NotRequired[str]


class Message(TypedDict):
    """One turn of a conversation; roles are those of the chat template (system, user, assistant, tool)."""

    role: str
    content: str
    tool_calls: NotRequired[list[ToolCall]]
    """Tools that the assistant calls in this turn; the content may then be empty."""
    tool_call_id: NotRequired[str]
    """Of a tool's reply: the call that it answers."""
    name: NotRequired[str]
    """Of a tool's reply: the function that was called."""


TEXT = "text"
"""Role of a lone turn that is no turn: text to be continued as it stands, without a chat template."""


Conversation = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Problem:
    """One item, as posed."""

    id: str
    """Stable across runs and machines."""
    prompt: tuple[Message, ...]
    answer: object
    """What the verifier compares with: a gold answer, tests, gold calls, a reference response; see `golds.py`."""
    source: str
    """The URI it came from."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the source says; `solution` holds a worked answer where there is one."""


class Status(StrEnum):
    """Outcome of a verification."""

    SCORED = "scored"
    """The response was judged."""
    TIMEOUT = "timeout"
    """The response's own doing (a tower of powers, code that loops): it scores 0."""
    UNDECIDED = "undecided"
    """The problem cannot be judged, say a gold answer that does not parse: no score."""
    FAULT = "fault"
    """Ours (a worker died, a server was down): no score; retried, then left out, never a reward of 0."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one response is worth."""

    status: Status
    score: float | None
    """0..1; None when the response is not what decided (UNDECIDED, FAULT)."""
    method: str
    """The comparison that decided: "exact", "rational", "symbolic", "tests", ..."""
    reason: str
    trail: tuple[str, ...] = ()
    """What a judge that is a model said and did on the way: its turns, and what its tools answered."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy samples. The defaults are those of training rollouts: the plain distribution of the model."""

    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    max_tokens: int = 512
    """New tokens a sample may have, the end-of-sequence token included. For an episode of several turns: all its turns, and
    what is said to the policy between them."""
    seed: int = 0
    """The base seed; see `sample_seed`."""
    stop: tuple[str, ...] = ()
    """A sample ends before the first of these strings."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of a policy."""

    text: str
    finish_reason: str
    """"stop" where the policy ended its turn, "length" where it was cut: at max_tokens or at the end of the model's window. Two
    say that there is no answer to judge: "refused" (the server will never answer this prompt) and "fault" (it failed; the
    sample may be made again). See `unanswered`."""
    token_ids: tuple[int, ...] = ()
    """The new tokens, end-of-sequence included; empty where a server does not tell."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each of token_ids under the distribution sampled from."""
    error: str = ""
    """What the server said where there is no answer."""

    @property
    def scorable_text(self) -> str:
        """What is judged of the text: all of it, or, where it was cut, what stands before the sentence that it was cut in.

        "So the answer is 1" may have gone on to be 12. A box and an answer tag show by themselves whether they were closed: a
        text with one behind its reasoning is judged whole.
        """
        if self.finish_reason != "length" or _MARKED_ANSWER.search(without_thinking(self.text)):
            return self.text
        ends = [0, *(match.end() for match in _SENTENCE_END.finditer(self.text))]
        while len(ends) > 1 and _NUMBERED.fullmatch(self.text, ends[-2], ends[-1]):
            ends.pop()
        return self.text[: ends[-1]]


_MARKED_ANSWER = re.compile(r"\\(?:boxed|fbox|framebox)\s{0,9}\{\s{0,9}[^\s}]|</answer>", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|。|[.!?](?=\s)")
_NUMBERED = re.compile(r"\s{0,9}\d{1,9}[.\n]")
"""The number of a list's next point, which says nothing yet."""


def unanswered(finish_reason: str, error: str = "") -> Verdict | None:
    """The verdict on a sample that holds no answer; None where it holds one, which a verifier judges.

    A refusal for good is UNDECIDED: it is stored, and not asked for again. A fault is FAULT: it is sampled again.

    Args:
        finish_reason: of the sample.
        error: what the server said.
    """
    if finish_reason == "refused":
        return Verdict(Status.UNDECIDED, None, "refused", error or "the server refuses the prompt")
    if finish_reason == "fault":
        return Verdict(Status.FAULT, None, "server", error or "the server gave no answer")
    return None


class Info(TypedDict, total=False):
    """What an environment of this package says beside observation and reward; any other may say some of it, or nothing."""

    problem_id: str
    index: int
    """Of the problem, from `reset`."""
    messages: Sequence[Message]
    """The prompt as messages, from `reset`; without it the observation is the user's turn."""
    verdict: Verdict
    """From the last `step`; without it the sum of rewards is the score."""
    role: str
    """From `step`: whose turn the observation is; "user" without it."""
    tool_calls: int
    """From `step`: calls of a tool so far."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One problem played once, to its verdict."""

    problem_id: str
    sample: int
    """Which of the problem's samples this is, from 0."""
    messages: tuple[Message, ...]
    """The whole conversation, the policy's turns included."""
    verdict: Verdict
    tokens: int
    """Tokens the policy wrote."""
    finish_reason: str
    """Of the policy's last turn."""


@runtime_checkable
class SupportsInvalidGold(Protocol):
    """Knows which problems it could never judge."""

    def invalid_gold(self, problem: Problem) -> str | None:
        """Why no response to the problem could be judged, or None."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """Knows what it needs of this machine."""

    def prepare(self) -> None:
        """Makes sure that it can work here; raises `UserError` where it cannot."""
        ...


@runtime_checkable
class Verifier(SupportsInvalidGold, SupportsPrepare, Protocol):
    """Judges a response.

    Pure; never raises on any response, never hangs, uses bounded memory; works from any thread or process. A plain function
    is made one by `verifiers.as_verifier`.
    """

    @property
    def options(self) -> Mapping[str, object]:
        """Settings that decide verdicts, by name; a value that comes from an environment variable is among them."""
        ...

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """What `response` is worth as an answer to `problem`."""
        ...

    def with_options(self, **options: object) -> "Verifier":
        """The same verifier with other options; raises `UserError` for an unknown one."""
        ...


class Policy(Protocol):
    """Answers conversations."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """Samples `samples` completions for each conversation.

        Args:
            conversations: what to answer; each ends with a turn that is not the policy's.
            samples: samples for each conversation.
            sampling: temperature, length and base seed.
            keys: what each conversation's samples are seeded with beside the base seed: its problem's id, and the attempt where
                a problem is asked several times. Defaults to the conversation's own text. Equal keys with equal text sample
                equal completions.

        Returns:
            One list a conversation, of `samples` completions, in the order given. Sample j of a conversation is
            seeded with `sample_seed(sampling.seed, key, j)`: it does not depend on the rest of the batch.
        """
        ...


@runtime_checkable
class SupportsBatchSize(Protocol):
    """A policy that says how many conversations it takes at once; see `batch_size`."""

    @property
    def batch_size(self) -> int:
        """Conversations that are answered together."""
        ...


@runtime_checkable
class SupportsChoices(Protocol):
    """A policy that tells the probability of an answer instead of sampling one."""

    def choices(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        """How likely each option is as the answer to each conversation, if it is one of them.

        Returns:
            One list a conversation, of a probability an option; they sum to 1, or are NaN where there is no answer.
        """
        ...


@runtime_checkable
class SupportsLoglikelihoods(Protocol):
    """A policy that tells how likely it finds a given text."""

    def loglikelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """For each context and continuation, both plain text: the continuation's log-probability, and whether it is greedy."""
        ...


def batch_size(policy: Policy) -> int:
    """How many conversations a policy is handed at once: as many as it says (`SupportsBatchSize`), else 64."""
    return policy.batch_size if isinstance(policy, SupportsBatchSize) else 64


def sample_seed(base: int, key: str, sample: int) -> int:
    """The seed of one sample, below 2**53 so that JSON carries it exactly.

    Args:
        base: seed of the run.
        key: names the problem and the attempt: whoever asks the same problem again (in a later step, a second time in a step,
            in the next turn) gives it another key. It names nothing else: not the batch, its order or the engine.
        sample: which of the samples with this key, from 0.
    """
    digest = hashlib.sha256(f"{base}\n{key}\n{sample}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def spoken(message: Message) -> str:
    """A message as text: its content, then each tool call as `<tool_call>` with a JSON object of name and arguments."""
    calls = [
        f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
        for call in message.get("tool_calls", ())
    ]
    return "\n".join([message["content"], *calls] if message["content"] else calls)


def without_surrogates(text: str) -> str:
    """Text that UTF-8 can hold: two halves of a surrogate pair become the character, a lone one becomes U+FFFD.

    JSON may hold a lone half (`"\\ud800"`), which no file, tokenizer or server takes. Rows, prompts and responses pass through
    here where they come in.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_USERINFO = re.compile(r"(://)(?:[^\s@/?#]*:[^\s@]*|[^\s@/?#]*)(?=@)|(%3a%2f%2f)[^\s@/?#]*?(?=%40|@)", re.IGNORECASE)
_SECRET = re.compile(
    r"((?:[?&;]|%3f|%26)(?:[\w-]*[_.-])?(?:(?:api)?[_-]?key|token|secret|password|passwd|passphrase|pwd|auth|authorization"
    r"|signature|sig|credentials?)(?:=|%3d))(?:(?!%26)[^\s&'\"#])+",
    re.IGNORECASE,
)


def without_keys(text: str) -> str:
    """A text in which the names, passwords and keys that addresses hold are hidden."""
    shown = _USERINFO.sub(lambda found: f"{found[1] or found[2]}***", text)
    return _SECRET.sub(r"\1***", shown)


class UserError(Exception):
    """A user's mistake. Its text is one line that says what to do; the command line prints it and exits with 2.

    Keys in addresses are hidden in it.
    """

    def __init__(self, message: str = ""):
        """Takes the line."""
        super().__init__(without_keys(str(message)))


class Incomplete(UserError):
    """A policy could not go on; what it had sampled until then is not lost."""

    def __init__(self, message: str, sampled: Sequence[Sequence[Completion | None]]):
        """Takes what to say, and the completions asked for, None for those that are missing."""
        super().__init__(message)
        self.sampled = sampled

    @property
    def ending(self) -> BaseException:
        """What to raise once the samples are stored: this, or the interrupt (Ctrl-C, say) that it arose from."""
        return self.__cause__ if isinstance(self.__cause__, KeyboardInterrupt) else self


class Refused(Exception):
    """A policy will never answer this prompt, say for a content filter: no fault, and no use in asking again."""
