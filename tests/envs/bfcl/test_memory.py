"""Memory of BFCL-V4: the policy plays the conversations, then answers questions from the memory that it has written."""

import ast
import importlib.util
import json
import random
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tenfold import UserError
from tenfold.benchmarks import evaluate, rescore
from tenfold.benchmarks.result import Result
from tenfold.core import Completion, Conversation, Policy, Sampling, SamplingIncomplete, Status
from tenfold.envs.bfcl import agentic_problems, answers, memory_services, services
from tenfold.envs.bfcl.memory import BFCLMemory
from tenfold.policies.scripted import ScriptedPolicy

from .stand_in_encoder import StandIn

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
            gold: Any = problem.answer
            known = facts.setdefault(gold["scenario"], {})
            self.asked[problem.prompt[-1]["content"]] = (gold["scenario"], name := f"fact_{len(known)}")
            known[name] = gold["answers"][0]
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


NOTETAKER = f"{agentic_problems.URI}:memory?backend=rec_sum&scenarios=notetaker"
"""25 questions after five conversations of 24 user turns."""


class NotesItsKeyPolicy:
    """Writes the key of each episode to the memory: in each conversation, and before each answer."""

    def __init__(self, stops_after: int = 10**9):
        self.left, self.keys = stops_after, list[str]()

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        found: list[list[Completion]] = []
        for key in keys or ():
            if not self.left:
                raise SamplingIncomplete("stopped", [*found, *[[] for _ in range(len(conversations) - len(found))]])
            self.left -= 1
            self.keys.append(key)
            episode, _, turn = key.rpartition("/")
            noted = f"{episode}\n" if "prereq" in episode else "a question"
            found.append([Completion("Noted." if turn != "0" else f"[memory_append(text={noted!r})]", "stop", (1,))])
        return found


def measured(policy: Policy, folder: Path, samples: int = 1, **options: Any) -> Result:
    task = "env:tenfold/BFCLMemorySummary-v0"
    chosen = {"problems": NOTETAKER, "store_settings": {"policy": "test"}} | options
    return evaluate.evaluate(task, policy, samples=samples, folder=folder, **chosen)


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Returns the stored episodes of a run: "samples" or "conversations"."""
    (file,) = folder.glob(f"*.{kind}.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def conversation(backend: str, snapshot: dict[str, Any] | None = None) -> BFCLMemory:
    """Returns the environment in the first conversation of the customer, with a memory."""
    env = BFCLMemory([*agentic_problems.conversations(backend)], snapshots={f"MemoryAPI_{backend}/customer": [snapshot]})
    env.reset(options={"problem": 0})
    return env


@pytest.mark.parametrize("mode", ["prompt", "tools"])
@pytest.mark.parametrize("backend", [pytest.param("kv", marks=needs_kv), pytest.param("vector"), "rec_sum"])
def test_a_policy_that_writes_down_the_facts_answers_all_questions(
    backend: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_services, "encoder", StandIn)
    task = f"env:tenfold/BFCLMemory{NAMES[backend]}-v0?mode={mode}"
    scenario = "student" if (backend, mode) == ("kv", "prompt") else "notetaker"
    uri = f"{agentic_problems.URI}:memory?backend={backend}&scenarios={scenario}"
    result = evaluate.evaluate(task, RemembersPolicy(backend, mode), samples=1, problems=uri)
    assert result.score.mean == 1
    assert result.figures == {f"category memory_{backend}": 1.0}


def test_a_policy_that_remembers_nothing_scores_0(tmp_path: Path) -> None:
    answer = "{'answer': 'I do not know', 'context': 'I do not know'}"
    assert measured(ScriptedPolicy(answer), tmp_path).score.mean == 0


def test_questions_of_a_sample_start_with_the_memory_of_that_sample(tmp_path: Path) -> None:
    folders = {count: tmp_path / str(count) for count in (1, 3)}
    for samples, folder in folders.items():
        measured(NotesItsKeyPolicy(), folder, samples)
    few, many = ({(row["problem_id"], row["sample"]): row for row in rows(folder, "samples")} for folder in folders.values())
    assert len(many) == 75
    assert {key: row for key, row in many.items() if key in few} == few, "an episode depends on the number of samples"
    for (_, sample), row in many.items():
        remembered = row["messages"][0]["content"].partition("previous interactions:\n")[2].partition("\n\n")[0]
        noted = [f"memory_rec_sum_prereq_{32 + number}-notetaker-{number}/{sample}" for number in range(5)]
        assert remembered.splitlines() == noted, "the memory of another sample, or of another question"


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    whole = measured(policy := NotesItsKeyPolicy(), tmp_path / "whole")
    for stops_after in (13, 12):
        with pytest.raises(SamplingIncomplete):
            measured(NotesItsKeyPolicy(stops_after), tmp_path / "stopped")
    resumed = measured(last := NotesItsKeyPolicy(), tmp_path / "stopped")
    assert len(last.keys) < len(policy.keys)
    assert resumed.hash == whole.hash
    for kind in ("samples", "conversations"):
        one, other = (
            {row["problem_id"]: row["messages"] for row in rows(tmp_path / name, kind)} for name in ("whole", "stopped")
        )
        assert one == other
    assert (tmp_path / "stopped").joinpath(next(tmp_path.glob("whole/*.memory.json")).name).read_text() == next(
        tmp_path.glob("whole/*.memory.json")
    ).read_text()


def test_stored_answers_are_judged_again_with_the_memories_of_their_run(tmp_path: Path) -> None:
    before = measured(RemembersPolicy("rec_sum"), tmp_path)
    ((_, after),) = rescore.rescore(tmp_path)
    assert after.score == before.score
    assert after.score.mean == 1


def test_results_of_different_policies_are_comparable(tmp_path: Path) -> None:
    """The memory is the policy's own, so the digest of the problems does not include it."""
    one = measured(RemembersPolicy("rec_sum"), tmp_path / "one")
    other = measured(ScriptedPolicy("Done."), tmp_path / "other")
    assert one.hash == other.hash


