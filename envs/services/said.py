"""Whether a response says a text: a number, a time of day, or words."""

import re

_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMBERS = {**{word: number for number, word in enumerate(_WORDS)}, "no": 0, "none": 0, "nothing": 0}
"""Numbers that are often written in words."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_TIME = re.compile(r"(?<![\d:])(\d{1,2})(?::(\d{2}))?(?!\d|:\d)\s*([ap]m\b|[ap]\.m\.)?")
_TIME_OF_DAY = re.compile(r"\d{2}:\d{2}")


def says(response: str, text: str) -> bool:
    """Returns whether a response contains a text, in upper or lower case, as whole words.

    A whole number may also have a unit or decimals that are 0, or be a word ("no", "two"). A time such as 14:30 may also be
    2:30 pm.

    Args:
        response: the response without its reasoning.
        text: the text.
    """
    said, wanted = _plain(response), _plain(text).rstrip(".!")
    if wanted.isdigit():
        return any(float(number) == int(wanted) for number in _NUMBER.findall(said)) or any(
            _NUMBERS.get(word) == int(wanted) for word in re.findall(r"[a-z]+", said)
        )
    if _TIME_OF_DAY.fullmatch(wanted):
        hour, minute = wanted.split(":")
        return any(_minutes(*found) == _minutes(hour, minute) for found in _TIME.findall(said))
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", said) is not None


def _plain(text: str) -> str:
    """Returns a text without typesetting: emphasis, curly quotes, separators of thousands, several spaces."""
    text = re.sub(r"[*_`]", "", text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}))
    return " ".join(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).casefold().split())


def _minutes(hour: str, minute: str, half: str = "") -> int:
    """Returns a time of day in minutes.

    Args:
        hour: the hour.
        minute: the minute, or empty.
        half: am, pm or empty.
    """
    hours = int(hour) % 12 + 12 * half.startswith("p") if half else int(hour)
    return 60 * hours + int(minute or 0)
