"""Two scripted policies for the benchmark: functions of the conversation and the seed of the sample."""

import random
import re

from tenfold.core import Conversation


def often_incorrect(conversation: Conversation, seed: int) -> str:
    """Adds the hours. In half of the samples it does not wrap the hour around after 12."""
    now, hours = _numbers(conversation)
    total = now + hours
    return f"The answer is {total if random.Random(seed).random() < 0.5 else (total - 1) % 12 + 1}."


def seldom_incorrect(conversation: Conversation, seed: int) -> str:
    """Adds the hours correctly, except for an error of one hour in a tenth of the samples."""
    now, hours = _numbers(conversation)
    error = random.Random(seed).random() < 0.1
    return f"The answer is {(now + hours - 1 + error) % 12 + 1}."


def _numbers(conversation: Conversation) -> tuple[int, int]:
    """Returns the hour that the clock shows, and the hours to add."""
    _, now, hours = map(int, re.findall(r"\d+", conversation[-1]["content"]))
    return now, hours
