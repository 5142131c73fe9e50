"""Resolves names of code, such as "package.module:name", to objects.

A name that the user gives on the command line or in Python may refer to any code. A recipe is a file that may come from
another person. While a recipe runs (`limited`), a name may refer only to

    - code that the caller has registered: this package's sources, judges and environments
    - code of a module that the recipe lists and the user trusts (`pipelines/recipe/trust.py`)
    - code that the user has named: in an option, in an environment variable, or by registering an environment earlier

A recipe may also contain settings of other programs, such as verl or vLLM, if the settings cannot name code (`is_plain`).

The limits apply to the whole process. Its child processes inherit them in the environment variable TENFOLD_CODE.
"""

import contextlib
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import pkgutil
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from . import digests, faults
from .core import UserError

VARIABLE = "TENFOLD_CODE"
"""Environment variable with the limits of a recipe, for the processes of its run."""
SCHEMES = frozenset(
    "bfcl call champ config env generate gguf hash hf http https human_eval inspect jsonl micro nemo_gym openai openenv "
    "packaged parquet path problems python ray reasoning_gym rules scripted smollm2 stage lm_eval text transformers "
    "verifiers vllm".split()
)
"""Schemes of the URIs of problems, documents, policies and servers."""
_SAFE_PATH = "PYTHONSAFEPATH"
"""Python's variable: child processes do not import from their working folder."""


_WORD = re.compile(r"[A-Za-z0-9_+-]{0,64}|[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?")
"""A number, or a word without a dot, colon or slash."""
_SETTING = re.compile(r"\+{0,2}[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_LEADING_WORDS = frozenset(
    "target path paths file files dir lib libs module modules custom class cls fqn function functions fn func manager plugin "
    "plugins import remote kwargs env proxy url uri addr address host ip port script command cmd exec hook hooks".split()
)
"""Words in names of settings whose values may name code, a file or a server, even if the value is a plain word."""


class NotImported(UserError):
    """A name refers to a module that a dry run does not import."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Code that a recipe may name in addition to registered code."""

    modules: tuple[str, ...] = ()
    """Modules that the recipe lists."""
    names: tuple[str, ...] = ()
    """Names that the user has given."""
    folder: str = ""
    """Folder to search last for modules; empty: none."""
    importable: tuple[str, ...] = ()
    """The listed modules and the user's modules that they import, as found by `digests.sources`; "package.*" for all modules of
    an installed package. No other module of `folder` is imported."""
    origin: str = "the recipe"
    """Where the names were read, for error messages: a recipe, or the folder of a run."""
    imports: bool = True
    """False in a dry run: listed modules are not imported."""


def resolve(name: str, registered: Collection[str] = ()) -> Any:
    """Returns the object of a name.

    Args:
        name: "package.module:name".
        registered: names that the caller allows in every recipe.

    Raises:
        ImportError, AttributeError, ValueError: there is no such object; see `pkgutil.resolve_name`.
        NotImported: this is a dry run.
        UserError: a recipe is not allowed to use this name.
    """
    if _limits is None or name in registered or name in _limits.names:
        return pkgutil.resolve_name(name)
    module, sign, path = name.partition(":")
    if not sign or not path:
        raise ValueError(f"{name!r} is not of the form package.module:name")
    if module not in _limits.modules:
        raise UserError(_refusal(name, module, registered))
    if not _limits.imports:
        raise NotImported(f"{name} is in {describe(module)}, which a dry run does not import")
    target: Any = importlib.import_module(module)
    for part in path.split("."):
        if part.startswith("__"):
            raise ValueError(f"{part!r} is a special name of Python")
        target = getattr(target, part)
        if isinstance(target, ModuleType):
            raise UserError(
                f"{name!r} refers to the module {target.__name__}. List {target.__name__} under `modules:` and "
                f"use a name of the form {target.__name__}:NAME"
            )
    home = getattr(target, "__module__", None)
    if isinstance(getattr(target, "__qualname__", None), str) and not _is_listed(home):  # a function or class of another module
        reason = f"is defined in {describe(home)}, not in {module}" if home else f"is not defined in {module}"
        raise UserError(
            f"{name!r} {reason}: a recipe may name only code that its modules define; to run it, list {home or 'its module'} "
            "under modules:"
        )
    return target


def import_module(module: str) -> ModuleType:
    """Imports a module that is named as a whole, for example one that registers environments.

    Raises:
        ImportError: there is no such module.
        NotImported: this is a dry run.
        UserError: a recipe names the module without listing it.
    """
    if _limits is not None and module not in _limits.modules and not any(n.startswith(f"{module}:") for n in _limits.names):
        raise UserError(_refusal(module, module, ()))
    if _limits is not None and not _limits.imports:
        raise NotImported(f"a dry run does not import {describe(module)}")
    return importlib.import_module(module)


