"""Digests of what decides a result: values, files, and the source text of functions.

A digest is a SHA-256 in hexadecimal. Equal digests mean equal contents on every machine and in every process: no address, order
of a set or time of a file enters one.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import json
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
"""This package. Its version stands for its source text."""


def of(value: Any) -> str:
    """The digest of a value: of data of any depth, of functions by their source, of other objects by class and attributes."""
    text = json.dumps(_plain(value, ()), sort_keys=True)  # in ASCII: halves of surrogate pairs have no UTF-8
    return hashlib.sha256(text.encode()).hexdigest()


def of_all(values: Iterable[Any]) -> str:
    """The digest of a sequence of values, without keeping them."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(of(value).encode())
    return digest.hexdigest()


def of_file(path: str | Path) -> str:
    """The digest of a file's content. A process reads a file again when its size or its time of change differ."""
    state = Path(path).stat()
    return _file(str(path), state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _file(path: str, inode: int, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(path: str | Path) -> str:
    """The digest of the names and sizes of all files in a folder: a folder of data may be too large to be read."""
    root = Path(path)
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return of([[str(file.relative_to(root)), file.stat().st_size] for file in files])


def of_source(module: str) -> str | None:
    """The digest of a module's source text, with that of the modules of its user's that it imports.

    Covered are the module's file and, from file to file, the imports that its text names, as far as they lie in the same
    top-level package or outside of Python's own folders and of `site-packages`. Not covered are installed packages, compiled
    modules, names that are only known when the program runs, and files that a function reads.

    Returns:
        None for a module of this package, and for one without a file of source text.
    """
    if module.partition(".")[0] == PACKAGE:
        return None
    found = sources(module)
    return of(found) if module in found else None


def sources(module: str, folder: str = "") -> dict[str, str]:
    """The digest of a module's source text, and of the text of each module that `of_source` covers with it, by their names.

    Args:
        module: its name; it is not run.
        folder: where modules are looked for that are found nowhere else.
    """
    own = module.partition(".")[0]
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in found else file_of(name, folder)
        if path is None or not (name.partition(".")[0] == own or is_users(path)):
            continue
        text = path.read_bytes()
        found[name] = hashlib.sha256(text).hexdigest()
        waiting += _imports(text, name if path.name == "__init__.py" else name.rpartition(".")[0])
    return found


def file_of(module: str, folder: str = "") -> Path | None:
    """A module's file of source text; no module is run to find it.

    Args:
        module: its name.
        folder: where it is looked for if it is found nowhere else.
    """
    origin, folders = None, None
    for name in _with_parents(module):
        if (loaded := sys.modules.get(name)) is not None:
            origin, folders = getattr(loaded, "__file__", None), getattr(loaded, "__path__", None)
            continue
        try:
            # A package's own finder would run the package first.
            spec = PathFinder.find_spec(name, folders) if "." in name else importlib.util.find_spec(name)
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
    """Whether a file is the user's own: neither of Python's library, nor of an installed package, nor of this one."""
    return not any(path.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> list[Path]:
    """Folders of Python's library, of installed packages, and of this package."""
    return [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")] + [Path(__file__).parent]


def _imports(text: bytes, package: str) -> Iterator[str]:
    """Names that may be modules which a module of that package imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


_DATA = (type(None), bool, int, float, str, bytes, Mapping, list, tuple, Set, types.FunctionType, functools.partial)
"""Attributes of an object that are compared."""


def _plain(value: Any, within: tuple[int, ...]) -> Any:
    """A value as JSON has it. `within` are the objects that it lies in: one that holds itself is not followed again."""
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
    if (function := getattr(value, "__func__", None)) is not None:
        return {"method": [_plain(function, inner), _plain(value.__self__, inner)]}
    if (code := getattr(value, "__code__", None)) is not None:
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell is not None]
        held = [value.__defaults__, value.__kwdefaults__, cells]
        source = of_source(value.__module__)
        # A function that was typed in has no file: its code stands for it.
        text = source or (None if value.__module__.partition(".")[0] == PACKAGE else _plain(code, inner))
        return {"function": [name_of(value), text, _plain(held, inner)]}
    if isinstance(value, types.CodeType):
        return {"code": [value.co_code.hex(), [*value.co_names], _plain(value.co_consts, inner)]}
    if type(value).__module__ == "numpy":  # its arrays and numbers
        return _plain(value.tolist(), inner)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    else:  # a model, a lock or a connection among its attributes says nothing that could be compared
        attributes = {name: item for name, item in getattr(value, "__dict__", {}).items() if isinstance(item, _DATA)}
    return {"object": [_plain(type(value), inner), _plain(attributes, inner)]}


def name_of(value: Any) -> str:
    """The name of a class or function, as "module:name"; of another object that of its class."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"