def test_answers_are_not_continued_without_their_conversations(tmp_path: Path) -> None:
    measured(ScriptedPolicy("Done."), tmp_path)
    next(tmp_path.glob("*.conversations.jsonl")).unlink()
    with pytest.raises(UserError, match="conversations that are not stored; remove it"):
        measured(ScriptedPolicy("Done."), tmp_path)


def test_a_run_with_fewer_samples_keeps_the_memories_of_the_others(tmp_path: Path) -> None:
    for samples in (2, 1):
        task = "env:tenfold/BFCLMemorySummary-v0"
        evaluate.evaluate(task, ScriptedPolicy("Done."), samples=samples, problems=NOTETAKER, limit=2, folder=tmp_path)
    (file,) = tmp_path.glob("*.memory.json")
    assert [len(memories) for memories in json.loads(file.read_text()).values()] == [2]


def test_memories_of_an_earlier_run_can_be_used(tmp_path: Path) -> None:
    measured(RemembersPolicy("rec_sum"), tmp_path / "first")
    (file,) = (tmp_path / "first").glob("*.memory.json")
    policy = RemembersPolicy("rec_sum")
    task = f"env:tenfold/BFCLMemorySummary-v0?snapshots={file}"
    assert evaluate.evaluate(task, policy, samples=1, problems=NOTETAKER).score.mean == 1
    assert len(policy.prompts) == 50, "two responses to each of 25 questions, and no conversations"


def test_a_conversation_whose_memory_becomes_too_large_changes_nothing() -> None:
    env = conversation("rec_sum", {"memory": "Ann"})
    env.step(f"[memory_append(text={'a' * 9_000!r})]")
    env.step(f"[memory_replace(old_text='a', new_text={'b' * 9_000!r})]")  # 81 million characters
    ended = False
    while not ended:
        *_, ended, _, info = env.step("Noted.")
    assert (info["verdict"].status, info["verdict"].score) == (Status.UNDECIDED, None)
    assert env.left == {"memory": "Ann"}


@needs_kv
def test_arguments_are_data() -> None:
    env = conversation("kv")
    texts = {"user": "__import__('os').getcwd()", "file": "open('/etc/passwd')", "form": "['{0.__class__}', 1]"}
    for key, text in texts.items():
        env.step(f"[core_memory_add(key={key!r}, value={text})]")
    reply, *_ = env.step("[core_memory_retrieve_all()]")
    (said,) = ast.literal_eval(reply)
    assert json.loads(said["content"]) == texts, "the memory has the texts themselves"
    for call in (
        "_flush_memory_to_local_file()",
        "_prepare_snapshot(initial_config={'snapshot': 3})",
        "core_memory_add.__globals__(x=1)",
        "kill()",
    ):
        reply, _, ended, _, _ = env.step(f"[{call}]")
        assert not ended
        assert ast.literal_eval(reply)[0]["content"].startswith("Error during execution: ")
    assert env.step("[core_memory_add(key='x' * 4000000, value=1)]")[0].startswith("I"), "no call, but the end of the turn"
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "disk"}, "BFCL-V4 has no memory 'disk'; use kv, vector, rec_sum"),
        (
            {"problems": f"{agentic_problems.URI}:memory?backend=rec_sum&scenarios=x"},
            "no scenario 'x' with memory; use customer",
        ),
        ({"backend": "rec_sum", "mode": "x"}, "mode: expected prompt or tools"),
        ({"backend": "rec_sum", "snapshots": "nope.json"}, "snapshots: cannot read nope.json"),
        ({"problems": [{"question": "Hello.", "answer": "x"}]}, "its answer is not `BFCLAnswers`"),
    ],
)
def test_wrong_settings_are_users_errors(options: dict[str, Any], message: str, lab: Path) -> None:
    with pytest.raises(UserError, match=message):
        BFCLMemory(**options).reset()


@pytest.mark.parametrize(("backend", "package"), [("kv", "rank-bm25"), ("vector", "sentence-transformers")])
def test_a_missing_package_is_named(backend: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in MISSING else find(name, *rest))
    with pytest.raises(
        UserError, match=rf"^memory_{backend} of BFCL-V4 needs the package {package}: pip install 'tenfold\[bfcl\]'$"
    ):
        BFCLMemory(backend=backend)


MISSING = ("rank_bm25", "sentence_transformers")


def test_the_checker_agrees_with_the_leaderboards() -> None:
    file = services.package() / "eval_checker" / "agentic_eval" / "agentic_checker.py"
    official = runpy.run_path(str(file))["agentic_checker"]
    rng, count, passing = random.Random(3), 0, 0
    for problem in agentic_problems.memory("rec_sum"):
        golds = problem.answer["answers"]  # type: ignore[index]
        for _ in range(4):
            gold = rng.choice(golds)
            text = rng.choice(FORMS).replace("GOLD", rng.choice([gold, gold.upper(), gold[1:], gold.replace(" ", "  ")]))
            passes = answers.contains(text, golds)
            assert passes == official(text, golds)["valid"], text
            count, passing = count + 1, passing + passes
    assert count == 620
    assert 150 < passing < 450


FORMS = [
    "GOLD",
    "{'answer': 'GOLD', 'context': ''}",
    "It's (GOLD).",
    "xGOLD",
    "GOLD-x",
    "x-GOLD",
    "*GOLD*",
    "GOLDs",
    "'GOLD'",
    "Ünter_GOLD é",
]
"""Forms of a response."""
