"""What a run shows: a plan, a progress bar a stage, a table at the end, and a page with pictures."""

import base64
import contextlib
import html
import io
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ... import disk, signals
from ...terminal import Console, plain
from ..stage import Stage, anew

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..bench import scoreboard

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

    def table(self, stages: Sequence[Stage], records: dict[str, Record], folder: Path) -> None:
        """Ends a run: what every stage came to."""
        from ..bench import scoreboard  # what shows progress alone does without statistics

        table = Table("stage", "kind", "seconds", "result", title=None)
        for stage in stages:
            record = records[stage.name]
            table.add_row(stage.name, stage.kind, _seconds(record), stage.summary(record["metrics"]))
        self.console.print(table)
        if rows := scoreboard.board(folder, records):
            self.console.print(scoreboard.table(rows))
        self.console.print(f"report: {folder / 'report.html'}")


@contextlib.contextmanager
def _interrupts() -> Iterator[list[KeyboardInterrupt]]:
    """Records interrupts (Ctrl-C, and those of `signals.as_interrupts`), because Python drops an exception in a destructor."""
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


def write(folder: Path, name: str, stages: Sequence[Stage], records: dict[str, Record]) -> None:
    """Writes `report.html`: the table, and a picture of every stage that has a curve."""
    from ..bench import scoreboard

    rows = pictures = ""
    for stage in stages:
        record, at = records[stage.name], folder / stage.name
        with disk.reading(at / "stage.json", anew(at)):
            rows += (
                f"<tr><td>{_link(folder, stage.name)}</td><td>{stage.kind}</td><td>{_seconds(record)}</td>"
                f"<td>{html.escape(stage.summary(record['metrics']))}</td></tr>"
            )
            figure = stage.figure(record["metrics"])
            if shown := (_image(figure, stage.kind) if figure else "") + stage.tables(record["metrics"]):
                pictures += f"<h2>{html.escape(stage.name)}</h2>{shown}"
    board = _board(scoreboard.board(folder, records))
    page = (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(name)}</title>"
        "<style>body{font:16px system-ui;max-width:52em;margin:2em auto;padding:0 1em}td,th{padding:.3em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}img{max-width:100%}</style>"
        f"<h1>{html.escape(name)}</h1>{board}<table><tr><th>stage<th>kind<th>seconds<th>result</tr>{rows}</table>{pictures}"
        "<p>Stage, seeds, versions and input hashes are in each stage's stage.json.</p>"
    )
    disk.write(folder / "report.html", page)


def _board(rows: "scoreboard.Board") -> str:
    """The benchmarks' table; a change whose interval holds no 0 is set in bold."""
    if not rows:
        return ""
    from ..bench import scoreboard

    tasks = scoreboard.tasks(rows)

    def cell(found: "scoreboard.Cell | None") -> str:
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


def _image(figure: "Figure", kind: str) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="svg")
    return f'<img alt="{kind}" src="data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}">'
