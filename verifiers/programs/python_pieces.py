"""Reads a piece of Python without a parser: the names that it defines, uses and lacks, and whether it runs statements."""

import functools
import re
from dataclasses import dataclass

STRINGS = re.compile(
    r"(\"\"\"|''')(?:\\.|(?!\1)[^\\])*(?:\1|\Z)|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*|\\.", re.DOTALL
)
_DEFINED = re.compile(r"^(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)", re.MULTILINE)
_ASSIGNED = re.compile(r"^(\w+(?:[ \t]*,[ \t]*\w+)*)[ \t]*(?::[^=\n]{0,200})?=(?!=)", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(\([^()]{0,5000}\)|[^\n;]+)", re.MULTILINE)
_BOUND = re.compile(
    r"\bdef[ \t]+\w+[ \t]*\(([^()]{0,2000})\)|\blambda\b([^:\n]{0,200}):|\bfor\b([^\n]{0,200}?)\bin\b|\bas[ \t]+(\w+)"
    r"|^[ \t]+(\w+(?:[ \t]*,[ \t]*\w+)*)[ \t]*(?::[^=\n]*)?=(?!=)",
    re.MULTILINE,
)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_STATEMENT = re.compile(r"^(?!def\b|class\b|async\b|import\b|from\b|@|[)\]}]|\"\"|__\w+__[ \t]*=)\S", re.MULTILINE)
_ACTION = re.compile(
    r"^(?!def\b|class\b|async\b|import\b|from\b|@|[)\]}]|\"\"|\w+(?:[ \t]*,[ \t]*\w+)*[ \t]*(?::[^=\n]*)?=(?!=))\S",
    re.MULTILINE,
)
_STUB = r"""
    ^(?:async[ \t]+)?def[ \t]+{name}[ \t]*\((?:[^()]|\([^()]*\))*\)[^:\n]*
    (?:\n|\Z|:(?:\s|""|\bpass\b|\.\.\.|raise[ \t]+NotImplementedError[^\n]*)*(?=^\S|\Z))
"""
"""A function's signature, without a body or with one that does nothing."""


@dataclass(frozen=True)
class Piece:
    """A piece of Python source."""

    body: str

    @functools.cached_property
    def bare(self) -> str:
        """The code, with strings emptied and comments removed."""
        return STRINGS.sub(lambda found: '""' if found[0][0] in "\"'" else "", self.body)

    @functools.cached_property
    def defines(self) -> frozenset[str]:
        """Names of its top-level functions and classes."""
        return frozenset(_DEFINED.findall(self.bare))

    @functools.cached_property
    def assigns(self) -> frozenset[str]:
        """Names of its top-level variables."""
        return frozenset(name for names in _ASSIGNED.findall(self.bare) for name in _NAME.findall(names))

    @functools.cached_property
    def imports(self) -> frozenset[str]:
        """Names that it imports, or `*`."""
        names: list[str] = []
        for _, listed in _IMPORTED.findall(self.bare):
            for item in listed.strip("() \t").split(","):
                words = item.replace("\\", " ").split()
                names += [words[-1].split(".")[0]] if words else []
        return frozenset(names)

    @functools.cached_property
    def needs(self) -> frozenset[str]:
        """Names that it uses and does not define, assign, import or bind."""
        bound = {name for found in _BOUND.findall(self.bare) for part in found for name in _NAME.findall(part)}
        return frozenset(_NAME.findall(self.bare)) - bound - self.defines - self.assigns - self.imports

    @functools.cached_property
    def provides(self) -> frozenset[str]:
        """Names that other pieces may take from it. Its variables are among them only if it runs no other statements."""
        return self.defines | self.imports | (self.assigns if self.is_pure else frozenset())

    @functools.cached_property
    def is_pure(self) -> bool:
        """True if it only imports, defines and assigns."""
        return _ACTION.search(self.bare) is None

    @property
    def runs(self) -> bool:
        """True if it does more than import and define."""
        return _STATEMENT.search(self.bare) is not None

    def has_stub(self, name: str) -> bool:
        """True if it defines a function of this name without a body, or with one that does nothing."""
        stub = re.search(_STUB.replace("{name}", re.escape(name)), self.bare, re.MULTILINE | re.VERBOSE)
        return stub is not None and name in self.defines

    def has_method(self, name: str, classes: frozenset[str]) -> bool:
        """True if it defines one of these classes, and any of its classes has a method of this name."""
        method = rf"^[ \t]+(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b"
        return bool(self.defines & classes) and re.search(method, self.bare, re.MULTILINE) is not None