def import_from_here(values: object) -> None:
    """Makes modules of the working folder importable: those that the values name, and their imports from this folder.

    Other files of the folder are not importable, and installed modules keep precedence, as in a recipe (`_Finder`). `values`
    must come from the user (command line or Python), never from a file or a model, because a module that is named is imported.

    Args:
        values: texts such as "module:name" or "call:module:name", also nested in lists and dictionaries.
    """
    for name in names_in(values):
        module = name.partition(":")[0]
        with contextlib.suppress(ValueError):  # __main__ has no specification
            if importlib.util.find_spec(module.partition(".")[0]) is not None:
                continue
        if module != "__main__":
            folder = os.getcwd()
            sys.meta_path.append(_Finder(Limits(folder=folder, importable=tuple(digests.sources(module, folder)))))


def import_failure(error: Exception) -> str:
    """Returns why a name could not be resolved. If there is no such module, the text says where modules are looked up.

    Args:
        error: raised by `resolve` or `import_module`.
    """
    if not isinstance(error, ModuleNotFoundError):
        return f"{error}{faults.shown(faults.place(error))}"
    folders = [finder.folder for finder in sys.meta_path if isinstance(finder, _Finder) and finder.folder]
    places = f"in the current folder ({folders[-1]})" if folders else "on Python's path (sys.path)"
    return f"{error}; modules are looked up {places} and among installed packages"


def is_limited() -> bool:
    """True while the limits of a recipe apply."""
    return _limits is not None


def not_imported() -> Sequence[str]:
    """Returns the listed modules in a dry run, which does not import them: the code that they register is not known."""
    return () if _limits is None or _limits.imports else _limits.modules


def names_in(value: object) -> Iterator[str]:
    """Yields all texts in nested data that have the form of a name of code. Percent-encoding is decoded as in URIs.

    A URI scheme is not a module: `path:model` is not a function `model`.
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


_CHAIN = re.compile(r"[^\W\d][\w.]*(?::[^\W\d][\w.]*)+")


def describe(module: str) -> str:
    """Returns a module's name and file for an error message. The module is not imported."""
    folder = os.getcwd() if _limits is None or not _limits.folder else _limits.folder
    path = digests.file_of(module, folder)
    return f"the module {module} ({path or 'no file of Python source'})"


def _refusal(name: str, module: str, registered: Collection[str]) -> str:
    if module.partition(".")[0] == digests.PACKAGE and registered:
        return f"a recipe may not name {name!r}; it may name {', '.join(sorted(registered))}"
    origin = Limits.origin if _limits is None else _limits.origin
    listed = f"list {module} under the recipe's modules: and run with" if origin == Limits.origin else "run with"
    remedy = f"if you trust it, {listed} --trust (trust=True from Python)"
    return f"{origin} names {name!r}, which is code of {describe(module)}: {remedy}"


def _is_listed(module: str | None) -> bool:
    assert _limits is not None
    return module is not None and (
        module in _limits.modules or module in _limits.importable or f"{module.partition('.')[0]}.*" in _limits.importable
    )


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Applies the limits of a recipe to this process and its child processes for the duration of the block."""
    global _limits
    previous, _limits = _limits, limits
    finder = _Finder(limits)
    sys.meta_path.append(finder)
    try:
        with environment_variables({VARIABLE: _to_text(limits), _SAFE_PATH: "1"}):
            yield
    finally:
        sys.meta_path.remove(finder)
        _limits = previous


@contextlib.contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the duration of the block, then restores the previous ones."""
    previous = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the listed modules in the user's folder, and the modules that they import from there, after all other finders.

    The folder is not on Python's path, so that other files in it, such as a `json.py`, are not imported.
    """

    def __init__(self, limits: Limits):
        self.folder = limits.folder
        self.modules = {name.partition(".")[0] for name in limits.importable}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or not self.folder or fullname not in self.modules:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self.folder])


def _to_text(limits: Limits) -> str:
    fields = {name: value for name, value in dataclasses.asdict(limits).items() if value and name != "imports"}
    return urlencode(fields | {"imports": int(limits.imports)}, doseq=True)


def _from_text(text: str) -> Limits:
    fields = parse_qs(text)

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(fields.get(name, ()))

    folder, origin, imports = "".join(all_of("folder")), "".join(all_of("origin")), all_of("imports") == ("1",)
    return Limits(all_of("modules"), all_of("names"), folder, all_of("importable"), origin, imports)


_limits: Limits | None = None
"""None: the user named the code, so no limits apply."""
if VARIABLE in os.environ:  # this is a process of a run
    _limits = _from_text(os.environ[VARIABLE])
    sys.meta_path.append(_Finder(_limits))


def is_plain(name: str, value: object) -> bool:
    """True if a setting is a number or a plain word. If a word of _LEADING_WORDS is in its name, only a number is plain.

    Args:
        name: name of the setting, with dots between its parts.
        value: its value, which may be nested.
    """
    if not _SETTING.fullmatch(name):
        return False
    if _LEADING_WORDS & set(re.split(r"[._+]+", name.lower())):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return _is_plain_value(value)


def _is_plain_value(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(key, item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain_value, value))
    return (
        _WORD.fullmatch(value) is not None if isinstance(value, str) else value is None or isinstance(value, bool | int | float)
    )
