"""Trains a tokenizer on texts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MICRO_TEXT = """State the final answer to the following arithmetic problem. Calculate the sum of these numbers.
Calculate the value of the expression and give the result. What is the answer to this question?
How many are there in all? Solve the following problem step by step, then give your final answer.
The answer is the number that remains. Let x be the number of items; then find x. Therefore the result follows.
"""
"""Training text of the tokenizer of `micro:`: words of short arithmetic problems."""

MICRO_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def learned_tokenizer(texts: Iterable[str], vocabulary: int, chat_template: str | None = None) -> "PreTrainedTokenizerBase":
    """Trains a byte-level BPE tokenizer in which each digit and each turn mark is a token.

    Args:
        texts: training texts.
        vocabulary: maximum number of tokens; a smaller number than 262 (256 bytes and 6 special tokens) counts as 262.
        chat_template: Jinja template of turns; None for a base model.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=special[2:],
        chat_template=chat_template,
        padding_side="left",
    )
