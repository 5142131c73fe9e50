"""The conformance suite through the classes of the real verifiers, outward and inward."""

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

import tenfold
from tenfold.core import Status

own = pytest.importorskip("interop_environments")
suite = pytest.importorskip("interop_pairs")
pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("sandboxed")]


class Says:
    """An interaction of verifiers whose policy says the turns of a pair."""

    def __init__(self, task: Any, pair: Any):
        import verifiers.v1 as vf

        from tenfold.envs.interop.verifiers import _trace

        self.vf, self.turns = vf, iter(pair.turns)
        self.trace = _trace(vf, task, "")
        self.trace.nodes.pop()
        self.trace.calls.clear()

    async def __aenter__(self) -> "Says":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def add(self, message: Any, sampled: bool = False) -> None:
        """Adds a message to verifiers' record."""
        parent = len(self.trace.nodes) - 1
        self.trace.nodes.append(self.vf.MessageNode(parent=parent, message=message, sampled=sampled))

    async def turn(self, message: str | None = None) -> Any:
        """Returns the next turn of the policy."""
        if message is not None:
            self.add(self.vf.UserMessage(content=message))
        turn = next(self.turns, None)
        if turn is None:
            return self.vf.Segment(messages=[], terminated=True)
        self.add(self.vf.AssistantMessage(content=turn.text), sampled=True)
        self.trace.calls.append(self.vf.ModelCall(node=len(self.trace.nodes) - 1, finish_reason=turn.finish_reason))
        return self.vf.Segment(messages=[self.trace.nodes[-1].message])


class Player:
    """Agents of verifiers with one player, who says the turns of a pair."""

    def __init__(self, pair: Any):
        self.player, self.pair = self, pair

    def interaction(self, task: Any) -> Says:
        """Begins the episode."""
        self.played = Says(task, self.pair)
        return self.played


@pytest.mark.parametrize("id", own.IDS)
def test_every_response_gets_the_score_of_the_suite(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from verifiers.v1.utils.loaders import load_environment, resolve_env_config

    from tenfold.envs.interop import tenfold_verifiers
    from tenfold.envs.interop.verifiers_taskset import NoScore

    monkeypatch.setitem(sys.modules, "tenfold_verifiers", tenfold_verifiers)
    environment = load_environment(resolve_env_config({"taskset": {"id": "tenfold_verifiers", "environment": id}}))
    tasks = [*environment.taskset]
    for pair in (pair for pair in suite.pairs() if pair.id == id):
        player = Player(pair)
        if pair.score is None:
            with pytest.raises(NoScore, match=str(pair.status)):
                asyncio.run(environment.run(tasks[pair.problem], player))
            continue
        asyncio.run(environment.run(tasks[pair.problem], player))
        trace = player.played.trace
        assert (trace.reward, trace.info["tenfold"]["status"]) == (pair.score, str(pair.status)), pair.name


@pytest.fixture
def tasks_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a plain taskset, whose reward is the environment's; NaN where there is none."""
    import verifiers.v1 as vf

    class Data(vf.TaskData):
        environment: str
        index: int

    class Task(vf.Task[Data]):
        @vf.reward
        async def right(self, trace: vf.Trace) -> float:
            environment = tenfold.make(self.data.environment)
            environment.reset(options={"problem": self.data.index})
            said = trace.assistant_messages[-1].content or ""
            return float((await asyncio.to_thread(environment.step, said))[1])

    class Suite(vf.Taskset[Task, vf.TasksetConfig]):
        def load(self) -> Any:
            for id in own.IDS:
                environment = tenfold.make(id)
                for index in range(len(environment.unwrapped.problems)):
                    prompt = environment.reset(options={"problem": index})[0]
                    yield Task(Data(id=f"{id} {index}", environment=id, index=index, prompt=prompt), self.config.task)

    package = ModuleType("tasks_of_the_suite")
    package.Suite, package.__all__ = Suite, ["Suite"]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    return package.__name__


def test_the_score_of_a_taskset_is_the_score_here(tasks_of_the_suite: str) -> None:
    environment = tenfold.make(f"verifiers:{tasks_of_the_suite}")
    place = {problem.id: index for index, problem in enumerate(environment.unwrapped.problems)}
    for pair in (pair for pair in suite.pairs() if pair.id != suite.TOOL):
        environment.reset(options={"problem": place[f"{pair.id} {pair.problem}"]})
        verdict = environment.step(pair.turns[0].scorable_text)[-1]["verdict"]
        assert verdict.score == pair.score, (pair.name, verdict)
        assert verdict.status == (Status.FAULT if pair.score is None else Status.SCORED), pair.name
