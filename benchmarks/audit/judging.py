"""Verdicts of a judge on labelled pairs: many at once, each stored when it is complete.

The judge is also called if the rules decide the pair (`always` of `verifiers/agentic.py`). It is not called if the response has
no final answer, or an answer that cannot be correct. The graders `judge` and `rules, then judge` use the same verdict, so each
pair is judged once (control answers included).
"""

import dataclasses
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypedDict

from ... import digests, disk
from ...core import Completion, Conversation, Policy, Sampling, Status, UserError, Verifier, batch_size
from ...envs.identity import of_verifier
from ...policies import judge
from ...policies.identity import policy_identity
from ...policies.play.loop import SupportsSubmit
from ...policies.server import requests
from ...policies.store import Store, VerdictRow, verdict_from_json, verdict_to_json
from ...verifiers import agentic
from ...verifiers.answers import judge_controls
from ...version import __version__
from .answer_pairs import AnswerPair, problem_of

AT_ONCE = 64
"""Default number of verdicts at the same time for policies that take requests from any thread. Our choice: as many as samples
in a step of vLLM on a CPU."""
_CODE = (agentic, judge_controls, judge)
"""Modules with the instructions, the number of programs, the control answers and the sampling settings of the judge."""


class JudgedRow(TypedDict):
    """A pair with the judge's verdict, as it is stored."""

    key: str
    """Digest of the pair."""
    pair: Mapping[str, object]
    verdict: VerdictRow
    """With the judge's turns and the replies to its programs."""
    turns: int
    """Turns of the judge, those about control answers included; 0 if the judge was not asked."""
    tokens: int
    programs: int
    """Programs that the judge ran."""
    seconds: float
    """Wall time of this verdict."""
    elapsed: float
    """Seconds since the previous verdict ended; for the first verdict, since the judge started. Their sum is the wall time of
    all verdicts."""


def open_store(path: str, pairs: Sequence[AnswerPair], policy: str, verifier: str) -> Store[JudgedRow]:
    """Opens the file of a judge's verdicts.

    Args:
        path: path of the file.
        pairs: all pairs of the audit's file. The file may be continued with another choice of them.
        policy: URI of the judge.
        verifier: name of the verifier with the rules.

    Raises:
        UserError: the file was made with other pairs, another judge, another verifier or another version of this package.
    """
    settings = {
        **policy_identity(policy),
        "verifier": of_verifier(verifier),
        "pairs": digests.of_all(list(pair) for pair in pairs),
        "code": {module.__name__: digests.of_file(str(module.__file__)) for module in _CODE},
        "version": __version__,
    }
    return Store(path, settings, _check)


def default_at_once(uri: str, policy: Policy) -> int:
    """Returns the number of verdicts at the same time: one if the policy may not take requests from several threads."""
    takes_many = uri.startswith("openai:") or isinstance(policy, SupportsSubmit)
    return min(AT_ONCE, batch_size(policy)) if takes_many else 1


def judged(
    pairs: Sequence[AnswerPair],
    policy: Policy,
    rules: Verifier,
    at_once: int,
    store: Store[JudgedRow] | None,
    progress: Callable[[int, int], None],
) -> list[JudgedRow]:
    """Returns the judge's verdict on each pair, in the order of the pairs. Stored verdicts are not asked for again.

    Args:
        pairs: labelled pairs.
        policy: the judge. With `at_once` above 1 it is called from several threads.
        rules: the verifier with the rules.
        at_once: number of verdicts at the same time.
        store: receives each verdict when it is complete, except faults, so that a later run asks again.
        progress: called as progress(verdicts, all verdicts).

    Raises:
        UserError: the policy stopped, for example because its engine died. The verdicts up to then are stored.
    """
    wanted = {_key(pair): pair for pair in pairs}
    rows = {row["key"]: row for row in (store.rows if store else ()) if row["key"] in wanted}
    left = [pair for key, pair in wanted.items() if key not in rows]
    progress(len(rows), len(wanted))
    last = time.perf_counter()
    futures = requests.submit(lambda pair: _judged(pair, policy, rules), left, at_once)
    ended: queue.SimpleQueue[Future[JudgedRow]] = queue.SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    try:
        for _ in futures:  # in the order in which they end, so that all verdicts before an error are stored
            row, now = ended.get().result(), time.perf_counter()
            row["elapsed"], last = now - last, now
            rows[row["key"]] = row
            if store and row["verdict"]["status"] != Status.FAULT:
                store.append([row])
            progress(len(rows), len(wanted))
    finally:  # after an error, nothing more is started
        for future in futures:
            future.cancel()
    return [rows[_key(pair)] for pair in pairs]


def _judged(pair: AnswerPair, policy: Policy, rules: Verifier) -> JudgedRow:
    counting = _CountingPolicy(policy)
    verifier = agentic.verifier(judge.asking(counting), rules, always=True)
    started = time.perf_counter()
    verdict = verifier(problem_of(pair), pair.response)
    if counting.stopped is not None:  # the verdict is a fault, as all that follow would be
        raise counting.stopped
    return {
        "key": _key(pair),
        "pair": pair._asdict(),
        "verdict": verdict_to_json(verdict),
        "turns": counting.turns,
        "tokens": counting.tokens,
        "programs": counting.programs,
        "seconds": time.perf_counter() - started,
        "elapsed": 0.0,
    }


@dataclasses.dataclass
class _CountingPolicy:
    """The policy of a judge, with counts for one verdict."""

    policy: Policy
    turns: int = 0
    tokens: int = 0
    programs: int = 0
    stopped: UserError | None = None
    """The policy's error if it cannot answer any more: `EngineDied`, `SamplingIncomplete`."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        """See `Policy.generate`.

        Args:
            conversations: see `Policy.generate`.
            samples: see `Policy.generate`.
            sampling: see `Policy.generate`.
            keys: see `Policy.generate`.
        """
        for conversation in conversations:  # the judge has another turn after each program
            end = conversation[-1]
            self.programs += end["role"] == "tool" and end["content"] != agentic.INVALID_CALL
        try:
            rows = self.policy.generate(conversations, samples, sampling, keys)
        except UserError as error:
            self.stopped = error
            raise
        self.turns += sum(map(len, rows))
        self.tokens += sum(len(completion.token_ids) for row in rows for completion in row)
        return rows


def _key(pair: AnswerPair) -> str:
    return digests.of(list(pair))


def _check(row: dict[str, Any]) -> None:
    """Raises if a stored row is not a verdict on a pair."""
    disk.check_types(row, key=str, pair=dict, turns=int, tokens=int, programs=int, seconds=float, elapsed=float)
    disk.check_types(row["verdict"], score=(int, float, type(None)), method=str, reason=str)
    verdict_from_json(row["verdict"])
