"""Scripted policies: functions of the conversation and of the sample's seed. They show what the game is worth."""

import random
import re

from tenfold.core import Conversation


def bisect(conversation: Conversation, seed: int) -> str:
    """Halves what is left."""
    low, high = _left(conversation)
    return f"I guess {(low + high) // 2}."


def wander(conversation: Conversation, seed: int) -> str:
    """Guesses any number that is left."""
    return f"I guess {random.Random(seed).randint(*_left(conversation))}."


def _left(conversation: Conversation) -> tuple[int, int]:
    """The smallest and the largest number that the replies so far allow."""
    said = " ".join(turn["content"] for turn in conversation if turn["role"] == "user")
    low = max((int(number) + 1 for number in re.findall(r"(\d+) is too low", said)), default=1)
    high = min((int(number) - 1 for number in re.findall(r"(\d+) is too high", said)), default=100)
    return low, high
