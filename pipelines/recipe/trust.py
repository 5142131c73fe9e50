"""What of a recipe runs code that is not this package's, and whether its user has said that it may.

A recipe is data, but for these doors:

    modules:        modules that are imported, and whose functions and classes the recipe may name
    verl:           settings of verl's that may name code, files or addresses: all but numbers and plain words
    ray_address     of `cluster:`, where it is another machine's: Ray's processes trust one another with code

Installed packages are no doors: who installed one that adds environments (`gymnasium.envs`) or kinds of stages
(`tenfold.stages`) has trusted it. A recipe may use those environments and kinds, and they what they name themselves.

A recipe with one of the doors runs when its user trusts it: `tenfold run --trust`, "yes" to the question on a terminal, or
`trust=True` in Python. The first two are remembered in the user's settings, by a digest of the source texts of the modules and
of all texts of the recipe: who changes code, names or addresses asks again; who changes numbers does not.
"""

import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import digests, named_code, settings_folder
from ...core import UserError
from ...envs import registry
from ...policies.server import keys
from ...terminal import plain
from . import references

if TYPE_CHECKING:
    from .recipe import Recipe

FILE = "trusted"
"""In the folder of the user's settings: a line for each recipe that is trusted."""

_URI = re.compile(r"[A-Za-z][\w+.-]*:\S+$")
_WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}|[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?")
"""A text that is no name in a module, no path, no address and no reference to anything."""
_KEY = re.compile(r"\+{0,2}[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_LEADING = frozenset(
    "target path paths file files dir lib libs module modules custom class cls fqn function functions fn func manager plugin "
    "plugins import remote kwargs env proxy url uri addr address host ip port script command cmd exec hook hooks".split()
)
"""Words in the names of verl's settings whose values may lead to code, a file or a server, even where they are plain."""
_APART = ("ray_kwargs", "hydra")
"""What the names of settings begin with that are not verl's own."""


@contextlib.contextmanager
def limited(recipe: "Recipe", folder: Path, *, trusted: bool = False, dry: bool = False) -> Iterator[None]:
    """Makes the recipe's modules and environments known, and holds this process to what the recipe may name.

    Args:
        recipe: as its user gives it.
        folder: of the run.
        trusted: its user says that it may run code that is not this package's.
        dry: nothing that is not this package's is imported, unless it is trusted.

    Raises:
        UserError: it runs code, and nobody trusts it; or a module or an environment cannot be.
    """
    check_addresses(recipe)
    found = limits(recipe, trusted=trusted, dry=dry)
    with named_code.limited(found):
        for module in recipe.modules if found.imports else []:
            try:
                named_code.import_module(module)
            except ImportError as error:
                raise UserError(f"modules: cannot import {module!r} ({error})") from None
        with registry.recipe_environments(references.filled(recipe.environments, folder), found):
            yield


def limits(recipe: "Recipe", *, trusted: bool = False, dry: bool = False) -> named_code.Limits:
    """What a recipe may name while it runs.

    Args:
        recipe: as its user gives it.
        trusted: its user says so now.
        dry: nothing of it is to be run.

    Raises:
        UserError: it has a door to code, and nobody has said that it may.
    """
    found = doors(recipe)
    if found and not dry and not trusted and not is_remembered(recipe):
        raise UserError(
            f"the recipe {recipe.name} runs code that is not tenfold's: {'; '.join(found)}. If you trust it, run it with "
            "--trust (trust=True from Python)"
        )
    own = {*recipe.own, *registry.user_code_names()}
    imports = trusted or not dry
    here = {module for name in recipe.own if _lies_here(module := name.partition(":")[0])}
    covered = _sources([*(recipe.modules if imports else []), *here])
    folder = os.getcwd() if recipe.modules or here else ""
    modules = tuple(recipe.modules)
    return named_code.Limits(modules, tuple(sorted(own)), folder, tuple(sorted(covered)), imports=imports)


def check_addresses(recipe: "Recipe") -> None:
    """Refuses a recipe with a key in one of its addresses: what a run leaves tells all of its recipe.

    Raises:
        UserError: there is one.
    """
    for text in _texts(recipe.model_dump(mode="json", exclude={"description"})):
        if _URI.match(text):
            keys.refuse_keys_in(text)


def doors(recipe: "Recipe") -> list[str]:
    """What of a recipe may run code that is not this package's, in words; but for what its user has named himself."""
    found = [f"modules: {module}, {_file(module)}" for module in recipe.modules if "modules" not in recipe.changed]
    for stage in recipe.stages:
        given: Mapping[str, Any] = getattr(stage, "verl", {})
        found += [f"{stage.name}.verl: {name}={value!r:.60}" for name, value in given.items() if not _is_plain(name, value)]
    address = recipe.cluster.ray_address
    if address and "cluster" not in recipe.changed and not is_here(address):
        found.append(f"cluster.ray_address: {address}")
    return found


def is_remembered(recipe: "Recipe") -> bool:
    """Whether the recipe was trusted before, with all that it names and the same code."""
    try:
        known = settings_folder.path(FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return _digest(recipe) in (line.partition(" ")[0] for line in known)


def remember(recipe: "Recipe") -> None:
    """Notes down in the user's settings that the recipe is trusted.

    Raises:
        UserError: the file cannot be written.
    """
    if not doors(recipe) or is_remembered(recipe):
        return
    path = settings_folder.path(FILE)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
            file.write(f"{_digest(recipe)} {recipe.name} {os.getcwd()!r}\n")
    except OSError as error:
        raise UserError(f"cannot note in {path} that the recipe is trusted: {error.strerror}") from None


def ask(recipe: "Recipe") -> bool:
    """Asks on the terminal whether a recipe is trusted, where there is a terminal and a reason to; remembers a yes."""
    found = doors(recipe)
    if not found or is_remembered(recipe) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    print(f"The recipe {recipe.name} runs code that is not tenfold's:", *map(plain, found), sep="\n  ")
    try:
        answer = input("Do you trust it? Type yes to run it: ")
    except EOFError:
        return False
    if answer.strip().lower() != "yes":
        return False
    remember(recipe)
    return True


def is_here(address: str) -> bool:
    """Whether a Ray's address is of this machine, or leaves it to Ray to find one that was started here."""
    host = address.removeprefix("ray://").rpartition(":")[0] or address
    if address in ("auto", "local") or host in ("localhost", "auto"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_plain(name: str, value: Any) -> bool:
    """Whether a setting of verl's is a number or a word, under a name that leads to no code."""
    if not _KEY.fullmatch(name) or name.lstrip("+").startswith(_APART):
        return False
    if _LEADING & set(re.split(r"[._+]+", name.lower())):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _is_plain_value(value)


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(key, item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain_value, value))
    return (
        _WORD.fullmatch(value) is not None if isinstance(value, str) else value is None or isinstance(value, bool | int | float)
    )


def _sources(modules: Sequence[str]) -> dict[str, str]:
    """The digests of modules and of what they import of their user's, by name; of an installed package its own file stands for
    all of it, as "package.*"."""
    found: dict[str, str] = {}
    for module in modules:
        path = digests.file_of(module, os.getcwd())
        if path is not None and digests.is_users(path):
            found |= digests.sources(module, os.getcwd())
        else:
            found[f"{module.partition('.')[0]}.*"] = digests.of([str(path), digests.of_file(path) if path else ""])
    return found


def _lies_here(module: str) -> bool:
    path = Path(module.partition(".")[0])
    return path.is_dir() or path.with_suffix(".py").is_file()


def _file(module: str) -> str:
    path = digests.file_of(module, os.getcwd())
    return f"which is {path}" if path else "of which no Python source is found"


def _digest(recipe: "Recipe") -> str:
    content = recipe.model_dump(mode="json", exclude={"description"})
    return digests.of([_sources(recipe.modules), [*_texts(content)]])


def _texts(value: Any) -> Iterator[str]:
    """Every text in data, at any depth, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
