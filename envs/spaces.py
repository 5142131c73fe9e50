"""`Text`: the space of all strings, and `TextSpaces`, the wrapper that gives it to any text environment.

Gymnasium's own text space contains only strings of the characters that it lists (letters and digits by default). The prompts
and responses of language models contain other characters, too. Therefore `make` and `register` replace such spaces by `Text`.
"""

import ctypes
import string
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from ..core import UserError

MAX_CHARACTERS = 1_000_000
"""Largest number of characters of an observation or an action. Our choice."""


class Text(spaces.Text):
    """The space of all strings up to a length."""

    def __init__(self, max_length: int = MAX_CHARACTERS, seed: int | np.random.Generator | None = None):
        super().__init__(max_length, min_length=0, charset=string.ascii_letters + string.digits + " .,+-=\n", seed=seed)

    def contains(self, x: object) -> bool:
        """True if x is a string of an allowed length."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: object = None, probability: object = None) -> str:
        """Returns a short random string of ASCII characters."""
        return super().sample(mask=(int(self.np_random.integers(1, min(32, self.max_length) + 1)), None))


class TextSpaces(gymnasium.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Replaces the text spaces of an environment by `Text` if they do not contain all strings."""

    def __init__(self, env: "gymnasium.Env[str, str]"):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        widen(env)


def widen(env: "gymnasium.Env[str, str]") -> None:
    """Replaces text spaces by `Text`, with a warning, if they do not contain all strings.

    Raises:
        UserError: observations or actions are not text.
    """
    inner = env.unwrapped
    name = inner.spec.id if inner.spec else type(inner).__name__
    narrow = []
    for attribute, what in (("observation_space", "observations"), ("action_space", "actions")):
        owner = _owner(env, attribute)
        space = getattr(owner, attribute, None)
        if not isinstance(space, spaces.Text):
            raise UserError(
                f"{name}: its {what} are not text but {space}; use tenfold.envs.text.Text() as its {attribute}, and convert in "
                f"{'reset() and step()' if what == 'observations' else 'step()'}"
            )
        if not isinstance(space, Text):
            setattr(owner, attribute, Text())
            narrow.append(attribute)
    if narrow:
        warnings.warn(
            f"{name}: {' and '.join(narrow)} did not contain all text and {'is' if len(narrow) == 1 else 'are'} widened; "
            "tenfold.envs.text.Text() contains all text",
            stacklevel=2,
        )


def _owner(env: "gymnasium.Env[str, str]", attribute: str) -> "gymnasium.Env[str, str]":
    """Returns the outermost wrapper with a space of its own, such as one that converts observations, else the environment."""
    while isinstance(env, gymnasium.Wrapper) and getattr(env, f"_{attribute}") is None:
        env = env.env
    return env


# `AsyncVectorEnv` has its processes write observations to shared memory. For each environment this memory has the number of
# characters, then the characters as code points.


@create_shared_memory.register(Text)
def _create(space: Text, n: int, ctx: ModuleType) -> Any:
    return ctx.Array(ctypes.c_uint32, n * (space.max_length + 1))


class _SharedTexts(Sequence[str]):
    """The observations in shared memory. A copy is a tuple of strings."""

    def __init__(self, rows: "np.ndarray[tuple[int, int], np.dtype[np.uint32]]"):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        row = self.rows[index]
        return row[1 : 1 + row[0]].tobytes().decode("utf-32-le", "surrogatepass")

    def __deepcopy__(self, memo: object) -> tuple[str, ...]:
        return tuple(self)


@read_from_shared_memory.register(Text)
def _read(space: Text, shared_memory: Any, n: int = 1) -> _SharedTexts:
    """Returns a view, because `AsyncVectorEnv` calls this function once and expects the values to change with the memory."""
    return _SharedTexts(np.frombuffer(shared_memory.get_obj(), dtype=np.uint32).reshape(n, space.max_length + 1))


@write_to_shared_memory.register(Text)
def _write(space: Text, index: int, values: str, shared_memory: Any) -> None:
    characters = np.frombuffer(values.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    row = np.frombuffer(shared_memory.get_obj(), dtype=np.uint32).reshape(-1, space.max_length + 1)[index]
    row[0] = len(characters)
    row[1 : 1 + len(characters)] = characters
