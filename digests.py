"""Digests of the inputs of a result: values, files, and the source text of functions.

A digest is a SHA-256 in hexadecimal. Equal digests mean equal contents on all machines and in all processes: digests do not
depend on addresses, on the order of a set or on the time of a file. Exceptions: `of_folder` compares only names and sizes, and
`of` does not cover code of this package, or attributes that are not data, such as models and locks.
"""

import ast
import copyreg
import dataclasses
import datetime
import functools
import hashlib
import importlib.util
import json
import numbers
import os
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
"""Name of this package. Its version is recorded instead of digests of its source text."""


def of(value: object) -> str:
    """Returns the digest of a value: nested data, functions (by source text), other objects (by class and attributes)."""
    text = json.dumps(_plain(value, ()), sort_keys=True)  # ASCII, because UTF-8 cannot encode lone surrogates
    return hashlib.sha256(text.encode()).hexdigest()


def of_all(values: Iterable[object]) -> str:
    """Returns the digest of a sequence of values, which need not fit in memory."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(of(value).encode())
    return digest.hexdigest()


def of_file(path: str | Path) -> str:
    """Returns the digest of a file's content. It is cached until the file's size or modification time changes."""
    state = Path(path).stat()
    return _file(str(path), state.st_ino, state.st_size, state.st_mtime_ns)


def of_files(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Returns the digests of the files in a folder whose names match a pattern, by name."""
    found = {path.name: path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {name: of_file(path) for name, path in sorted(found.items())}


@functools.lru_cache(maxsize=4096)
def _file(path: str, inode: int, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(path: str | Path) -> str:
    """Returns the digest of the names and sizes of all files in a folder. Contents are not read, because data may be large."""
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return of([[str(file.relative_to(root)), file.stat().st_size] for file in files])


def of_source(module: str) -> str | None:
    """Returns the digest of a module's source text and of the user's modules that it imports.

    It covers the module's file and, recursively, the imports in its text that are in the same top-level package or outside of
    Python's own folders and of `site-packages`. It does not cover installed packages, compiled modules, names that are computed
    at run time, and files that a function reads.

    Returns:
        None for a module of this package, and for a module without Python source.
    """
    if module.partition(".")[0] == PACKAGE:
        return None
    found = sources(module)
    return of(found) if module in found else None


def sources(module: str, folder: str = "") -> dict[str, str]:
    """Returns the digests of the source texts that `of_source` covers, by module name.

    Args:
        module: name of the module, which is not run.
        folder: folder to search last for modules.
    """
    own = module.partition(".")[0]
    found: dict[str, str] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = None if name in found else file_of(name, folder)
        if path is None or not (name.partition(".")[0] == own or is_users(path)):
            continue
        text = path.read_bytes()
        found[name] = hashlib.sha256(text).hexdigest()
        pending += _imports(text, name if path.name == "__init__.py" else name.rpartition(".")[0])
    return found


def file_of(module: str, folder: str = "") -> Path | None:
    """Returns a module's source file, or None. No module is run to find it.

    Args:
        module: name of the module.
        folder: folder to search last.
    """
    origin, folders = None, None
    for name in _with_parents(module):
        if (loaded := sys.modules.get(name)) is not None:
            origin, folders = getattr(loaded, "__file__", None), getattr(loaded, "__path__", None)
            continue
        try:
            # importlib would run the parent package first.
            spec = PathFinder.find_spec(name, folders) if "." in name else importlib.util.find_spec(name)
        except KeyError:  # a namespace package, whose parent is not imported
            inner = [Path(place, name.rpartition(".")[2]) for place in folders or ()]
            origin, folders = None, [str(path) for path in inner if path.is_dir()]
            continue
        except (ImportError, ValueError):
            return None
        if spec is None and folder and "." not in name:
            spec = PathFinder.find_spec(name, [folder])
        if spec is None or ("." in name and folders is None):
            return None
        origin, folders = spec.origin, spec.submodule_search_locations
    path = Path(origin or "")
    return path if path.suffix == ".py" and path.is_file() else None


def is_users(path: Path) -> bool:
    """True if a file belongs to the user: not to Python's library, an installed package or this package."""
    return _PACKAGES.isdisjoint(path.parts) and not any(path.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> list[Path]:
    """Returns the folders of Python's library, of installed packages, and of this package."""
    return [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")] + [Path(__file__).parent]


_PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Names of folders with packages. In a virtual environment, `sysconfig` does not name those of the system and of the user."""


def _imports(text: bytes, package: str) -> Iterator[str]:
    """Yields possible names of the modules that a source text of the given package imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


_DATA = (
    *(type(None), bool, str, bytes, numbers.Number, Mapping, list, tuple, Set, functools.partial, re.Pattern, os.PathLike),
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType),
    *(datetime.date, datetime.time, datetime.timedelta),
)
"""An attribute of an object enters the object's digest if its value has one of these types or is a dataclass."""


def _plain(value: Any, within: tuple[int, ...]) -> object:
    """Returns a value as JSON data. `within` holds the ids of the enclosing objects, so that cycles end."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": repr(float(value))}  # JSON has no infinities
    if id(value) in within:
        return "..."
    inner = (*within, id(value))
    if isinstance(value, bytes | bytearray):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, Mapping):
        return {"mapping": sorted(([_plain(key, inner), _plain(item, inner)] for key, item in value.items()), key=repr)}
    if isinstance(value, Set):
        return {"set": sorted((_plain(item, inner) for item in value), key=repr)}
    if isinstance(value, Sequence):
        return [_plain(item, inner) for item in value]
    if isinstance(value, functools.partial):
        return {"partial": [_plain(part, inner) for part in (value.func, value.args, value.keywords)]}
    if isinstance(value, type):
        return {"class": [name_of(value), of_source(value.__module__)]}
    if isinstance(value, types.ModuleType):
        path = file_of(value.__name__)
        return {"module": [value.__name__, of_source(value.__name__) if path is not None and is_users(path) else None]}
    if (function := getattr(value, "__func__", None)) is not None:
        return {"method": [_plain(function, inner), _plain(getattr(value, "__self__", None), inner)]}
    if (code := getattr(value, "__code__", None)) is not None:
        module = value.__module__ or ""  # that of a function from `exec` may be None
        state = [value.__defaults__, value.__kwdefaults__, [*map(_content, value.__closure__ or ())]]
        source = of_source(module)
        # A function that was typed in has no file: its byte code is used.
        text = source or (None if module.partition(".")[0] == PACKAGE else _plain(code, inner))
        return {"function": [name_of(value), text, _plain(state, inner)]}
    if isinstance(value, types.CodeType):
        return {"code": [value.co_code.hex(), [*value.co_names], _plain(value.co_consts, inner)]}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):  # arrays and numbers
        items = value.tolist()
        return repr(value) if type(items) is type(value) else _plain(items, inner)  # a long double stays one in `tolist`
    if hasattr(value, "isoformat"):
        return value.isoformat()
    content: object
    if dataclasses.is_dataclass(value):
        content = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "__dict__"):  # attributes such as models, locks and connections cannot be compared
        content = {
            name: each for name, each in value.__dict__.items() if isinstance(each, _DATA) or dataclasses.is_dataclass(each)
        }
    else:
        content = _reduced(value)
    return {"object": [_plain(type(value), inner), _plain(content, inner)]}


def _content(cell: types.CellType) -> object:
    """Returns the value of a variable that a function has from its enclosing function; "..." if it is not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return "..."


def _reduced(value: object) -> object:
    """Returns what pickle stores of an object without `__dict__`, such as a path or `max`; None for others, such as locks."""
    try:
        reduced = copyreg.dispatch_table.get(type(value), lambda each: each.__reduce_ex__(4))(value)
    except Exception:  # types that pickle does not support raise different errors
        return None
    return [getattr(value, "__module__", None), reduced] if isinstance(reduced, str) else [*reduced[1:3]]


def name_of(value: object) -> str:
    """Returns the name of a class or function as "module:name"; for other objects the name of their class."""
    target: Any = value if hasattr(value, "__qualname__") else type(value)
    return f"{target.__module__}:{target.__qualname__}"
