"""Trust in recipes: which settings may run code from outside this package, and whether the user allows it.

A recipe is data, except for these settings:

    modules:        modules to import, whose functions and classes the recipe may name
    verl:           settings of verl that may name code, a file or a server: all except numbers and plain words; plain words
                    too if the setting's name contains a word such as path, module or host; all settings of Ray and Hydra
    cluster.ray_address
                    an address on another machine, because Ray's processes execute code that they receive

Installed packages need no trust, because the user installed them. This includes packages that add environments
(`gymnasium.envs`) or kinds of stages (`tenfold.stages`).

A recipe with one of these settings runs only if the user trusts it: with `tenfold run --trust`, with "yes" at the prompt on a
terminal, or with `trust=True` in Python. The first two are remembered in the user's settings, by a digest of the modules'
source text and of all texts in the recipe except its description. A changed module, name or address needs trust again, and a
changed number does not.

A dry run writes nothing and remembers nothing. It imports the modules only with `--trust`, also if the recipe was trusted
before.
"""

import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import digests, named_code, settings_folder
from ...core import UserError
from ...envs import registry
from ...named_code import is_plain
from ...policies.server import keys
from ...terminal import plain
from .content import references

if TYPE_CHECKING:
    from .recipe import Recipe

FILE = "trusted"
"""File in the folder of the user's settings, with a line for each trusted recipe."""

_URI = re.compile(r"[A-Za-z][\w+.-]*:\S+$")
_NOT_VERL = ("ray_kwargs", "hydra")
"""Prefixes of settings that belong to Ray and Hydra."""


@contextlib.contextmanager
def limited(recipe: "Recipe", folder: Path, *, trusted: bool = False, dry: bool = False) -> Iterator[None]:
    """Imports the recipe's modules, registers its environments, and limits which code this process may name meanwhile.

    Args:
        recipe: as the user gave it.
        folder: folder of the run.
        trusted: the user allows code from outside this package.
        dry: import such code only if `trusted` is true; remembered trust does not count.

    Raises:
        UserError: the recipe runs code without trust, a module or environment is invalid, or a URI contains a key.
    """
    check_addresses(recipe)
    found = limits(recipe, trusted=trusted, dry=dry)
    with named_code.limited(found):
        for module in recipe.modules if found.imports else []:
            try:
                named_code.import_module(module)
            except ImportError as error:
                raise UserError(f"modules: cannot import {module!r} ({named_code.import_failure(error)})") from None
        with registry.recipe_environments(references.with_folders(recipe.environments, folder), found):
            yield


def limits(recipe: "Recipe", *, trusted: bool = False, dry: bool = False) -> named_code.Limits:
    """Returns the code that a recipe may name while it runs.

    Args:
        recipe: as the user gave it.
        trusted: the user allows code from outside this package.
        dry: the recipe is only checked, not run.

    Raises:
        UserError: the recipe runs code from outside this package without trust.
    """
    reasons = trust_reasons(recipe)
    if reasons and not dry and not trusted and not is_remembered(recipe):
        raise UserError(
            f"the recipe {recipe.name} runs code from outside tenfold: {'; '.join(reasons)}. If you trust it, run it with "
            "--trust (in Python: trust=True)"
        )
    own = {*recipe.user_code_names, *registry.user_code_names()}
    imports = trusted or not dry
    local = {module for name in recipe.user_code_names if _is_local(module := name.partition(":")[0])}
    covered = _sources([*(recipe.modules if imports else []), *local])
    folder = os.getcwd() if recipe.modules or local else ""
    modules = tuple(recipe.modules)
    return named_code.Limits(modules, tuple(sorted(own)), folder, tuple(sorted(covered)), imports=imports)


def check_addresses(recipe: "Recipe") -> None:
    """Raises an error for a recipe with an API key in a URI, because the run's folder contains a copy of the recipe.

    Raises:
        UserError: a URI contains a key.
    """
    for text in _texts(recipe.model_dump(mode="json", exclude={"description"})):
        if _URI.match(text):
            keys.reject_keys_in(text)


