"""Scripted policies: functions of the conversation and the seed of the sample."""

import random
import re

from tenfold.core import Conversation


def bisect(conversation: Conversation, seed: int) -> str:
    """Guesses the middle of the remaining numbers."""
    low, high = _remaining(conversation)
    return f"I guess {(low + high) // 2}."


def guess_at_random(conversation: Conversation, seed: int) -> str:
    """Guesses a random remaining number."""
    return f"I guess {random.Random(seed).randint(*_remaining(conversation))}."


def _remaining(conversation: Conversation) -> tuple[int, int]:
    """Returns the smallest and the largest number that the rules and the replies so far allow."""
    replies = " ".join(turn["content"] for turn in conversation if turn["role"] == "user")
    largest = int(re.findall(r"from 1 to (\d+)", replies)[0])
    low = max((int(number) + 1 for number in re.findall(r"(\d+) is too low", replies)), default=1)
    high = min((int(number) - 1 for number in re.findall(r"(\d+) is too high", replies)), default=largest)
    return low, high
