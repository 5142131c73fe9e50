"""Checks before a run whether the sources of a `pretrain` stage can have the tokens that its phases need.

The size of a source of documents is known if it is a local file (its bytes), or if its URI declares it (`holds=CHARACTERS`) or
limits it (`characters=N`). Cleaning and the tokenizer are not taken into account, so the sum is an upper bound: the check finds
sources that are certainly too small, but a source that passes may still be too small.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...core import UserError
from ..corpus.documents import Documents
from ..corpus.mix import Mix
from ..corpus.select import Select
from ..corpus.source_size import characters, domain_of
from ..corpus.tokenizer import Tokenizer
from ..corpus.tokens import Sources
from ..stage import Stage
from .pretrain import Pretrain

SMALL = 8192
"""Size in tokens below which a vocabulary is small. Our choice."""
MIN_CHARACTERS_PER_TOKEN = {True: 1.0, False: 2.0}
"""Least number of characters per token, by whether the vocabulary is small. Our choice: with a large vocabulary English has
about 4 and code about 3."""

UNKNOWN_SIZE = 1e15
"""Assumed characters of a source of unknown size. It is so large that the other sources get the smallest possible shares. An
unknown size therefore never makes the check reject a recipe."""


class Supply(NamedTuple):
    """Available and needed tokens of a `pretrain` stage's sources."""

    stage: str
    tokens: dict[str, int]
    """Upper bound of each source's tokens; only valid if `unknown` is empty."""
    needed: dict[str, int]
    """Tokens of each source that the phases use."""
    unknown: list[str]
    """URIs of documents whose size or domain is unknown, or a reason why all sizes are unknown."""

    def line(self) -> str:
        """Returns a line for the dry run."""
        if self.unknown:
            return (
                f"{self.stage}: these sources have an unknown size before the run: {', '.join(self.unknown)} "
                "(a URI can declare it with domain=NAME and holds=CHARACTERS)"
            )
        sizes = ", ".join(
            f"{source} {size:,} ({self.needed[source] / max(size, 1):.2f})" for source, size in self.tokens.items()
        )
        return f"{self.stage}: upper bound of its sources' tokens (and lower bound of the passes over them): {sizes}"


def check(stages: Sequence[Stage], policy: str, folder: Path) -> list[Supply]:
    """Returns the supply of every `pretrain` stage whose `mix` stage has not run yet.

    Args:
        stages: a recipe's stages, with references replaced.
        policy: the recipe's policy.
        folder: folder of the run.

    Raises:
        UserError: a source is too small. The message has the source, the needed and the available tokens.
    """
    named = {str((folder / stage.name).resolve()): stage for stage in stages}
    found = []
    for stage in stages:
        mix = named.get(str(Path(stage.data).resolve())) if isinstance(stage, Pretrain) else None
        if isinstance(stage, Pretrain) and isinstance(mix, Mix) and not (folder / mix.name / "stage.json").is_file():
            sizes = [other.vocabulary for other in stages if isinstance(other, Tokenizer)]
            small = min(sizes) < SMALL if sizes else (mix.policy or policy).startswith("micro:")
            found.append(_supply(stage, mix, named, MIN_CHARACTERS_PER_TOKEN[small]))
    return found


def _supply(stage: Pretrain, mix: Mix, named: Mapping[str, Stage], per_token: float) -> Supply:
    select: Select | None = None
    current: Stage = mix
    while not isinstance(current, Documents):
        previous = named.get(getattr(current, "documents", ""))
        if previous is None:
            return Supply(stage.name, {}, {}, ["documents of another run"])
        if isinstance(previous, Select):
            if previous.grade_by != "share":
                return Supply(stage.name, {}, {}, [f"{previous.name}, which grades by score"])
            select = previous
        current = previous
    found: dict[str, float] = {}
    described = [(uri, domain_of(uri), characters(uri)) for uri in current.sources]
    unknown = [uri for uri, domain, size in described if domain is None or size is None]
    for _, domain, size in described:
        if domain is None:  # rows of a URI without a domain may belong to any source
            return Supply(stage.name, {}, {}, unknown)
        found[domain] = found.get(domain, 0) + (UNKNOWN_SIZE if size is None else size)
    grades = {"": 1.0}
    if select:  # rounded, because 1 - 0.7 - 0.3 is not 0
        grades = {"high/": select.high, "medium/": select.medium, "low/": round(1 - select.high - select.medium, 9)}
    bounds = {
        f"{grade}{domain}": int(mix.within(f"{grade}{domain}", share * size * (1 - mix.held_out) / per_token))
        for domain, size in found.items()
        for grade, share in grades.items()
        if share
    }
    sources = Sources(Path(), dict(sorted(bounds.items())), {}, 0, 0, "", "uint32")
    try:
        planned = stage.plan(sources)
    except UserError as error:
        raise UserError(f"{stage.name}: {error} (upper bound of the tokens of {mix.name})") from None
    needed = dict.fromkeys(sources.tokens, 0)
    for phase, parts in zip(stage.phases, planned, strict=True):
        for part in parts:
            needed[part.source] += part.sequences * phase.context
    return Supply(stage.name, sources.tokens, needed, unknown)
