"""Writes a run's results as tables into the pages of docs/results/, with command, commit and machine.

    python docs/results.py runs/quickstart                   the run of a recipe: its stages, tags and benchmarks
    python docs/results.py bench/mine                        a folder of `tenfold bench`

Figures come from `stage.json` and `*.result.json` alone. The tables replace what stands between these two lines of a page:

    <!-- results: runs/quickstart -->
    <!-- /results -->

If no page has these lines, the tables are printed.
"""

import argparse
import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tenfold.benchmarks import catalogue, task
from tenfold.benchmarks.result import Options, Result, results
from tenfold.core import UserError
from tenfold.pipelines.bench import scoreboard
from tenfold.pipelines.corpus.tag import Tag
from tenfold.pipelines.corpus.tagging import predictability
from tenfold.pipelines.recipe import provenance
from tenfold.pipelines.recipe import recipe as recipes
from tenfold.pipelines.stage import finished_record
from tenfold.pipelines.stages import KINDS

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "results"


def cell(text: object) -> str:
    """A text as the cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table in Markdown."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(map(cell, row)) + " |" for row in rows),
    ]


def percent(share: float) -> str:
    """A share of 1 as percent, without the sign."""
    return f"{100 * share:.1f}"


def of_run(folder: Path) -> Iterator[str]:
    """The tables of a recipe's run: one row for each stage, the dimensions of tag stages, and the benchmarks' changes.

    Raises:
        UserError: a stage is not finished, or its record is broken.
    """
    content = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    records = {stage["name"]: finished_record(folder / stage["name"]) for stage in content["stages"]}
    rows: list[list[object]] = []
    tags: list[str] = []
    for name, record in records.items():
        stage = KINDS[record["stage"]["kind"]].model_construct(**record["stage"])  # its settings were checked by the run
        if isinstance(stage, Tag):
            said = (f"- {line}" for line in predictability.lines(record["metrics"]))
            tags += ["", f"Rank correlations by dimension, stage {name}:", "", *said, ""]
            tags += table(*stage.by_dimension(record["metrics"]))
        seconds = f"{record['wall_seconds']:.0f}" + (" (resumed)" if record["resumed"] else "")
        rows.append([name, stage.kind, seconds, stage.summary(record["metrics"])])
    yield from table(["stage", "kind", "seconds", "result"], rows)
    yield from tags
    if board := scoreboard.board(folder, records):
        tasks = scoreboard.tasks(board)
        yield ""
        yield "avg@k with its 95% interval for new problems, and the paired difference from the row above:"
        yield ""
        yield from table(["", *tasks], [[name, *(row.get(task, "") for task in tasks)] for name, row in board.items()])


def of_benchmarks(found: list[Result]) -> Iterator[str]:
    """The table of a folder of benchmark results."""
    head = ["task", "avg@k", "95%, new problems", "95%, new samples", "pass@k", "problems x samples"]
    head += ["truncated", "no score", "settings"]
    rows: list[list[object]] = []
    for result in found:
        score = result.score
        new, same = (f"{percent(low)} to {percent(high)}" for low, high in _ends(result))
        size = f"{score.problems} x {score.samples}"
        figures = [
            percent(score.mean),
            new,
            same,
            percent(score.pass_at_k),
            size,
            f"{result.truncated:.0%}",
            score.without_score,
        ]
        rows.append([result.task, *figures, f"`{result.hash}`"])
    yield from table(head, rows)


def _ends(result: Result) -> tuple[tuple[float, float], tuple[float, float]]:
    score = result.score
    return (score.low, score.high), (score.same_problems_low, score.same_problems_high)


def machine_text(machine: provenance.Machine) -> str:
    """Returns a machine as text: processors, memory and GPUs."""
    text = f"{machine['processors']} cores of {machine['processor']}, {machine['memory_gib']} GiB of memory"
    return ", ".join([text, *machine["gpus"]])


def unique(texts: Iterable[str]) -> str:
    """Returns the different texts, in order, joined by "and"."""
    return " and ".join(dict.fromkeys(texts))


def commit_of(folder: Path) -> str:
    """Returns the commit of this checkout, with which the run of a folder was probably made.

    Raises:
        UserError: the run is older than the commit, or this is not a git checkout.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
        try:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            raise UserError(f"git cannot read {ROOT}: name the commit of {folder} with --commit") from None

    records = [*folder.glob("*/settings.json"), *folder.glob("*.result.json")]
    began = min((path.stat().st_mtime for path in records), default=0.0)
    head, made = git("log", "-1", "--format=%h %ct").split()
    if began < int(made):
        raise UserError(f"{folder} was made before the commit {head}: name its commit with --commit")
    return head + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def _recipe(content: dict[str, Any], folder: Path) -> str:
    """The recipe of a run as the command names it: a recipe of the package by its name, any other by the run's copy of it."""
    name = str(content["name"])
    try:
        same = recipes.load(name).model_dump(mode="json") == content
    except UserError:
        same = False
    return name if same else str(folder / "recipe.yaml")


