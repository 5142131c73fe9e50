"""Code that is named by text, as "package.module:name": the one place that turns such a name into an object.

Who names it decides what a name may lead to. What a user names himself, on the command line or in Python, leads anywhere. A
recipe is a file that may be a stranger's: while one runs (`limited`), a name leads only to

    - what the place that asks has registered: this package's sources, judges and environments
    - what is defined in a module that the recipe lists and its user trusts (`pipelines/recipe/trust.py`)
    - what the user has named himself: in an option, in an environment variable, or by registering an environment before

The limits hold for the whole process, and for its children by the variable TENFOLD_CODE.
"""

import contextlib
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import itertools
import os
import pkgutil
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from . import digests
from .core import UserError

VARIABLE = "TENFOLD_CODE"
"""Tells the processes of a run what its recipe may name."""
SCHEMES = frozenset(
    "bfcl call champ config generate hash hf http https human_eval jsonl micro openai parquet path problems python ray "
    "reasoning_gym rules scripted smollm2 stage lm_eval text transformers vllm".split()
)
"""What URIs of problems, documents, policies and servers begin with."""
_SAFE_PATH = "PYTHONSAFEPATH"
"""Python's: its children import nothing from the folder that they are started in."""


class NotImported(UserError):
    """A name leads to a module that a dry run does not import."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a recipe may name, beside what is registered."""

    modules: tuple[str, ...] = ()
    """Modules that the recipe lists."""
    names: tuple[str, ...] = ()
    """Names that are the user's own."""
    folder: str = ""
    """Where modules are looked for that are found nowhere else; empty: nowhere."""
    covered: tuple[str, ...] = ()
    """Those modules and what they import of their user's, as far as `digests.sources` reads them; of an installed package all,
    as "package.*". From the folder no others are imported."""
    place: str = "the recipe"
    """Where the names stand, for an error: a recipe, or what a run has left."""
    imports: bool = True
    """Whether listed modules are imported; a dry run does not."""


def resolve(name: str, registered: Collection[str] = ()) -> Any:
    """The object of that name.

    Args:
        name: "package.module:name".
        registered: names that the place which asks allows in every recipe.

    Raises:
        ImportError, AttributeError, ValueError: the name leads nowhere; as `pkgutil.resolve_name`.
        NotImported: this is a dry run.
        UserError: a recipe names it, and may not.
    """
    if _limits is None or name in registered or name in _limits.names:
        return pkgutil.resolve_name(name)
    module, sign, path = name.partition(":")
    if not sign or not path:
        raise ValueError(f"{name!r} is not of the form package.module:name")
    if module not in _limits.modules:
        raise UserError(_refusal(name, module, registered))
    if not _limits.imports:
        raise NotImported(f"{name} lies in {where(module)}, which a dry run does not import")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        if part.startswith("__"):
            raise ValueError(f"{part!r} is a name of Python's own")
        found = getattr(found, part)
        if isinstance(found, ModuleType):
            raise UserError(f"{name!r} leads to the module {found.__name__}: list that one under modules: and name it")
    home = getattr(found, "__module__", None)
    if isinstance(getattr(found, "__qualname__", None), str) and not _is_listed(home):  # a function or class from elsewhere
        lies = f"is defined in {where(home)}, not in {module}" if home else f"is nothing that {module} defines"
        raise UserError(
            f"{name!r} {lies}: a recipe names what its modules define; list {home or 'its module'} under modules: if that is "
            "what it is to run"
        )
    return found


def import_module(module: str) -> ModuleType:
    """A module that is named by itself, say one that registers environments.

    Raises:
        ImportError: there is none.
        NotImported: this is a dry run.
        UserError: a recipe names it without listing it.
    """
    if _limits is not None and module not in _limits.modules and not any(n.startswith(f"{module}:") for n in _limits.names):
        raise UserError(_refusal(module, module, ()))
    if _limits is not None and not _limits.imports:
        raise NotImported(f"{module} is {where(module)}, which a dry run does not import")
    return importlib.import_module(module)


def is_limited() -> bool:
    """Whether a recipe names what is named now."""
    return _limits is not None


def waiting() -> Sequence[str]:
    """Modules that are listed and, this being a dry run, not imported: what they register is not known."""
    return () if _limits is None or _limits.imports else _limits.modules


def names_in(value: Any) -> Iterator[str]:
    """Whatever in texts, at any depth of data, has the form of a name of code: percent signs are read as in URIs.

    The beginnings of URIs are no modules: who names `path:model` names no function `model`.
    """
    if isinstance(value, str):
        for text in {value, unquote(value), unquote(unquote(value))}:
            for chain in _CHAIN.findall(text):
                parts = chain.split(":")
                yield from (":".join(pair) for pair in itertools.pairwise(parts) if pair[0] not in SCHEMES)
    elif isinstance(value, dict):
        for item in value.items():
            yield from names_in(list(item))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from names_in(item)


_CHAIN = re.compile(r"[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)+")


def where(module: str) -> str:
    """A module with the file that it lies in, for an error; it is not imported."""
    folder = os.getcwd() if _limits is None or not _limits.folder else _limits.folder
    path = digests.file_of(module, folder)
    return f"the module {module} ({path or 'no file of Python source'})"


def _refusal(name: str, module: str, registered: Collection[str]) -> str:
    if module.partition(".")[0] == digests.PACKAGE and registered:
        return f"{name!r} is nothing that a recipe may name; there are {', '.join(sorted(registered))}"
    place = Limits.place if _limits is None else _limits.place
    listed = f"list {module} under the recipe's modules: and run with" if place == Limits.place else "run with"
    return (
        f"{place} names {name!r}, which is code of {where(module)}: if you trust it, {listed} --trust (trust=True from Python)"
    )


def _is_listed(module: str | None) -> bool:
    assert _limits is not None
    return module is not None and (
        module in _limits.modules or module in _limits.covered or f"{module.partition('.')[0]}.*" in _limits.covered
    )


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Holds this process and the children that it starts to what a recipe may name."""
    global _limits
    before, variables = _limits, {name: os.environ.get(name) for name in (VARIABLE, _SAFE_PATH)}
    _limits = limits
    os.environ |= {VARIABLE: _written(limits), _SAFE_PATH: "1"}
    finder = _Finder(limits)
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _limits = before
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the listed modules of a user's folder, and what these import from there, behind everything that is installed.

    The folder is not on Python's path: whatever else lies in it, say a `json.py`, is not imported.
    """

    def __init__(self, limits: Limits):
        self.folder = limits.folder
        self.modules = {name.partition(".")[0] for name in limits.covered}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or not self.folder or fullname not in self.modules:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self.folder])


def _written(limits: Limits) -> str:
    given = {name: value for name, value in dataclasses.asdict(limits).items() if value and name != "imports"}
    return urlencode(given | {"imports": int(limits.imports)}, doseq=True)


def _read(text: str) -> Limits:
    told = parse_qs(text)

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(told.get(name, ()))

    folder, place, imports = "".join(all_of("folder")), "".join(all_of("place")), all_of("imports") == ("1",)
    return Limits(all_of("modules"), all_of("names"), folder, all_of("covered"), place, imports)


_limits: Limits | None = None
"""None: a user names what is named."""
if VARIABLE in os.environ:  # a process of a run
    _limits = _read(os.environ[VARIABLE])
    sys.meta_path.append(_Finder(_limits))
