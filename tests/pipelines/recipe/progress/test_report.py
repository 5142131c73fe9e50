"""The display of a run's progress."""

import os
import signal

import pytest

from tenfold.pipelines.recipe.report import Display


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
