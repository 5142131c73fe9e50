"""The parts of generated problems, `train` and `held_out`, and `distinct`, which collects the problems of a part.

A generator of this package draws one problem at a time:

    def problems(size: int = 500, seed: int = 0, part: str = "train", words: int = 5) -> Iterator[Problem]:
        def draw(rng: random.Random) -> Draft:
            return Draft(prompt, answer)

        return distinct("generate:tenfold.envs.generators.strings:problems", draw, size, seed, part)
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ...core import Message, Problem, UserError

HELD_OUT_SHARE = 10
"""One in this many prompts is in `part=held_out`. A hash of the text decides, independent of the seed. Our choice."""
MAX_REPEATS = 5_000
"""Give up if this many consecutive draws yield only repeated problems or problems of the other part. Our choice."""


def in_part(prompt: str, part: str) -> bool:
    """True if a prompt is in a part: all, train or held_out. A hash of the text decides, so that no prompt is in both parts.

    Raises:
        UserError: there is no such part.
    """
    if part not in ("all", "train", "held_out"):
        raise UserError(f"part: expected all, train or held_out, got {part!r}")
    held_out = int(hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(), 16) % HELD_OUT_SHARE == 0
    return part == "all" or held_out == (part == "held_out")


class Draft(NamedTuple):
    """A generated problem without its id."""

    prompt: str
    answer: object
    meta: Mapping[str, object] = {}
    key: str = ""
    """Text that identifies the problem if its prompt does not, as in a game whose prompt conceals what is to be found."""
    family: str = ""
    """Text that decides the part, if similar problems must be in the same part; by default the key."""


def distinct(uri: str, draw: Callable[[random.Random], Draft], size: int, seed: int, part: str) -> Iterator[Problem]:
    """Yields different problems of a part. The first problems do not depend on `size`.

    The id of a problem is the generator's name and a hash of the problem's key, so it is equal on all machines. The key also
    decides the part, unless the problem has a `family`.

    Args:
        uri: the generator's URI, generate:MODULE:FUNCTION.
        draw: returns a random problem.
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out.

    Raises:
        UserError: an argument is invalid, or there are fewer than `size` problems.
    """
    integer("size", size, 1)
    integer("seed", seed, 0)
    name = uri.split(":")[1].rpartition(".")[2]
    rng, found, repeats = random.Random(seed), set[str](), 0
    while len(found) < size:
        draft = draw(rng)
        key = draft.key or draft.prompt
        if key in found or not in_part(draft.family or key, part):
            repeats += 1
            if repeats > MAX_REPEATS:
                raise UserError(f"size={size}: with these options, part={part} has only about {len(found)} problems")
            continue
        repeats = 0
        found.add(key)
        id = f"{name}/{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        yield Problem(id, (Message(role="user", content=draft.prompt),), draft.answer, uri, draft.meta)


def choices(name: str, value: object, allowed: Iterable[str]) -> list[str]:
    """Returns an option's value as a list of names; all allowed names if it is None.

    Args:
        name: name of the option, for the error.
        value: one name, a list of names, or None.
        allowed: the accepted names.

    Raises:
        UserError: a name is not accepted, or there are none.
    """
    known = list(allowed)
    if value is None:
        return known
    chosen: list[Any] = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not chosen or not all(name in known for name in chosen):
        raise UserError(f"{name}: expected names of {', '.join(known)}, got {chosen!r:.100}")
    return chosen


def integer(name: str, value: object, least: int, most: int | None = None) -> int:
    """Returns an option's value if it is an integer in a range.

    Args:
        name: name of the option, for the error.
        value: the value.
        least: smallest accepted value.
        most: largest accepted value, if there is one.

    Raises:
        UserError: the value is not such an integer.
    """
    if type(value) is not int or value < least or (most is not None and value > most):
        bounds = f"from {least} to {most}" if most is not None else f">= {least}"
        raise UserError(f"{name}: expected an integer {bounds}, got {value!r:.100}")
    return value
