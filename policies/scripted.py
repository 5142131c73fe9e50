"""A policy with given responses, for tests and for trying out an environment."""

import re
from collections.abc import Callable, Sequence

from ..core import Completion, Conversation, Sampling, UserError, sample_seed
from ..texts import without_surrogates


class ScriptedPolicy:
    """Responds with a fixed text, or with a function of the conversation and the seed."""

    def __init__(self, answer: str | Callable[[Conversation, int], str], batch_size: int = 64):
        """Sets the response: a text, or a function `answer(conversation, seed)`."""
        self.answer, self.batch_size = answer, batch_size

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`. Each word counts as a token.

        Args:
            conversations: see `Policy.generate`.
            samples: see `Policy.generate`.
            sampling: only the seed and the token limit are used.
            keys: see `Policy.generate`.
        """
        keys = keys or [repr(list(conversation)) for conversation in conversations]
        return [
            [self.respond(conversation, sample_seed(sampling.seed, key, sample), sampling) for sample in range(samples)]
            for conversation, key in zip(conversations, keys, strict=True)
        ]

    def respond(self, conversation: Conversation, seed: int, sampling: Sampling) -> Completion:
        """Returns the response to a conversation.

        Args:
            conversation: the prompt.
            seed: the seed of the sample.
            sampling: only the token limit is used.
        """
        text = self.answer if isinstance(self.answer, str) else self.answer(conversation, seed)
        if not isinstance(text, str):
            raise UserError(f"the function of a policy must return text, got {text!r:.80}")
        text = without_surrogates(text)
        words = [*re.finditer(r"\S+", text)]
        if len(words) > sampling.max_tokens:
            return Completion(text[: words[sampling.max_tokens].start()].rstrip(), "length", tuple(range(sampling.max_tokens)))
        return Completion(text, "stop", tuple(range(len(words))))
