"""Token files: flat, memory-mapped files of each source's tokens, with an end-of-text token after each document.

    tokens/SOURCE.bin       the training tokens of the source, one document after the other
    held_out/SOURCE.bin     the tokens of its held-out documents
    sources.json            the number of tokens of each source, the tokenizer that they were made with, and the share of
                            the documents that is held out

A training sequence is a slice of a source: it may begin and end within a document. `pretrain/stream.py` decides the order of
the slices.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy

from ... import disk
from ...core import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INDEX = "sources.json"


class Sources(NamedTuple):
    """The token files that a `mix` stage wrote."""

    folder: Path
    tokens: dict[str, int]
    """Number of training tokens of each source, end-of-text tokens included."""
    held_out: dict[str, int]
    """Number of held-out tokens of each source. They are not trained on."""
    end: int
    """Id of the end-of-text token."""
    vocabulary: int
    """Number of tokens in the tokenizer's vocabulary."""
    tokenizer: str
    """`fingerprint` of the tokenizer."""
    dtype: str
    """Numpy type of the token ids."""
    held_out_share: float | None = None
    """Share of the documents that is held out; None for a `mix` stage of an earlier version."""


def open_sources(folder: str | Path) -> Sources:
    """Returns the sources in a `mix` stage's folder.

    Raises:
        UserError: the folder has no sources, or a token file has the wrong size.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise UserError(f"{folder} contains no tokens: use the folder of a mix stage, as in {{stage:NAME}}")
    with disk.reading(path, "run its mix stage again"):
        sources = Sources(Path(folder), **disk.read_object(path, "run its mix stage again"))
        size = numpy.dtype(sources.dtype).itemsize
        files = {file_of(sources.folder, name): count * size for name, count in sources.tokens.items()}
        files |= {file_of(sources.folder, name, held_out=True): count * size for name, count in sources.held_out.items()}
    for file, expected in files.items():
        actual = file.stat().st_size if file.is_file() else 0
        if actual != expected:
            raise UserError(f"{file}: expected {expected:,} bytes, got {actual:,}; run its mix stage again")
    return sources


def file_of(folder: Path, source: str, held_out: bool = False) -> Path:
    """Returns the path of a source's token file.

    Args:
        folder: folder of the `mix` stage.
        source: the source's name.
        held_out: whether to return the file of held-out tokens.
    """
    return folder / ("held_out" if held_out else "tokens") / f"{source.replace('/', '+')}.bin"


def memory_map(path: Path, dtype: str) -> numpy.ndarray:
    """Returns the tokens of a file as a memory-mapped array of shape (tokens,)."""
    return numpy.asarray(numpy.memmap(path, dtype=dtype, mode="r"))


def fingerprint(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Returns the SHA-256 of the vocabulary and the end-of-text token."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False)
    return hashlib.sha256(f"{tokenizer.eos_token}\n{vocabulary}".encode()).hexdigest()


def smallest_dtype(vocabulary: int) -> str:
    """Returns the smallest unsigned type for the token ids of a vocabulary of this size."""
    return "uint16" if vocabulary <= 2**16 else "uint32"
