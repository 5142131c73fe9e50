"""Sources of tokens: flat files that are mapped into memory, each one kind of text, the documents' ends marked.

    SOURCE.bin              every document's tokens and the end-of-text token, one document after the other
    sources.json            how many tokens each source has, and the tokenizer that they are of

A sequence is a slice of a source: it may begin and end inside of a document. Which slice comes when is `stream.py`'s.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from ... import disk
from ...core import UserError

INDEX = "sources.json"


class Sources(NamedTuple):
    """What `mix` left."""

    folder: Path
    tokens: dict[str, int]
    """Tokens of each source, ends of text among them."""
    held_out: dict[str, int]
    """Tokens of each source that no training sees."""
    end: int
    """The end-of-text token."""
    vocabulary: int
    tokenizer: str
    """What `fingerprint` says of the tokenizer."""
    dtype: str


def open_sources(folder: str | Path) -> Sources:
    """The sources in a `mix` stage's folder.

    Raises:
        UserError: there are none, or a file of them is cut.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise UserError(f"{folder} holds no tokens: name the folder of a mix stage, as in {{stage:NAME}}")
    with disk.reading(path, "run its mix stage again"):
        sources = Sources(Path(folder), **disk.read_object(path, "run its mix stage again"))
        size = numpy.dtype(sources.dtype).itemsize
        files = {file_of(sources.folder, name): count * size for name, count in sources.tokens.items()}
        files |= {file_of(sources.folder, name, held_out=True): count * size for name, count in sources.held_out.items()}
    for file, wanted in files.items():
        found = file.stat().st_size if file.is_file() else 0
        if found != wanted:
            raise UserError(f"{file} has {found:,} bytes, and {wanted:,} were written: run its mix stage again")
    return sources


def file_of(folder: Path, source: str, held_out: bool = False) -> Path:
    """Where a source's tokens lie."""
    return folder / ("held_out" if held_out else "tokens") / f"{source.replace('/', '+')}.bin"


def mapped(path: Path, dtype: str) -> numpy.ndarray:
    """The tokens of a file, (tokens,), mapped into memory."""
    return numpy.asarray(numpy.memmap(path, dtype=dtype, mode="r"))


def fingerprint(tokenizer: Any) -> str:
    """SHA-256 of what decides which number a token has."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False)
    return hashlib.sha256(f"{tokenizer.eos_token}\n{vocabulary}".encode()).hexdigest()


def smallest_dtype(vocabulary: int) -> str:
    """What a token's number fits into."""
    return "uint16" if vocabulary <= 2**16 else "uint32"
