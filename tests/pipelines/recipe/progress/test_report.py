"""The display of a run's progress."""

import io
import os
import re
import signal

import pytest

from tenfold.pipelines.recipe.report.display import Display
from tenfold.terminal import Console


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_discarded_interrupt_is_raised_again_at_the_next_step() -> None:
    class InterruptsInDestructor:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with Display(quiet=True).stage("stage") as progress:
        progress(1, 10)
        InterruptsInDestructor()
        with pytest.raises(KeyboardInterrupt):
            progress(2, 10)
    assert signal.getsignal(signal.SIGINT) is before


def test_lines_of_a_log_repeat_the_last_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A training reports its loss only in some of its steps."""
    with Display().stage("sft") as progress:
        progress(9, 100, loss=2.5)
        progress(10, 100)
        progress(11, 100, loss=2.25)
        progress(20, 100)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["sft: starting", "sft: 10/100 loss 2.5", "sft: 20/100 loss 2.25"]
    assert all(line.endswith(" left)") or "/s)" in line for line in lines[1:])


def test_a_value_that_is_none_is_not_shown_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    with Display().stage("grpo") as progress:
        progress(0, 2, waiting="for verl to start")
        progress(1, 2, waiting=None, reward=0.5)
    assert capsys.readouterr().out.splitlines()[1].startswith("grpo: 1/2 reward 0.5 (")


def test_a_log_says_what_a_stage_waits_for_before_its_work_begins(capsys: pytest.CaptureFixture[str]) -> None:
    with Display().stage("filter") as progress:
        progress(0, 0, waiting="for the policy to load")
        progress(5, 10)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["filter: starting", "filter: waiting for the policy to load"]
    assert lines[2].startswith("filter: 5/10")
    assert "waiting" not in lines[2]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_bar_fits_the_terminal(width: int) -> None:
    display, output = Display(), io.StringIO()
    display.console = Console(file=output, width=width, force_terminal=True, color_system=None)
    with display.stage("a_stage_with_a_long_name") as progress:
        progress(0, 0, waiting="for the policy to load")
        progress(200, 1000, loss=2.5, reward=0.25, note="x" * 100)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue()))
    assert any("200/1000" in line for line in lines)
    assert max(map(len, lines)) <= width