def trust_reasons(recipe: "Recipe") -> list[str]:
    """Returns the settings that need trust, as text. Settings that come from the user need none."""
    reasons = [f"modules: {module}, {_file(module)}" for module in recipe.modules if not recipe.is_changed("modules")]
    for stage in recipe.stages:
        settings: Mapping[str, object] = getattr(stage, "verl", {})
        reasons += [
            f"{stage.name}.verl: {name}={value!r:.60}"
            for name, value in settings.items()
            if not _is_plain(name, value) and not recipe.is_changed(f"{stage.name}.verl.{name}")
        ]
    address = recipe.cluster.ray_address
    if address and not recipe.is_changed("cluster.ray_address") and not is_local_address(address):
        reasons.append(f"cluster.ray_address: {address}")
    return reasons


def is_remembered(recipe: "Recipe") -> bool:
    """True if the user has trusted the recipe before, with the same texts and the same code."""
    try:
        lines = settings_folder.path(FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return _digest(recipe) in (line.partition(" ")[0] for line in lines)


def remember(recipe: "Recipe") -> None:
    """Stores in the user's settings that the recipe is trusted.

    Raises:
        UserError: the file cannot be written.
    """
    if not trust_reasons(recipe) or is_remembered(recipe):
        return
    path = settings_folder.path(FILE)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
            file.write(f"{_digest(recipe)} {recipe.name} {os.getcwd()!r}\n")
    except OSError as error:
        raise UserError(f"{path}: cannot store that the recipe is trusted: {error.strerror}") from None


def ask(recipe: "Recipe") -> bool:
    """Asks on the terminal whether to trust a recipe, and remembers "yes". Without a terminal it returns False."""
    reasons = trust_reasons(recipe)
    if not reasons or is_remembered(recipe) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    print(f"The recipe {recipe.name} runs code from outside tenfold:", *map(plain, reasons), sep="\n  ")
    try:
        answer = input("Do you trust it? Type yes to run it: ")
    except EOFError:
        return False
    if answer.strip().lower() != "yes":
        return False
    remember(recipe)
    return True


def is_local_address(address: str) -> bool:
    """True if a Ray address is on this machine, or tells Ray to look for a cluster that was started on this machine."""
    location = address.removeprefix("ray://")
    host = location.rpartition(":")[0] or location
    if "://" in location:  # Ray imports the module whose name is before "://"
        return False
    if address in ("auto", "local") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_plain(name: str, value: object) -> bool:
    """True if a setting of verl cannot name code, a file or a server. A setting of Ray or Hydra may always name them."""
    return not name.lstrip("+").startswith(_NOT_VERL) and is_plain(name, value)


def _sources(modules: Sequence[str]) -> dict[str, str]:
    """Returns the digests of modules and of the user's files that they import, by name.

    An installed package has one entry, "package.*", with the digest of the module's file.
    """
    found: dict[str, str] = {}
    for module in modules:
        path = digests.file_of(module, os.getcwd())
        if path is not None and digests.is_users(path):
            found |= digests.sources(module, os.getcwd())
        else:
            found[f"{module.partition('.')[0]}.*"] = digests.of([str(path), digests.of_file(path) if path else ""])
    return found


def _is_local(module: str) -> bool:
    """True if a module lies in the current folder."""
    path = Path(module.partition(".")[0])
    return path.is_dir() or path.with_suffix(".py").is_file()


def _file(module: str) -> str:
    path = digests.file_of(module, os.getcwd())
    return f"which is {path}" if path else "whose Python source cannot be found"


def _digest(recipe: "Recipe") -> str:
    content = recipe.model_dump(mode="json", exclude={"description"})
    return digests.of([_sources(recipe.modules), [*_texts(content)]])


def _texts(value: object) -> Iterator[str]:
    """Yields each text in nested data, in order, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
