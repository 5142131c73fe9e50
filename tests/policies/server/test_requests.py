import os
import signal
import threading

import pytest

from tenfold.core import Sampling, SamplingIncomplete
from tenfold.policies.openai import OpenAIPolicy
from tenfold.policies.server import requests as at_once

from .servers import Reply, Request, answer, serving


def test_results_of_concurrent_calls_are_in_order() -> None:
    together = threading.Barrier(3)

    def work(number: int) -> int:
        together.wait(60)
        if number == 2:
            raise KeyError(number)
        return number * number

    found = at_once.finished(work, range(3), max_threads=3)
    assert [future.result() for future in found[:2]] == [0, 1]
    assert isinstance(found[2].exception(), KeyError)


def test_an_interrupt_does_not_wait_and_keeps_finished_results() -> None:
    over = threading.Event()
    requests: list[Request] = []

    def reply(request: Request) -> Reply:
        requests.append(request)
        if len(requests) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            over.wait(60)
        return Reply(answer("7"))

    question = [[{"role": "user", "content": f"{number}?"}] for number in range(3)]
    with serving(reply) as server:
        policy = OpenAIPolicy("m", server.url, batch_size=1)
        with pytest.raises(SamplingIncomplete) as raised:
            policy.generate(question, 1, Sampling())
        over.set()
    assert [row[0] and row[0].text for row in raised.value.completions] == ["7", None, None]
    assert isinstance(raised.value.error_to_raise, KeyboardInterrupt)


def test_an_interrupt_while_the_threads_start_keeps_finished_results(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        thread.join(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    done = at_once.finished(lambda number: number, range(2), max_threads=2)
    assert [future.result() for future in done] == [0, 1]
