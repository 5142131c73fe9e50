"""Exercises on the letters and words of a short text: count, reverse, sort, select, replace."""

import random
from collections.abc import Callable, Iterator, Sequence

from ...core import Problem
from ..problems.parts import Draft, choices, distinct, integer
from .words import WORDS

URI = "generate:tenfold.envs.generators.strings:problems"
VOWELS = "aeiou"

Exercise = tuple[str, str]
"""What to do with the words of a text, and the answer."""


def problems(
    size: int = 1000,
    seed: int = 0,
    part: str = "train",
    min_words: int = 3,
    max_words: int = 8,
    tasks: Sequence[str] | None = None,
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        min_words: smallest number of words of a text.
        max_words: largest number of words of a text.
        tasks: names of `TASKS`; by default all.
    """
    integer("max_words", max_words, integer("min_words", min_words, 2), len(WORDS))
    names = choices("tasks", tasks, TASKS)

    def draw(rng: random.Random) -> Draft:
        name = rng.choice(names)
        words = rng.sample(WORDS, rng.randint(min_words, max_words))
        instruction, answer = TASKS[name](rng, words)
        return Draft(f"{instruction}\n\n{' '.join(words)}", answer, {"task": name})

    return distinct(URI, draw, size, seed, part)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"


def _count_letter(rng: random.Random, words: Sequence[str]) -> Exercise:
    letter = rng.choice(rng.choice(words))
    return f'How many times does the letter "{letter}" occur in this text?', str("".join(words).count(letter))


def _count_vowels(rng: random.Random, words: Sequence[str]) -> Exercise:
    count = sum(letter in VOWELS for word in words for letter in word)
    return "How many vowels (a, e, i, o, u) does this text contain?", str(count)


def _count_words_with(rng: random.Random, words: Sequence[str]) -> Exercise:
    letter = rng.choice(rng.choice(words))
    return f'How many words of this text contain the letter "{letter}"?', str(sum(letter in word for word in words))


def _count_letters(rng: random.Random, words: Sequence[str]) -> Exercise:
    return "How many letters does this text have, not counting spaces?", str(len("".join(words)))


def _reverse_word(rng: random.Random, words: Sequence[str]) -> Exercise:
    place = rng.randrange(len(words))
    return f"Write the letters of the {_ordinal(place + 1)} word of this text in reverse order.", words[place][::-1]


def _reverse_words(rng: random.Random, words: Sequence[str]) -> Exercise:
    return "List the words of this text in reverse order, separated by commas.", ", ".join(reversed(words))


def _nth_word(rng: random.Random, words: Sequence[str]) -> Exercise:
    place = rng.randrange(len(words))
    from_end = rng.random() < 0.5
    counted = f"{_ordinal(len(words) - place)} word from the end" if from_end else f"{_ordinal(place + 1)} word"
    return f"What is the {counted} of this text?", words[place]


def _nth_letter(rng: random.Random, words: Sequence[str]) -> Exercise:
    letters = "".join(words)
    place = rng.randrange(len(letters))
    return f"What is the {_ordinal(place + 1)} letter of this text, not counting spaces?", letters[place]


def _sort_words(rng: random.Random, words: Sequence[str]) -> Exercise:
    descending = rng.random() < 0.5
    order = "reverse alphabetical" if descending else "alphabetical"
    return f"List the words of this text in {order} order, separated by commas.", ", ".join(sorted(words, reverse=descending))


def _sort_letters(rng: random.Random, words: Sequence[str]) -> Exercise:
    place = rng.randrange(len(words))
    answer = "".join(sorted(words[place]))
    return f"Write the letters of the {_ordinal(place + 1)} word of this text in alphabetical order.", answer


def _initials(rng: random.Random, words: Sequence[str]) -> Exercise:
    place, name = rng.choice(((0, "first"), (-1, "last")))
    return f"Write the {name} letters of all words of this text as one word.", "".join(word[place] for word in words)


def _replace(rng: random.Random, words: Sequence[str]) -> Exercise:
    place = rng.randrange(len(words))
    old = rng.choice(words[place])
    new = rng.choice([letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in words[place]])
    instruction = f'Write the {_ordinal(place + 1)} word of this text with "{new}" in place of each "{old}".'
    return instruction, words[place].replace(old, new)


def _capitals(rng: random.Random, words: Sequence[str]) -> Exercise:
    answer = ", ".join(word.upper() if place % 2 else word for place, word in enumerate(words))
    return "List the words of this text, separated by commas. Write every second word in capital letters.", answer


TASKS: dict[str, Callable[[random.Random, Sequence[str]], Exercise]] = {
    "count_letter": _count_letter,
    "count_vowels": _count_vowels,
    "count_words_with": _count_words_with,
    "count_letters": _count_letters,
    "reverse_word": _reverse_word,
    "reverse_words": _reverse_words,
    "nth_word": _nth_word,
    "nth_letter": _nth_letter,
    "sort_words": _sort_words,
    "sort_letters": _sort_letters,
    "initials": _initials,
    "replace": _replace,
    "capitals": _capitals,
}
"""The exercises by name."""
