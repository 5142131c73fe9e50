import os
import signal

import pytest

from tenfold.pipelines.recipe.report import Display


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_swallowed_ends_the_stage_at_its_next_step() -> None:
    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with Display(quiet=True).stage("stage") as progress:
        progress(1, 10)
        Swallows()
        with pytest.raises(KeyboardInterrupt):
            progress(2, 10)
    assert signal.getsignal(signal.SIGINT) is before
