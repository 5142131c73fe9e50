"""Memory of BFCL-V4: the policy plays the conversations, then answers questions from the memory that it has written."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tenfold import UserError
from tenfold.benchmarks import evaluate
from tenfold.core import Completion, Conversation, Sampling
from tenfold.envs.bfcl import agentic_problems, services

try:
    services.package()
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)

needs_kv = pytest.mark.skipif(importlib.util.find_spec("rank_bm25") is None, reason="needs rank-bm25")
NAMES = {"kv": "KV", "rec_sum": "Summary", "vector": "Vector"}


class RemembersPolicy:
    """Writes facts to the memory in the first conversation of each scenario, and answers questions with what it then reads."""

    def __init__(self, backend: str, mode: str = "prompt"):
        self.backend, self.mode = backend, mode
        self.prompts: list[str] = []
        self.asked: dict[str, tuple[str, str]] = {}
        facts: dict[str, dict[str, str]] = {}
        for problem in agentic_problems.memory(backend):
            scenario, answer = str(problem.answer["scenario"]), problem.answer["answers"][0]  # type: ignore[index]
            self.asked[problem.prompt[-1]["content"]] = (scenario, f"fact_{len(facts.setdefault(scenario, {}))}")
            facts[scenario][f"fact_{len(facts[scenario])}"] = answer
        first = {}
        for problem in agentic_problems.conversations(backend):
            first.setdefault(str(problem.answer["scenario"]), problem.prompt[0]["content"])  # type: ignore[index]
        self.told = {text: facts[scenario] for scenario, text in first.items()}

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [[Completion(self.response(turns), "stop", (1,))] * samples for turns in conversations]

    def response(self, turns: Conversation) -> str:
        asked = next(turn["content"] for turn in turns if turn["role"] == "user")
        self.prompts.append(turns[0]["content"])
        if asked not in self.asked:
            return self.calls(self.told[asked]) if asked in self.told and len(turns) == 2 else "Noted."
        _, name = self.asked[asked]
        if len(turns) == 2:
            return self.call(*self.reads(name))
        value = turns[-1]["content"].partition(f"{name} is ")[2].partition(" .")[0]
        return repr({"answer": value, "context": "You told me."})

    def calls(self, facts: dict[str, str]) -> str:
        if self.backend == "rec_sum":
            return self.call("memory_append", {"text": "".join(f"{name} is {value} ." for name, value in facts.items())})
        if self.backend == "kv":
            added = [{"key": name, "value": f"{name} is {value} ."} for name, value in facts.items()]
        else:
            added = [{"text": f"{name} is {value} ."} for name, value in facts.items()]
        made = [self.call("archival_memory_add", arguments) for arguments in added]
        return "\n".join(made) if self.mode == "tools" else f"[{', '.join(call[1:-1] for call in made)}]"

    def reads(self, name: str) -> tuple[str, dict[str, object]]:
        if self.backend == "rec_sum":
            return "memory_retrieve", {}
        if self.backend == "kv":
            return "archival_memory_retrieve", {"key": name}
        return "archival_memory_retrieve", {"query": name, "top_k": 50}

    def call(self, name: str, arguments: dict[str, object]) -> str:
        if self.mode == "tools":
            return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
        return f"[{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})]"


@pytest.mark.parametrize("mode", ["prompt", "tools"])
@pytest.mark.parametrize("backend", [pytest.param("kv", marks=needs_kv), "rec_sum"])
def test_a_policy_that_writes_down_the_facts_answers_all_questions(backend: str, mode: str, tmp_path: Path) -> None:
    policy = RemembersPolicy(backend, mode)
    task = f"env:tenfold/BFCLMemory{NAMES[backend]}-v0?mode={mode}"
    result = evaluate.evaluate(task, policy, samples=1, folder=tmp_path, store_settings={"policy": "facts"})
    assert result.score.mean == 1
    assert result.settings["number"] == 155
    assert result.figures == {f"category memory_{backend}": 1.0}
