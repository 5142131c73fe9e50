"""Guess a number: the environment replies whether the number is higher or lower.

Halving the range in each turn needs the fewest turns. The default limit is that number of turns.
"""

import random
import re
from collections.abc import Iterator, Mapping
from typing import cast

from ...core import Problem
from ..problems.parts import Draft, distinct, integer
from .game import Reply, TextGame

URI = "generate:tenfold.envs.games.guess_number:problems"
MAX_START = 1_000
"""Largest start of a range. Our choice."""
_NUMBER = re.compile(r"[0-9]{1,9}")


def problems(
    size: int = 500, seed: int = 0, part: str = "train", numbers: int = 100, turns: int | None = None
) -> Iterator[Problem]:
    """Yields problems, each with another range or another number.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        numbers: size of the range.
        turns: limit of turns; by default as many as halving the range needs.
    """
    integer("numbers", numbers, 2, 10**6)
    limit = integer("turns", numbers.bit_length() if turns is None else turns, 1)

    def draw(rng: random.Random) -> Draft:
        low = rng.randint(1, MAX_START)
        high, number = low + numbers - 1, rng.randrange(low, low + numbers)
        prompt = (
            f"I have chosen an integer from {low} to {high}. Find it with at most {limit} guesses. In each turn, reply with "
            "one guess in \\boxed{}. I tell you whether my number is higher or lower than your guess. A reply that is not an "
            "integer of this range uses up a guess."
        )
        answer = {"low": low, "high": high, "number": number, "turns": limit}
        return Draft(prompt, answer, key=f"{number} of {low} to {high} in {limit}")

    return distinct(URI, draw, size, seed, part)


class GuessNumber(TextGame):
    """The game; see the module's docstring."""

    def start(self, problem: Problem) -> None:
        """See `TextGame.start`."""
        answer = cast(Mapping[str, int], problem.answer)
        self.low, self.high, self.number = answer["low"], answer["high"], answer["number"]
        self.still = (self.low, self.high)
        """The range in which the number can still be."""

    def play(self, move: str) -> Reply:
        """See `TextGame.play`."""
        guess = int(move) if _NUMBER.fullmatch(move) else 0
        if not self.low <= guess <= self.high:
            return Reply(f"Reply with one integer from {self.low} to {self.high} in \\boxed{{}}.", is_legal=False)
        if guess == self.number:
            return Reply(f"Correct: my number is {guess}.", 1.0)
        if guess < self.number:
            self.still = (max(self.still[0], guess + 1), self.still[1])
            return Reply(f"My number is higher than {guess}.")
        self.still = (self.still[0], min(self.still[1], guess - 1))
        return Reply(f"My number is lower than {guess}.")

    def gold_move(self) -> str:
        """Returns the middle of the range in which the number can still be. If too few turns are left, returns the number."""
        low, high = self.still
        is_enough = (high - low + 1).bit_length() <= self.limit - self.turns
        return f"\\boxed{{{(low + high) // 2 if is_enough else self.number}}}"
