"""Nim against a perfect opponent: who takes the last object wins.

The player to move can force a win unless the binary exclusive or of the pile sizes is 0 (Bouton, 1901). The policy moves first
and each start can be won, but after one mistake the opponent wins.
"""

import functools
import operator
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from ...core import Problem, UserError
from ..problems.parts import Draft, distinct, integer
from .game import Reply, TextGame

URI = "generate:tenfold.envs.games.nim:problems"
NAMES = "ABCDEFGH"
_MOVE = re.compile(r"(?:take |from |pile )?([A-H])[ :,-]{0,3}([0-9]{1,2})", re.IGNORECASE)


def problems(
    size: int = 200,
    seed: int = 0,
    part: str = "train",
    min_piles: int = 3,
    max_piles: int = 4,
    max_objects: int = 7,
    extra_turns: int = 2,
) -> Iterator[Problem]:
    """Yields problems. Starts with the same pile sizes in another order are the same problem.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        min_piles: smallest number of piles.
        max_piles: largest number of piles.
        max_objects: largest number of objects in a pile.
        extra_turns: turns beyond those of the longest possible game.
    """
    integer("max_piles", max_piles, integer("min_piles", min_piles, 1), len(NAMES))
    integer("max_objects", max_objects, 1, 99)
    integer("extra_turns", extra_turns, 0)
    if max_objects == 1 and not any(piles % 2 for piles in range(min_piles, max_piles + 1)):
        raise UserError("no start of these piles can be won; use a larger max_objects")

    def draw(rng: random.Random) -> Draft:
        piles = [0]
        while not nim_sum(piles):
            piles = [rng.randint(1, max_objects) for _ in range(rng.randint(min_piles, max_piles))]
        turns = (sum(piles) + 1) // 2 + extra_turns
        prompt = (
            f"We play Nim with these piles: {described(piles)}. We move in turns, and you begin. A move takes one or more "
            "objects from one pile. Who takes the last object wins. In each turn, reply with one move in \\boxed{}: the pile "
            "and the number of objects that you take, for example \\boxed{A 1}. A reply that is not a legal move uses up a "
            f"turn, and you have at most {turns} turns."
        )
        return Draft(prompt, {"piles": piles, "turns": turns}, key=f"{sorted(piles)} in {turns}")

    return distinct(URI, draw, size, seed, part)


def nim_sum(piles: Sequence[int]) -> int:
    """Returns the binary exclusive or of the pile sizes."""
    return functools.reduce(operator.xor, piles, 0)


def perfect_move(piles: Sequence[int]) -> tuple[int, int]:
    """Returns a pile and how many objects to take: a winning move if there is one, else 1 from the largest pile."""
    total = nim_sum(piles)
    for index, pile in enumerate(piles):
        if pile ^ total < pile:
            return index, pile - (pile ^ total)
    return piles.index(max(piles)), 1


def described(piles: Sequence[int]) -> str:
    """Returns the piles as text, for example "A has 3, B has 5"."""
    return ", ".join(f"{name} has {pile}" for name, pile in zip(NAMES, piles, strict=False))


class Nim(TextGame):
    """The game; see the module's docstring."""

    def start(self, problem: Problem) -> None:
        """See `TextGame.start`."""
        self.piles = [*cast(Mapping[str, Sequence[int]], problem.answer)["piles"]]

    def play(self, move: str) -> Reply:
        """See `TextGame.play`."""
        found = _MOVE.fullmatch(move)
        pile = NAMES.index(found[1].upper()) if found else len(NAMES)
        taken = int(found[2]) if found else 0
        if pile >= len(self.piles) or not 1 <= taken <= self.piles[pile]:
            text = f"Reply with a pile and a number in \\boxed{{}}, for example \\boxed{{A 1}}. Now {described(self.piles)}."
            return Reply(text, is_legal=False)
        self.piles[pile] -= taken
        if not any(self.piles):
            return Reply("You take the last object and win.", 1.0)
        other, count = perfect_move(self.piles)
        self.piles[other] -= count
        if not any(self.piles):
            return Reply(f"I take {count} from {NAMES[other]} and win.", 0.0)
        return Reply(f"I take {count} from {NAMES[other]}. Now {described(self.piles)}.")

    def gold_move(self) -> str:
        """Returns a winning move."""
        pile, count = perfect_move(self.piles)
        return f"\\boxed{{{NAMES[pile]} {count}}}"
