"""The output of a run in the terminal: the plan, a progress bar for each stage, and the final table."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from .... import signals
from ....terminal import Console, plain
from ...stage import Stage
from ..progress.pace import LastValues, Pace

Record = dict[str, Any]
LINE_SECONDS = 120
"""Seconds after which a stage prints a line if the output is not a terminal. Our choice."""
BARS = ((100, 40), (60, 10))
"""Columns of a terminal, and the length of the bar that it has room for. Our choice."""


class Display:
    """Shows a run's progress: bars on a terminal, else a line for each tenth of a stage."""

    def __init__(self, quiet: bool = False, examples: int = 0):
        """Opens the console.

        Args:
            quiet: print nothing.
            examples: number of the best, and of the worst samples of each step to print.
        """
        self.console, self.examples = Console(quiet=quiet), examples

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.console.show_cursor()

    def plan(self, name: str, description: str, folder: Path, stages: list[tuple[str, str, str]]) -> None:
        """Prints the stages of a run.

        Args:
            name: name of the recipe.
            description: one line, or empty.
            folder: folder of the run.
            stages: (name, kind, state) of each stage.
        """
        self.console.print(name, style="bold", end="")
        self.console.print(f" in {folder}" + (f": {description}" if description else ""))
        for number, (stage, kind, state) in enumerate(stages, start=1):
            self.console.print(f"  {number}. {stage} ({kind}): {state}")

    def lines(self, lines: Sequence[str]) -> None:
        """Prints lines."""
        for line in lines:
            self.console.print(line, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Callable[..., None]]:
        """Shows the progress of one stage; yields progress(done, total, **values).

        That function raises a KeyboardInterrupt again if other code has discarded it.
        """
        with _interrupts() as interrupts, self._progress_of(name) as update:

            def step(done: int, total: int, **values: object) -> None:
                if interrupts:
                    raise interrupts[0]
                update(done, total, **values)

            yield step

    @contextlib.contextmanager
    def _progress_of(self, name: str) -> Iterator[Callable[..., None]]:
        if not self.console.is_terminal:
            yield self._lines(name)
            return
        width = self.console.width
        name_column = Column(no_wrap=True, overflow="ellipsis", max_width=max(8, width // 3))
        bar_width = next((size for columns, size in BARS if width >= columns), None)
        columns = (
            TextColumn("{task.description}", markup=False, table_column=name_column),
            *((BarColumn(bar_width=bar_width),) if bar_width else ()),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task(plain(name), total=None, text="starting")
            pace, last = Pace(), LastValues()

            def update(done: int, total: int, **values: object) -> None:
                pace.add(done, total)
                shown = _values_text(last.after(done, total, values))
                texts = (_done_text(done, total), str(pace) if done < total else "", shown)
                bar.update(task, completed=done, total=total or None, text="  ".join(filter(None, texts)))

            yield update

    def _lines(self, name: str) -> Callable[..., None]:
        """Prints a line at the start, for logs; returns a function that prints one at each tenth and after `LINE_SECONDS`."""
        self.console.print(f"{name}: starting")
        printed, at, last, pace = 0, time.monotonic(), LastValues(), Pace()

        def update(done: int, total: int, **values: object) -> None:
            nonlocal printed, at
            shown = _values_text(last.after(done, total, values))
            pace.add(done, total)
            tenth, now = 10 * done // max(total, 1), time.monotonic()
            if tenth > printed or now > at + LINE_SECONDS or not total:
                printed, at = tenth, now
                texts = (f"{name}:", _done_text(done, total), shown, f"({pace})" if done < total and str(pace) else "")
                self.console.print(" ".join(filter(None, texts)), soft_wrap=True)

        return update

    def table(self, stages: Sequence[Stage], records: dict[str, Record], folder: Path) -> None:
        """Prints the results of all stages at the end of a run.

        Args:
            stages: stages of the recipe.
            records: their `stage.json`, by name.
            folder: folder of the run.
        """
        from ...bench import scoreboard  # imported here because commands that only show progress need no statistics

        table = Table("stage", "kind", "seconds", "result", title=None)
        for stage in stages:
            record = records[stage.name]
            table.add_row(stage.name, stage.kind, seconds(record), result(stage, record))
        self.console.print(table)
        if rows := scoreboard.board(folder, records):
            self.console.print(scoreboard.table(rows))
            self.lines(scoreboard.learned(folder, rows))
        self.console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
        self.console.print(f"curves and episodes in a browser: tenfold view {folder}", soft_wrap=True)
        if grpo := [stage.name for stage in stages if stage.kind == "grpo"]:
            self.console.print(f"samples of the last step: tenfold show {folder} --stage {grpo[-1]}", soft_wrap=True)


@contextlib.contextmanager
def _interrupts() -> Iterator[list[KeyboardInterrupt]]:
    """Records the exceptions of signal handlers, because Python discards an exception that is raised within a destructor."""
    interrupts: list[KeyboardInterrupt] = []

    def record(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
        try:
            handler(number, frame)
        except KeyboardInterrupt as error:
            interrupts.append(error)
            raise

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *signals.ENDING)}
    replaced = [number for number, handler in before.items() if callable(handler)]
    for number in replaced:
        signal.signal(number, record)
    try:
        yield interrupts
    finally:
        for number in replaced:
            signal.signal(number, before[number])


def _done_text(done: int, total: int) -> str:
    """Returns how much is done as text; empty if the work has not begun, so that its amount is not known."""
    return f"{done}/{total}" if total else ""


def _values_text(values: dict[str, object]) -> str:
    texts = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items())
    return plain("  ".join(texts))


def result(stage: Stage, record: Record) -> str:
    """Returns a stage's summary. If a new run would differ, it names the steps after which the stage was extended."""
    steps = [str(each["step"]) for each in record.get("extended", []) if not each["exact"]]
    extended = f"; extended after step {', '.join(steps)}: a new run would differ" if steps else ""
    return stage.summary(record["metrics"]) + extended


def seconds(record: Record) -> str:
    """Returns how long a stage took, as text."""
    return f"{record['wall_seconds']:.0f}" + (" since resumed" if record["resumed"] else "")
