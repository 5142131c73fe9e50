"""Twenty questions about a list of objects: which of them has the environment chosen?

The prompt lists the objects with their properties. A question names a property, and the environment replies yes or no.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ...core import Problem
from ..problems.parts import Draft, distinct, integer
from .game import Reply, TextGame

URI = "generate:tenfold.envs.games.twenty_questions:problems"
PROPERTIES = (
    ("small", "large", "tiny"),
    ("red", "blue", "green", "black"),
    ("wooden", "metal", "glass", "paper"),
    ("cube", "ball", "cone", "ring"),
)
"""The values of each property of an object."""
OBJECTS = tuple(itertools.product(*PROPERTIES))


def problems(size: int = 500, seed: int = 0, part: str = "train", objects: int = 16, turns: int = 8) -> Iterator[Problem]:
    """Yields problems with different objects.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        objects: number of objects in the list.
        turns: limit of turns, the one that names the object included.
    """
    integer("objects", objects, 2, len(OBJECTS))
    integer("turns", turns, 1)
    asked = ", ".join(itertools.chain(*PROPERTIES))

    def draw(rng: random.Random) -> Draft:
        listed = rng.sample(OBJECTS, objects)
        number = rng.randint(1, objects)
        lines = "\n".join(f"{place}. {' '.join(one)}" for place, one in enumerate(listed, start=1))
        prompt = (
            f"I have chosen one of these objects:\n\n{lines}\n\nFind it in at most {turns} turns. In each turn, reply with one "
            f"property in \\boxed{{}} ({asked}), and I tell you whether my object has it. To name my object, reply with its "
            "number in \\boxed{}. A wrong number and any other reply use up a turn."
        )
        answer = {"objects": [*map(list, listed)], "number": number, "turns": turns}
        return Draft(prompt, answer, key=f"{number} of {listed} in {turns}")

    return distinct(URI, draw, size, seed, part)


class TwentyQuestions(TextGame):
    """The game; see the module's docstring."""

    def start(self, problem: Problem) -> None:
        """See `TextGame.start`."""
        answer = cast(Mapping[str, Any], problem.answer)
        self.objects: Sequence[Sequence[str]] = answer["objects"]
        self.number = str(answer["number"])

    def play(self, move: str) -> Reply:
        """See `TextGame.play`."""
        asked, chosen = move.lower().rstrip(".?"), self.objects[int(self.number) - 1]
        if asked == self.number:
            return Reply(f"Correct: my object is number {asked}.", 1.0)
        if asked in (str(place) for place in range(1, len(self.objects) + 1)):
            return Reply(f"My object is not number {asked}.")
        if asked not in itertools.chain(*PROPERTIES):
            return Reply("Reply with one property or with the number of an object in \\boxed{}.", is_legal=False)
        return Reply(f"{asked}: {'yes' if asked in chosen else 'no'}.")

    def gold_move(self) -> str:
        """Returns the number of the object."""
        return f"\\boxed{{{self.number}}}"
