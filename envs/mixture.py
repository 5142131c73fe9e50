"""An environment that combines several environments.

tenfold.register("lab/All-v0", entry_point="tenfold.envs.mixture:Mixture", environments=["tenfold/GSM8K-v0", "lab/Code-v0"])
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, overload

import gymnasium
import numpy as np

from ..core import UserError, Verdict
from ..policies.play.games import count_problems
from . import registry
from .problems.parts import integer
from .text import SupportsScoreGroup, Text, problem_index


def declarations(environments: object) -> list[dict[str, Any]]:
    """Returns the environments of a mixture, each as {"id": ..., and keyword arguments}.

    Raises:
        UserError: there are none, or one of them has another form.
    """
    listed = environments if isinstance(environments, list | tuple) else ()
    parts = [{"id": part} if isinstance(part, str) else part for part in listed]
    if not parts or not all(isinstance(part, Mapping) and isinstance(part.get("id"), str) for part in parts):
        raise UserError(f"environments: expected a list of ids or of {{id: ID, ARGUMENT: VALUE}}, got {environments!r:.100}")
    return [dict(part) for part in parts]


class Places(Sequence[tuple[int, int]]):
    """The environment of each problem, and the problem's index in it. Arrays, because there may be millions."""

    def __init__(self, environments: "array[int]", indices: "array[int]"):
        """Takes the environments and the indices of all problems."""
        self.environments, self.indices = environments, indices

    def __len__(self) -> int:
        """Returns the number of problems."""
        return len(self.environments)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> "Places": ...
    def __getitem__(self, index: int | slice) -> "tuple[int, int] | Places":
        """Returns one place, or some of them."""
        if isinstance(index, slice):
            return Places(self.environments[index], self.indices[index])
        return self.environments[index], self.indices[index]


def interleaved(sizes: Sequence[int]) -> Places:
    """Returns the first problem of each environment, then the second of each, and so on.

    Args:
        sizes: number of problems of each environment.
    """
    environments, indices, start = array("i"), array("q"), 0
    for stop in sorted({*sizes}):  # from `start` to `stop`, the same environments have problems
        having = [number for number, size in enumerate(sizes) if size > start]
        environments.extend(array("i", having) * (stop - start))
        indices.frombytes(np.repeat(np.arange(start, stop, dtype=np.int64), len(having)).tobytes())
        start = stop
    return Places(environments, indices)


class Mixture(gymnasium.Env[str, str]):
    """Contains the first problem of each environment, then the second of each, and so on."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(self, environments: Sequence[str | Mapping[str, object]], per_environment: int | None = None):
        """Creates the environments.

        Args:
            environments: ids, or {"id": ..., and keyword arguments of that environment}.
            per_environment: maximum number of problems from each environment; default: all.

        Raises:
            UserError: an environment cannot be created, or does not report its number of problems; or an argument is invalid.
        """
        if per_environment is not None:
            integer("per_environment", per_environment, 1)
        declared = declarations(environments)
        self.parts = [registry.make(**declaration) for declaration in declared]
        sizes = []
        for declaration, part in zip(declared, self.parts, strict=True):
            if (count := count_problems(part, per_environment)) is None:
                raise UserError(f"{declaration['id']} has no attribute `problems`: only environments with one can be mixed")
            sizes.append(count)
        self.problems = interleaved(sizes)
        """The environment of each problem, and the problem's index in it."""
        self.levels = self.problems.environments.tolist()
        """The index of each problem's environment. A filter with `raise_level_above` takes it as the problem's level."""
        ids = [str(declaration["id"]).rpartition(":")[2] for declaration in declared]
        self.names = [id if ids.count(id) == 1 else f"{id}#{number}" for number, id in enumerate(ids)]
        """The name of each environment: its id, with a number if several have that id. Its problem ids start with the name."""
        self.observation_space = self.action_space = Text()
        self.playing: gymnasium.Env[str, str] | None = None
        self.problem_id = ""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses problem `options["problem"]`; without this option, a random one."""
        super().reset(seed=seed)
        index = problem_index(options, self.problems, self.np_random)
        part, own = self.problems[index]
        self.playing = self.parts[part]
        text, info = self.playing.reset(seed=seed, options={"problem": own})
        self.problem_id = f"{self.names[part]}/{info.get('problem_id', own)}"
        return text, {**info, "problem_id": self.problem_id, "index": index}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Returns the step of the environment of the current problem."""
        if self.playing is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        text, reward, terminated, truncated, info = self.playing.step(action)
        return text, float(reward), terminated, truncated, {**info, "problem_id": self.problem_id}

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Returns verdicts on all responses to a problem if its environment judges groups, else None."""
        part, own = self.problems[index]
        judge = self.parts[part].unwrapped
        return judge.score_group(own, responses) if isinstance(judge, SupportsScoreGroup) else None

    def close(self) -> None:
        """Closes all environments."""
        for part in self.parts:
            part.close()
