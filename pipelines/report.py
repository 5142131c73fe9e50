"""What a run shows: a plan, a progress bar a stage, a table at the end, and a page with pictures."""

import base64
import contextlib
import html
import io
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .. import disk, signals
from ..terminal import Console, plain
from . import identity, scoreboard, summary
from .corpus import page as corpus_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]


class Display:
    """The terminal's side of a run. On a terminal bars move; elsewhere a line is printed now and then."""

    def __init__(self, quiet: bool = False):
        """Shows nothing when `quiet`."""
        self.console = Console(quiet=quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.console.show_cursor()

    def plan(self, name: str, description: str, folder: Path, stages: list[tuple[str, str, str]]) -> None:
        """Says what will be done: (name, kind, state) of every stage."""
        self.console.print(name, style="bold", end="")
        self.console.print(f" in {folder}" + (f": {description}" if description else ""))
        for number, (stage, kind, state) in enumerate(stages, start=1):
            self.console.print(f"  {number}. {stage} ({kind}): {state}")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Callable[..., None]]:
        """A bar for one stage; yields what moves it, and what ends the stage on Ctrl-C whoever swallowed the exception."""
        with _interrupts() as noted, self._shown(name) as move:

            def step(done: int, total: int, **figures: Any) -> None:
                if noted:
                    raise noted[0]
                move(done, total, **figures)

            yield step

    @contextlib.contextmanager
    def _shown(self, name: str) -> Iterator[Callable[..., None]]:
        if not self.console.is_terminal:
            yield self._lines(name)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task(plain(name), total=None, said="starting")

            def move(done: int, total: int, **figures: Any) -> None:
                bar.update(task, completed=done, total=total)
                if figures:
                    bar.update(task, said=_said(figures))

            yield move

    def _lines(self, name: str) -> Callable[..., None]:
        """For a log: a line at the start and at every tenth of the way."""
        self.console.print(f"{name}: starting")
        shown = 0

        def move(done: int, total: int, **figures: Any) -> None:
            nonlocal shown
            if (tenth := 10 * done // max(total, 1)) > shown:
                shown = tenth
                self.console.print(f"{name}: {done}/{total} {_said(figures)}".rstrip())

        return move

    def table(self, records: dict[str, Record], folder: Path) -> None:
        """Ends a run: what every stage came to."""
        table = Table("stage", "kind", "seconds", "result", title=None)
        for name, record in records.items():
            table.add_row(name, record["stage"]["kind"], _seconds(record), summary.line(record))
        self.console.print(table)
        if rows := scoreboard.board(folder, records):
            self.console.print(scoreboard.table(rows))
        self.console.print(f"report: {folder / 'report.html'}")


@contextlib.contextmanager
def _interrupts() -> Iterator[list[KeyboardInterrupt]]:
    """Notes what signals raise (Ctrl-C, and what `signals.heard` does): Python drops an exception within a destructor, say."""
    noted: list[KeyboardInterrupt] = []

    def note(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
        try:
            handler(number, frame)
        except KeyboardInterrupt as error:
            noted.append(error)
            raise

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *signals.ENDING)}
    taken = [number for number, handler in before.items() if callable(handler)]
    for number in taken:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _said(figures: dict[str, Any]) -> str:
    said = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items())
    return plain("  ".join(said))


def _seconds(record: Record) -> str:
    return f"{record['wall_seconds']:.0f}" + (" since resumed" if record["resumed"] else "")


def write(folder: Path, name: str, records: dict[str, Record]) -> None:
    """Writes `report.html`: the table, and a picture of every stage that has a curve."""
    rows = pictures = ""
    for stage, record in records.items():
        with disk.understood(folder / stage / "stage.json", identity.anew(folder / stage)):
            rows += (
                f"<tr><td>{_link(folder, stage)}</td><td>{record['stage']['kind']}</td><td>{_seconds(record)}</td>"
                f"<td>{html.escape(summary.line(record))}</td></tr>"
            )
            if shown := (_picture(record) or "") + corpus_page.section(record):
                pictures += f"<h2>{html.escape(stage)}</h2>{shown}"
    board = _board(scoreboard.board(folder, records))
    page = (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(name)}</title>"
        "<style>body{font:16px system-ui;max-width:52em;margin:2em auto;padding:0 1em}td,th{padding:.3em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}img{max-width:100%}</style>"
        f"<h1>{html.escape(name)}</h1>{board}<table><tr><th>stage<th>kind<th>seconds<th>result</tr>{rows}</table>{pictures}"
        "<p>Settings, seeds, versions and input hashes are in each stage's stage.json.</p>"
    )
    disk.write(folder / "report.html", page)


def _board(rows: scoreboard.Board) -> str:
    """The benchmarks' table; a change whose interval holds no 0 is set in bold."""
    if not rows:
        return ""
    tasks = scoreboard.tasks(rows)

    def cell(found: scoreboard.Cell | None) -> str:
        if found is None:
            return "<td>"
        text, change = scoreboard.interval(found.score), found.change
        said = "" if change is None else f"<br><b>{change}</b>" if change.low > 0 or change.high < 0 else f"<br>{change}"
        return f"<td>{text}{said}"

    head = "".join(f"<th>{html.escape(task)}" for task in tasks)
    body = "".join(f"<tr><td>{html.escape(name)}{''.join(cell(row.get(task)) for task in tasks)}" for name, row in rows.items())
    caption = "avg@k with its 95% interval, and the change since the row above on the same problems"
    return f"<table><caption>{caption}</caption><tr><th>{head}{body}</table>"


def _link(folder: Path, stage: str) -> str:
    """The stage's name, as a link to the page that a benchmark leaves."""
    name = html.escape(stage)
    return f'<a href="{name}/index.html">{name}</a>' if (folder / stage / "index.html").is_file() else name


def _picture(record: Record) -> str | None:
    """The stage's curve as an image tag: loss, reward, or the histogram of pass rates."""
    metrics, kind = record["metrics"], record["stage"]["kind"]
    if kind not in ("sft", "pretrain", "distill", "grpo", "filter"):
        return None
    from matplotlib.figure import Figure

    if kind == "grpo":
        return _image(_curves(metrics["curves"]), kind)
    if kind == "distill":
        logged = {name: points for name, points in ({"loss": metrics["losses"]} | metrics["figures"]).items() if points}
        values = {name: [value for _, value in points] for name, points in logged.items()}
        return _image(_curves(values, [step for step, _ in metrics["losses"]]), kind)
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    if kind == "filter":
        bins = len(metrics["histogram"])
        axes.bar([(i + 0.5) / bins for i in range(bins)], metrics["histogram"], width=0.9 / bins)
        axes.axvspan(*record["stage"]["band"], alpha=0.15)
        axes.set(xlabel="estimated pass rate (shaded: the band)", ylabel="problems")
    else:
        axes.plot(*zip(*metrics["losses"], strict=True))
        axes.set(xlabel="step", ylabel="loss")
    return _image(figure, kind)


def _curves(curves: Mapping[str, Sequence[float | None]], steps: Sequence[int] | None = None) -> "Figure":
    """A small picture of each figure over the steps, all of them or those given; a gap where a step has none."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(2, math.ceil(len(curves) / 2)).flat, curves.items(), strict=False):
        axes.plot(steps or range(1, len(values) + 1), [math.nan if value is None else value for value in values])
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure


def _image(figure: "Figure", kind: str) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="svg")
    return f'<img alt="{kind}" src="data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}">'
