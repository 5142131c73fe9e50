"""Two scripted policies for the benchmark: functions of the conversation and of the sample's seed."""

import random
import re

from tenfold.core import Conversation


def careless(conversation: Conversation, seed: int) -> str:
    """Adds, and forgets in half of the samples that a clock begins anew."""
    now, hours = _asked(conversation)
    total = now + hours
    return f"The answer is {total if random.Random(seed).random() < 0.5 else (total - 1) % 12 + 1}."


def careful(conversation: Conversation, seed: int) -> str:
    """Is wrong by an hour in a tenth of the samples."""
    now, hours = _asked(conversation)
    slip = random.Random(seed).random() < 0.1
    return f"The answer is {(now + hours - 1 + slip) % 12 + 1}."


def _asked(conversation: Conversation) -> tuple[int, int]:
    """The hour that the clock shows, and the hours to add."""
    _, now, hours = map(int, re.findall(r"\d+", conversation[-1]["content"]))
    return now, hours
