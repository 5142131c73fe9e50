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
