"""Mastermind: find a code of letters. The environment replies how many letters are right, and how many are misplaced."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from ...core import Problem
from ..problems.parts import Draft, distinct, integer
from .game import Reply, TextGame

URI = "generate:tenfold.envs.games.mastermind:problems"
LETTERS = "ABCDEFGHIJ"
_SEPARATORS = str.maketrans("", "", " ,-")


def problems(
    size: int = 500, seed: int = 0, part: str = "train", length: int = 4, letters: int = 6, turns: int = 10
) -> Iterator[Problem]:
    """Yields problems with different codes. By default there are 6**4 codes, as in the board game.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        length: number of letters of a code.
        letters: number of different letters that a code may have.
        turns: limit of turns.
    """
    integer("length", length, 1, 10)
    integer("letters", letters, 2, len(LETTERS))
    integer("turns", turns, 1)
    used = LETTERS[:letters]
    prompt = (
        f"I have chosen a code of {length} letters. Each letter is one of {', '.join(used)}, and a letter may occur several "
        f"times. Find the code with at most {turns} guesses. In each turn, reply with one guess in \\boxed{{}}, for example "
        f"\\boxed{{{(used * length)[:length]}}}. I tell you how many letters of your guess are in the right place, and how "
        "many others occur in the code in another place. A reply that is not a possible code uses up a guess."
    )

    def draw(rng: random.Random) -> Draft:
        code = "".join(rng.choices(used, k=length))
        return Draft(prompt, {"code": code, "letters": used, "turns": turns}, key=f"{code} of {used} in {turns}")

    return distinct(URI, draw, size, seed, part)


class Mastermind(TextGame):
    """The game; see the module's docstring."""

    def start(self, problem: Problem) -> None:
        """See `TextGame.start`."""
        answer = cast(Mapping[str, str], problem.answer)
        self.code, self.letters = answer["code"], answer["letters"]

    def play(self, move: str) -> Reply:
        """See `TextGame.play`."""
        guess = move.translate(_SEPARATORS).upper()
        if len(guess) != len(self.code) or not {*guess} <= {*self.letters}:
            text = f"Reply with {len(self.code)} letters from {', '.join(self.letters)} in \\boxed{{}}."
            return Reply(text, is_legal=False)
        if guess == self.code:
            return Reply(f"Correct: the code is {guess}.", 1.0)
        placed = sum(one == other for one, other in zip(guess, self.code, strict=True))
        common = (Counter(guess) & Counter(self.code)).total()
        return Reply(f"{guess}: {placed} in the right place, {common - placed} in another place.")

    def gold_move(self) -> str:
        """Returns the code."""
        return f"\\boxed{{{self.code}}}"
