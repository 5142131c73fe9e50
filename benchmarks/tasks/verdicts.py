"""Verdicts on the samples of a benchmark task, computed on the nodes of a cluster.

lm-eval judges one document after the other, in this process. With several nodes it only collects the samples, and the verdicts
on all of them are computed afterwards, on all nodes at once.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...core import Problem
from ...envs import identity
from ...policies.play.hosted import HostedVerifier, Verdicts
from ...policies.play.hosts import OnNodes
from ...policies.store import VerdictRow, verdict_to_json
from ...verifiers import VerifierLike

Logged = Mapping[str, Any]
"""What lm-eval logs of a document."""
Judge = Callable[[Sequence[Logged]], list[Sequence[VerdictRow]]]
"""Returns the verdicts on all samples of each document."""


@contextlib.contextmanager
def judged_by(task: Any, verifier: VerifierLike, on_nodes: OnNodes | None) -> Iterator[Judge]:
    """Yields the function that returns the verdicts, after lm-eval has evaluated the task within the block.

    Args:
        task: a task of lm-eval that is one of ours.
        verifier: its verifier.
        on_nodes: starts the processes that compute the verdicts. If it is None, or if the verifier loads a model, lm-eval
            computes them in this process, with `avg_at_k.process_results`.
    """
    if on_nodes is None or identity.loads_model(identity.of_verifier(verifier)):
        yield _logged_verdicts
        return
    with on_nodes(functools.partial(Verdicts, verifier)) as hosts:
        if hosts is None:
            yield _logged_verdicts
            return
        task.set_config("process_results", _no_metrics)
        verify = HostedVerifier(hosts)

        def judge(documents: Sequence[Logged]) -> list[Sequence[VerdictRow]]:
            problems = [Problem(**json.loads(document["doc"]["problem"])) for document in documents]
            responses: list[list[str]] = [document["filtered_resps"][0] for document in documents]
            pairs = [(problem, text) for problem, row in zip(problems, responses, strict=True) for text in row]
            with ThreadPoolExecutor(hosts.concurrency) as threads:
                found = threads.map(lambda pair: verdict_to_json(verify(*pair)), pairs)
                return [[next(found) for _ in row] for row in responses]

        yield judge


def _logged_verdicts(documents: Sequence[Logged]) -> list[Sequence[VerdictRow]]:
    return [document["avg_at_k"] for document in documents]


def _no_metrics(document: object, results: object) -> dict[str, object]:
    return {}
