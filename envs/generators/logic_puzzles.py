"""Logic puzzles with exactly one solution: knights and knaves, and orders of houses.

Each puzzle is solved by going through all assignments, so its solution is proved to be unique.
"""

import functools
import itertools
import math
import operator
import random
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from ...core import Problem, UserError
from ..problems.parts import Draft, choices, distinct, integer

URI = "generate:tenfold.envs.generators.logic_puzzles:problems"
KINDS = ("knights", "houses")
PEOPLE = "Ada Ben Clara David Emma Felix Grace Henry".split()
ATTRIBUTES = {
    "pet": "cat dog bird fish horse hamster".split(),
    "drink": "tea milk water juice coffee cocoa".split(),
    "fruit": "apple banana cherry grape lemon mango".split(),
}
"""The attributes of houses. The first is asked for."""
MAX_TRIES = 1_000
"""Number of random sets of statements that are tried. A set is used if it has exactly one solution, with at least one knight.
Our choice."""

MAX_ORDERS = 15_000
"""Largest number of orders of houses that are gone through. Our choice."""

Assignment = tuple[bool, ...]
"""For each person True for a knight."""
Statement = tuple[str, Callable[[Assignment], bool]]
"""The words of a statement, and whether it is true under an assignment."""
Orders = int
"""A set of orders of houses: bit i is set if it contains order number i."""


class Clue(NamedTuple):
    """A clue about one or two values, which are numbered: those of the first attribute, then those of the others."""

    words: str
    """The text, with `{}` for each value."""
    values: tuple[int, ...]
    orders: Orders
    """The orders in which the clue is true."""
    is_symmetric: bool = False
    """True if the clue means the same with its two values exchanged. Only one of these two clues is used."""


