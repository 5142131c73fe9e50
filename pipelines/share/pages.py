"""The pages of a run: report, viewer, tables of results, curves and recipe; episodes only if they are asked for."""

import tempfile
from pathlib import Path

from ... import disk
from ...core import UserError
from ..recipe.report import page
from ..stage import RECORD, STEPS
from ..view import export
from . import card, contents, origin, parcel
from .address import Address
from .contents import PAGES, RECIPE, File
from .origin import Run

VIEWER = "viewer.html"
EPISODES = 200
"""Episodes of each stage in the viewer's page, as `tenfold view --export` has them."""
_STAGE_FILES = (RECORD, STEPS, "*.result.json")
_WITH_EPISODES = ("*.samples.jsonl", "*.scores.jsonl", "episodes.jsonl", "episodes/*.jsonl", *page.PAGES, "page/*/*.js")
"""Files of a stage with prompts and responses. The pages of benchmarks load them."""


def pack(location: str, address: Address, licence: str | None, patterns: list[str], *, episodes: bool) -> parcel.Parcel:
    """Returns what a push of a run's pages sends.

    Args:
        location: folder of the run.
        address: where it goes.
        licence: the licence that the user names; None for none.
        patterns: files to leave out.
        episodes: whether prompts and responses go.

    Raises:
        UserError: it is not the folder of a run, or none of its stages is finished.
    """
    folder = disk.expanded(location)
    run = origin.run_of(folder)
    if not run.records:
        raise UserError(f"{folder}: no stage of the run is finished")
    files = [_viewer(folder, EPISODES if episodes else 0)]
    wanted = [RECIPE, page.NAME]
    for name in run.records:
        wanted += [f"{name}/{pattern}" for pattern in (*_STAGE_FILES, *(_WITH_EPISODES if episodes else ()))]
    found, left_out = contents.walk(folder, PAGES)
    chosen = {name for name in found if any(_matches(name, pattern) for pattern in wanted)}
    files += [contents.of_path(name, found[name]) for name in sorted(chosen)]
    files, named = parcel.without(files, patterns)
    rest = [contents.LeftOut(name, "no page, table or recipe") for name in found if name not in chosen]
    if not episodes:
        rest = [contents.LeftOut(each.path, "episodes, logs and data do not go") for each in rest]
    text = _card(address, files, run, licence, episodes)
    return parcel.Parcel(PAGES, "dataset", tuple(files), (*left_out, *rest, *named), (), text)


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and Path(name).match(pattern)


def _viewer(folder: Path, limit: int) -> File:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, VIEWER)
        export.write(path, [str(folder)], limit)
        return contents.of_bytes(VIEWER, path.read_bytes())


def _card(address: Address, files: list[File], run: Run, licence: str | None, episodes: bool) -> str:
    from huggingface_hub import DatasetCardData

    title = address.name.rpartition("/")[2]
    described = card.cell(run.recipe.get("description") or "")
    data = DatasetCardData(license=licence, tags=["tenfold", "training-run"], pretty_name=title, viewer=False)
    data[parcel.KIND_KEY] = PAGES
    last = [*run.records.values()][-1]
    shown = "with episodes" if episodes else "without episodes"
    pages = f"`{VIEWER}` has stages, curves and results ({shown}), and `{page.NAME}` the report. Open them in a browser.\n"
    commands = [
        f"tenfold pull datasets/{address.name}",
        f"tenfold run {title}/{RECIPE} --dry-run",
        f"tenfold run {title}/{RECIPE}",
    ]
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {title}\n\nA run of the recipe `{card.cell(run.name)}` with tenfold.\n\n",
        f"{described}\n\n" if described else "",
        card.section("Pages", pages),
        card.section("Scores", card.scores(run, {})),
        card.section("Cautions", card.bullets(card.cautions(run))),
        card.section("Stages", card.stages(run)),
        card.section("Repeat the run", card.block("bash", "\n".join(commands)) + "\n" + card.provenance(run, last)),
        card.section("Recipe", card.folded(RECIPE, card.block("yaml", run.recipe_text))),
        parcel.listing(files),
    ]
    return card.checked("".join(parts), model=False)
