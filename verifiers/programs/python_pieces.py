"""What can be seen of a piece of Python without a parser: names that it defines, uses and lacks, and whether it acts."""

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
"""A signature, with a body that does nothing or without one."""


@dataclass(frozen=True)
class Piece:
    """A piece of Python."""

    body: str

    @functools.cached_property
    def bare(self) -> str:
        """The code without its strings and comments."""
        return STRINGS.sub(lambda found: '""' if found[0][0] in "\"'" else "", self.body)

    @functools.cached_property
    def defines(self) -> frozenset[str]:
        """Functions and classes."""
        return frozenset(_DEFINED.findall(self.bare))

    @functools.cached_property
    def assigns(self) -> frozenset[str]:
        """Variables of the module."""
        return frozenset(name for names in _ASSIGNED.findall(self.bare) for name in _NAME.findall(names))

    @functools.cached_property
    def imports(self) -> frozenset[str]:
        """Names that are imported; `*` among them."""
        names: list[str] = []
        for _, listed in _IMPORTED.findall(self.bare):
            for item in listed.strip("() \t").split(","):
                words = item.replace("\\", " ").split()
                names += [words[-1].split(".")[0]] if words else []
        return frozenset(names)

    @functools.cached_property
    def needs(self) -> frozenset[str]:
        """Names that it uses and nothing in it gives a meaning."""
        bound = {name for found in _BOUND.findall(self.bare) for part in found for name in _NAME.findall(part)}
        return frozenset(_NAME.findall(self.bare)) - bound - self.defines - self.assigns - self.imports

    @functools.cached_property
    def gives(self) -> frozenset[str]:
        """Names that another part may take from it: where it does something when it runs, no variables."""
        return self.defines | self.imports | (self.assigns if self.is_pure else frozenset())

    @functools.cached_property
    def is_pure(self) -> bool:
        """Whether it does no more than define and assign."""
        return _ACTION.search(self.bare) is None

    @property
    def runs(self) -> bool:
        """Whether it does more than define and import."""
        return _STATEMENT.search(self.bare) is not None

    def has_stub(self, name: str) -> bool:
        """Whether it shows no more of a function than its signature."""
        stub = re.search(_STUB.replace("{name}", re.escape(name)), self.bare, re.MULTILINE | re.VERBOSE)
        return stub is not None and name in self.defines

    def has_method(self, name: str, classes: frozenset[str]) -> bool:
        """Whether it defines one of these classes, and in a class a method of this name."""
        method = rf"^[ \t]+(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b"
        return bool(self.defines & classes) and re.search(method, self.bare, re.MULTILINE) is not None