def _bench_commands(found: list[Result], folder: Path) -> list[str]:
    """The commands that give these results, one for each set of options."""
    by_options: dict[str, list[Result]] = {}
    for result in found:
        by_options.setdefault(_options(result), []).append(result)
    return [
        f"tenfold bench {' '.join(_task(result) for result in group)} --policy {group[0].settings.get('policy', 'URI')} "
        f"--limit {max(_number(result) for result in group)}{options} --out {folder}"
        for options, group in by_options.items()
    ]


def _number(result: Result) -> int:
    return int(result.settings.get("number") or result.settings.get("limit") or result.score.problems)


def _task(result: Result) -> str:
    """The name of a task with its number of samples, as `tenfold bench` takes it."""
    name = str(result.settings["task"])
    return name if name.startswith(catalogue.LM_EVAL) else f"{name}_avg{result.score.samples}"


def _options(result: Result) -> str:
    """The options of a result that differ from its task's own settings, as text of a command."""
    settings = result.settings
    name = str(settings["task"])
    values: dict[str, object] = {}
    if not name.startswith(catalogue.LM_EVAL) and settings.get("own") != "file":
        (request,) = catalogue.expand([name])
        with contextlib.suppress(UserError):  # an environment that is not registered here
            _, own = task.sampling_of(request, Options()) or (0, {})
            used = settings.get("sampling") or {}
            flags = {"temperature": "temperature", "top_p": "top-p", "top_k": "top-k", "max_gen_toks": "max-tokens"}
            values |= {flag: used[key] for key, flag in flags.items() if key in used and used[key] != own.get(key)}
        own_prompt = {} if request.is_environment else catalogue.settings(request.task)["metadata"]
        for key in ("system", "fewshot"):
            if settings.get(key) and settings[key] != own_prompt.get(key):
                values[key] = settings[key]
        if settings.get("own") == "problems":
            values["problems"] = settings["problems"]
    values |= {key: settings[key] for key in ("thinking",) if settings.get(key)}
    values |= {"seed": settings["seed"]} if settings.get("seed") else {}
    text = "".join(f" --{flag} {shlex.quote(str(value))}" for flag, value in values.items())
    return text + (" --text" if settings.get("text") else "")


def written(folder: Path, commit: str | None = None) -> str:
    """The tables of a folder in Markdown.

    Args:
        folder: folder of a run, or of benchmark results.
        commit: commit of the run; default: the one that its stages have recorded, else the one that is checked out.

    Raises:
        UserError: the folder holds no finished run and no result.
    """
    versions: dict[str, Any] = {}
    commits = machines = ""
    if (folder / "recipe.yaml").is_file():
        lines = [*of_run(folder)]
        content = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        command = f"tenfold run {_recipe(content, folder)} --out {folder}"
        records = [finished_record(folder / stage["name"]) for stage in content["stages"]]
        versions = records[0]["versions"]
        commits = unique(record["commit"] for record in records if "commit" in record)
        machines = unique(machine_text(record["machine"]) for record in records if "machine" in record)
    else:
        found = results(folder)
        lines = [*of_benchmarks(found)]
        command = "` and `".join(_bench_commands(found, folder))
        versions = found[0].settings.get("versions", {})
    packages = ", ".join(f"{name} {versions[name]}" for name in ("tenfold", "torch", "verl", "lm-eval") if name in versions)
    machines = machines or machine_text(provenance.machine())
    source = f"`{command}`, commit {commit or commits or commit_of(folder)}, {machines}" + (f"; {packages}" if packages else "")
    return "\n".join([*lines, "", source + "."])


def put(folder: Path, text: str, pages: Path = PAGES) -> list[Path]:
    """Replaces a folder's tables in the pages; returns the pages that have them."""
    mark = re.compile(rf"(<!-- results: {re.escape(folder.as_posix())} -->\n).*?(<!-- /results -->)", re.DOTALL)
    changed = []
    for page in sorted(pages.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = mark.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", before)
        if mark.search(before):
            page.write_text(after, encoding="utf-8")
            changed.append(page)
    return changed


def main() -> int:
    """Writes the tables of the folders that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or of benchmark results")
    parser.add_argument(
        "--commit", help="commit of the runs or results; default: the recorded one, else the one that is checked out"
    )
    parser.add_argument("--pages", type=Path, default=PAGES, help="folder with the pages (default: docs/results)")
    arguments = parser.parse_args()
    try:
        for folder in arguments.folders:
            text = written(folder, arguments.commit)
            pages = put(folder, text, arguments.pages)
            print(f"{folder}: {', '.join(map(str, pages))}" if pages else text)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