def problems(
    size: int = 500,
    seed: int = 0,
    part: str = "train",
    kinds: Sequence[str] = KINDS,
    min_people: int = 3,
    max_people: int = 5,
    min_houses: int = 3,
    max_houses: int = 4,
    attributes: int = 2,
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        kinds: "knights" (knights and knaves), "houses" (order of houses), or both.
        min_people: smallest number of people of a puzzle with knights.
        max_people: largest number of people.
        min_houses: smallest number of houses.
        max_houses: largest number of houses.
        attributes: number of attributes of a house.
    """
    kinds = choices("kinds", kinds, KINDS)
    integer("max_people", max_people, integer("min_people", min_people, 3), len(PEOPLE))
    integer("max_houses", max_houses, integer("min_houses", min_houses, 2), 5)
    integer("attributes", attributes, 1, len(ATTRIBUTES))
    if math.factorial(max_houses) ** attributes > MAX_ORDERS:
        raise UserError(f"max_houses={max_houses}, attributes={attributes}: too many orders to go through; lower one of them")

    def draw(rng: random.Random) -> Draft:
        if rng.choice(kinds) == "knights":
            return _knights(rng, rng.randint(min_people, max_people))
        return _houses(rng, rng.randint(min_houses, max_houses), attributes)

    return distinct(URI, draw, size, seed, part)


def knight_solutions(statements: Sequence[Statement]) -> list[Assignment]:
    """Returns all assignments in which exactly the statements of knights are true. Person i makes statement i."""
    return [
        assignment
        for assignment in itertools.product((True, False), repeat=len(statements))
        if all(is_true(assignment) == knight for (_, is_true), knight in zip(statements, assignment, strict=True))
    ]


def _knights(rng: random.Random, people: int) -> Draft:
    names = rng.sample(PEOPLE, people)
    for _ in range(MAX_TRIES):
        statements = [_statement(rng, names, speaker) for speaker in range(people)]
        solutions = knight_solutions(statements)
        if len(solutions) == 1 and any(solutions[0]):
            break
    else:
        raise UserError(
            f"found no puzzle of {people} people with one solution and a knight in {MAX_TRIES} tries; use another seed"
        )
    said = "\n".join(f"{name}: {words}" for name, (words, _) in zip(names, statements, strict=True))
    prompt = (
        f"On an island, knights always tell the truth and knaves always lie. "
        f"{', '.join(names[:-1])} and {names[-1]} live there. "
        "Each of them is a knight or a knave. They say:\n\n"
        f"{said}\n\nWho are the knights? Give their names in alphabetical order, separated by commas."
    )
    answer = ", ".join(sorted(name for name, knight in zip(names, solutions[0], strict=True) if knight))
    return Draft(prompt, answer, {"kind": "knights"})


def _statement(rng: random.Random, names: Sequence[str], speaker: int) -> Statement:
    first, second = rng.sample([one for one in range(len(names)) if one != speaker], 2)
    match rng.randrange(6):
        case 0:
            return f"{names[first]} is a knight.", lambda who: who[first]
        case 1:
            return f"{names[first]} is a knave.", lambda who: not who[first]
        case 2:
            return f"{names[first]} and I are both knights or both knaves.", lambda who: who[first] == who[speaker]
        case 3:
            return (
                f"At least one of {names[first]} and {names[second]} is a knave.",
                lambda who: not (who[first] and who[second]),
            )
        case 4:
            return (
                f"If {names[first]} is a knight, then {names[second]} is a knight.",
                lambda who: not who[first] or who[second],
            )
        case _:
            count = rng.randint(1, len(names) - 1)
            return (
                f"Exactly {count} of us {len(names)} {'is a knight' if count == 1 else 'are knights'}.",
                lambda who: sum(who) == count,
            )


def _houses(rng: random.Random, houses: int, attributes: int) -> Draft:
    values = [rng.sample(ATTRIBUTES[name], houses) for name in [*ATTRIBUTES][:attributes]]
    truth = {value: house for row in values for house, value in enumerate(row)}  # before the rows are shuffled
    for row in values:
        rng.shuffle(row)
    every = [value for row in values for value in row]
    where = _places(houses, attributes)
    every_order = _union(where[0])
    true_order = functools.reduce(operator.and_, (where[number][truth[value]] for number, value in enumerate(every)))
    in_order = (
        clue for clue in _clues(houses, attributes) if not clue.is_symmetric or every[clue.values[0]] < every[clue.values[1]]
    )
    clues = [clue for clue in in_order if clue.orders & true_order]
    rng.shuffle(clues)
    left, chosen = every_order, list[Clue]()
    for clue in clues:  # adds clues until one order is left
        if (fewer := left & clue.orders) != left:
            left, chosen = fewer, [*chosen, clue]
        if left.bit_count() == 1:
            break
    for clue in [*chosen]:  # removes clues that the others make superfluous
        others = [other for other in chosen if other is not clue]
        if functools.reduce(operator.and_, (other.orders for other in others), every_order).bit_count() == 1:
            chosen = others
    rng.shuffle(chosen)
    listed = "\n".join(f"- {clue.words.format(*(every[number] for number in clue.values))}" for clue in chosen)
    names = [*ATTRIBUTES][:attributes]
    choices = "\n".join(f"- {name}: {', '.join(sorted(row))}" for name, row in zip(names, values, strict=True))
    prompt = (
        f"{houses} houses stand in a row, numbered 1 to {houses} from left to right. Each has one value of each of these, and "
        f"no two houses have the same:\n\n{choices}\n\nClues:\n\n{listed}\n\nWhich {names[0]} is in which house? Give the "
        f"{names[0]} of each house from house 1 to house {houses}, separated by commas."
    )
    answer = ", ".join(sorted(values[0], key=truth.__getitem__))
    return Draft(prompt, answer, {"kind": "houses"})


@functools.cache
def _places(houses: int, attributes: int) -> list[list[Orders]]:
    """Returns, for each value and each house, the orders in which the value is in the house.

    An order gives each house one value of each attribute. Values are numbered as in `Clue`.
    """
    places = [[0] * houses for _ in range(houses * attributes)]
    for number, order in enumerate(itertools.product(itertools.permutations(range(houses)), repeat=attributes)):
        for value, house in enumerate(itertools.chain(*order)):
            places[value][house] |= 1 << number
    return places


@functools.cache
def _clues(houses: int, attributes: int) -> list[Clue]:
    """Returns all clues about numbered values, true or not."""
    where, clues = _places(houses, attributes), list[Clue]()

    def at(first: int, second: int, distances: Container[int]) -> Orders:
        """Returns the orders in which the second value's house minus the first value's house is one of the distances."""
        pairs = itertools.product(range(houses), repeat=2)
        return _union(where[first][house] & where[second][other] for house, other in pairs if other - house in distances)

    for value, house in itertools.product(range(len(where)), range(houses)):
        elsewhere = _union(where[value][:house] + where[value][house + 1 :])
        clues.append(Clue(f"The {{}} is not in house {house + 1}.", (value,), elsewhere))
        if house in (0, houses - 1):
            clues.append(Clue(f"The {{}} is in house {house + 1}.", (value,), where[value][house]))
    for pair in itertools.permutations(range(len(where)), 2):
        clues += [
            Clue("The {} is directly left of the {}.", pair, at(*pair, (1,))),
            Clue("The {} is somewhere left of the {}.", pair, at(*pair, range(1, houses))),
            Clue("The {} and the {} are in the same house.", pair, at(*pair, (0,)), True),
            Clue("The {} is next to the {}.", pair, at(*pair, (-1, 1)), True),
        ]
    return clues


def _union(sets: Iterable[Orders]) -> Orders:
    return functools.reduce(operator.or_, sets, 0)
