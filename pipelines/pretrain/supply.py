"""Whether the sources of a pretraining hold what it asks for, summed up before anything runs.

A source of documents is counted where its size is known: files on this machine by their bytes, any other one by what its URI
declares (`holds=CHARACTERS`) or is limited to (`characters=N`). What cleaning removes is not known, nor how many characters the
tokenizer will put into a token, so that the sum is what there is at most: it refuses what cannot be, and promises nothing.
"""

import contextlib
import glob
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ...core import UserError
from ..corpus import documents
from ..corpus.documents import Documents
from ..corpus.mix import Mix
from ..corpus.select import Select
from ..corpus.tokenizer import Tokenizer
from ..corpus.tokens import Sources
from ..stage import Stage
from .pretrain import Pretrain

SMALL = 8192
"""Tokens of a small vocabulary."""
FEWEST = {True: 1.0, False: 2.0}
"""Characters a token at least, by whether the vocabulary is small (ours; English has about 4 in a large one, code about 3)."""

ENDLESS = 1e15
"""Characters of a source whose size nobody knows: of those beside it in a mixture, the least that can be is then asked for."""


class Supply(NamedTuple):
    """What a `pretrain` stage asks for of its sources, where their sizes are known."""

    stage: str
    tokens: dict[str, int]
    """What each source holds at most; to be believed where nothing is unknown."""
    asked: dict[str, int]
    """What the stage asks for of each."""
    unknown: list[str]
    """URIs of documents whose size or domain nobody knows."""

    def line(self) -> str:
        """One line for the dry run."""
        if self.unknown:
            return (
                f"{self.stage}: what its sources hold is not known before the run: {', '.join(self.unknown)} "
                "(declare it with domain=NAME and holds=CHARACTERS)"
            )
        said = ", ".join(f"{source} {held:,} ({self.asked[source] / held:.2f})" for source, held in self.tokens.items())
        return f"{self.stage}: tokens of its sources at most (and passes over them at least): {said}"


def check(stages: Sequence[Stage], policy: str, folder: Path) -> list[Supply]:
    """Sums up the supply of every `pretrain` stage whose data are not made yet.

    Args:
        stages: a recipe's, with the folders of its stages filled in.
        policy: the recipe's.
        folder: of the run.

    Raises:
        UserError: a source holds less than is asked for; the line names source, asked and available tokens.
    """
    named = {str((folder / stage.name).resolve()): stage for stage in stages}
    found = []
    for stage in stages:
        mix = named.get(str(Path(stage.data).resolve())) if isinstance(stage, Pretrain) else None
        if isinstance(stage, Pretrain) and isinstance(mix, Mix) and not (folder / mix.name / "stage.json").is_file():
            sizes = [one.vocabulary for one in stages if isinstance(one, Tokenizer)]
            small = min(sizes) < SMALL if sizes else (mix.policy or policy).startswith("micro:")
            found.append(_supply(stage, mix, named, FEWEST[small]))
    return found


def _supply(stage: Pretrain, mix: Mix, named: Mapping[str, Stage], of_token: float) -> Supply:
    select: Select | None = None
    at: Any = mix
    while not isinstance(at, Documents):
        at = named.get(getattr(at, "documents", ""))
        if at is None or (isinstance(at, Select) and at.by != "share"):
            return Supply(
                stage.name, {}, {}, ["documents of another run" if at is None else f"{at.name}, which cuts at scores"]
            )
        select = at if isinstance(at, Select) else select
    characters: dict[str, float] = {}
    unknown = [uri for uri in at.sources if _domain(uri) is None or _characters(uri) is None]
    if any(_domain(uri) is None for uri in unknown):  # whose rows may be of any domain
        return Supply(stage.name, {}, {}, unknown)
    for uri in at.sources:
        domain, size = _domain(uri) or "", _characters(uri)
        characters[domain] = characters.get(domain, 0) + (ENDLESS if size is None else size)
    grades = {"high/": select.high, "medium/": select.medium, "low/": 1 - select.high - select.medium} if select else {"": 1.0}
    held = {
        f"{grade}{domain}": int(mix.within(f"{grade}{domain}", share * size * (1 - mix.held_out) / of_token))
        for domain, size in characters.items()
        for grade, share in grades.items()
        if share
    }
    sources = Sources(Path(), dict(sorted(held.items())), {}, 0, 0, "", "uint32")
    try:
        planned = stage.planned(sources)
    except UserError as error:
        raise UserError(f"{stage.name}: {error} (tokens that {mix.name} will find at most)") from None
    asked = dict.fromkeys(sources.tokens, 0)
    for phase, parts in zip(stage.phases, planned, strict=True):
        for part in parts:
            asked[part.source] += part.sequences * phase.context
    return Supply(stage.name, sources.tokens, asked, unknown)


def _options(uri: str) -> dict[str, str]:
    return dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))


def _domain(uri: str) -> str | None:
    """What a source's documents are counted as; None where each row may say so itself."""
    own = {"text": "text", "problems": "problems", "python:code": "code", "python:documentation": "text"}
    address = uri.partition("?")[0]
    return _options(uri).get("domain") or own.get(address) or own.get(address.partition(":")[0])


def _characters(uri: str) -> float | None:
    """Characters of a source at most; None where nobody knows."""
    options = _options(uri)
    with contextlib.suppress(ValueError):
        told = [float(options[name]) for name in ("holds", "characters") if name in options]
        size = _bytes(uri)
        return min([*told, *([] if size is None else [size])], default=None)
    return None


def _bytes(uri: str) -> float | None:
    """Bytes of local files, which have no more characters; of parquet, before it is compressed."""
    scheme = uri.partition(":")[0]
    if scheme not in ("text", "jsonl", "parquet"):
        return None
    return math.fsum(size for part in documents.files(uri) for size in _sizes(scheme, part))


def _sizes(scheme: str, uri: str) -> Iterator[float]:
    pattern = str(Path(uri.partition("?")[0].partition(":")[2]).expanduser())
    for path in map(Path, glob.glob(pattern, recursive=True) if scheme == "text" else [pattern]):
        if scheme == "parquet":
            import pyarrow.parquet

            with contextlib.suppress(OSError, ValueError):  # the stage itself says what is wrong with the file
                groups = pyarrow.parquet.read_metadata(path)
                yield from (groups.row_group(number).total_byte_size for number in range(groups.num_row_groups))
        else:
            with contextlib.suppress(OSError):
                yield path.stat().st_size if path.is_file() else 0
