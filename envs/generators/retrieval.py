"""Long texts in which a few sentences state facts, and a question about some of the facts.

The rest of the text consists of sentences about other things. Facts about other objects have the same form as those that are
asked for.
"""

import random
from collections.abc import Iterator

from ...core import Problem
from ..problems.parts import Draft, distinct, integer
from .words import WORDS

URI = "generate:tenfold.envs.generators.retrieval:problems"
COLOURS = "red blue green black white grey brown orange purple yellow".split()
VERBS = "carried painted repaired borrowed described measured followed counted ordered collected admired forgot".split()
PLACES = "near the station, in the old town, behind the mill, beside the road, at the harbour, on the hill".split(", ")
TIMES = "in the morning, after lunch, before sunset, on Monday, last winter, every spring".split(", ")
MAX_CHARACTERS = 500_000
"""Largest length of a text. Our choice: half of the largest observation."""


def problems(
    size: int = 200,
    seed: int = 0,
    part: str = "train",
    characters: int = 4_000,
    facts: int = 8,
    asked: int = 1,
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        characters: length of a text, at least. A text ends with a whole sentence.
        facts: number of sentences that state the code of an object.
        asked: number of objects whose code is asked for.
    """
    integer("characters", characters, 200, MAX_CHARACTERS)
    integer("facts", facts, integer("asked", asked, 1, 100), 100)

    def draw(rng: random.Random) -> Draft:
        objects: dict[str, int] = {}
        while len(objects) < facts:
            objects[f"{rng.choice(COLOURS)} {rng.choice(WORDS)}"] = rng.randint(10_000, 99_999)
        stated = [f"The code of the {name} is {code}." for name, code in objects.items()]
        fillers, length = list[str](), sum(map(len, stated)) + len(stated) - 1
        while length < characters:
            fillers.append(_filler(rng))
            length += len(fillers[-1]) + 1
        sentences = _mixed(rng, stated, fillers)
        names = rng.sample([*objects], asked)
        question = (
            f"What is the code of the {names[0]}?"
            if asked == 1
            else f"What are the codes of these objects: {', '.join(names)}? Give the codes in this order, separated by commas."
        )
        prompt = f"Read this text.\n\n{' '.join(sentences)}\n\n{question}"
        return Draft(prompt, ", ".join(str(objects[name]) for name in names))

    return distinct(URI, draw, size, seed, part)


def _mixed(rng: random.Random, stated: list[str], fillers: list[str]) -> list[str]:
    """Returns the sentences of a text: the facts in random places, in their order, between the others in their order."""
    places = {*rng.sample(range(len(stated) + len(fillers)), len(stated))}
    facts, others = iter(stated), iter(fillers)
    return [next(facts if place in places else others) for place in range(len(stated) + len(fillers))]


def _filler(rng: random.Random) -> str:
    first, second = rng.sample(WORDS, 2)
    return f"The {first} {rng.choice(VERBS)} the {rng.choice(COLOURS)} {second} {rng.choice(PLACES)} {rng.choice(TIMES)}."
