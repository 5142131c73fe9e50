"""A policy that says what it is told to: for tests, and to try an environment by hand."""

from collections.abc import Callable, Sequence

from ..core import Completion, Conversation, Sampling, sample_seed, without_surrogates


class ScriptedPolicy:
    """Answers by a function of the conversation and the sample's seed, or always with the same text."""

    def __init__(self, answer: str | Callable[[Conversation, int], str], batch_size: int = 64):
        """Answers with `answer`, or with `answer(conversation, seed)`; `batch_size` conversations are played together."""
        self.answer, self.batch_size = answer, batch_size

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. A word counts as a token."""
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        return [
            [self._say(conversation, sample_seed(sampling.seed, key, sample), sampling) for sample in range(samples)]
            for conversation, key in zip(conversations, keys, strict=True)
        ]

    def _say(self, conversation: Conversation, seed: int, sampling: Sampling) -> Completion:
        text = self.answer if isinstance(self.answer, str) else self.answer(conversation, seed)
        text = without_surrogates(text)
        words = text.split()
        if len(words) > sampling.max_tokens:
            return Completion(" ".join(words[: sampling.max_tokens]), "length", tuple(range(sampling.max_tokens)))
        return Completion(text, "stop", tuple(range(len(words))))
