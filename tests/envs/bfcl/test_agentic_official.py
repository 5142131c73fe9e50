"""Agentic problems of BFCL-V4: episodes have the messages and the verdicts of the leaderboard's own code."""

import importlib.util
import json
import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tenfold import UserError
from tenfold.benchmarks import evaluate
from tenfold.core import Completion, Conversation, Problem, Sampling
from tenfold.envs.bfcl import agentic_problems, memory_services, services

from .stand_in_encoder import StandIn

try:
    services.package()
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


BACKENDS = [
    pytest.param("kv", "KV", marks=needs("rank_bm25")),
    pytest.param("vector", "Vector", marks=needs("faiss")),
    pytest.param("rec_sum", "Summary"),
]
SEARCH = [
    {"query": "tea", "region": "wt-wt", "results": [{"title": "Tea", "href": "https://tea.org/", "body": "Da Hong Pao"}] * 12},
    {"query": "tea", "region": "de-de", "results": [{"title": 'It\'s "tea"', "href": "https://tee.de", "body": ""}]},
    {
        "url": "https://tea.org/",
        "html": "<html><style>x</style><h1>It's tea</h1><p>a &amp; <b>b</b></p><script>y</script></html>",
    },
]


class ByKeyPolicy:
    """Has a list of responses for each problem."""

    def __init__(self, responses: Mapping[str, Sequence[str]]):
        self.responses = responses

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [[Completion(self.response(*key.rsplit("/", 2)), "stop", (1,))] for key in keys or ()]

    def response(self, id: str, sample: str, turn: str) -> str:
        given = self.responses[id]
        return given[int(turn)] if int(turn) < len(given) else "Done."


def responses_to(problem: Problem, rng: random.Random) -> list[str]:
    """Returns responses to a problem: calls with right and wrong arguments, texts, and the gold answer in several forms."""
    gold: Any = problem.answer
    count = rng.choice([0, 1, 2, 3, 4, 23]) if gold["answers"] else rng.randrange(3, 40)
    found = [response(gold["functions"], rng) for _ in range(count)]
    if not gold["answers"]:
        return [rng.choice(["Noted.", "[]", ""]) if rng.random() < 0.15 else each for each in found]
    right = rng.choice(gold["answers"])
    forms = (
        right,
        right.upper(),
        f"{{'answer': '{right}', 'context': ''}}",
        f"x{right}",
        f"It is {right}.",
        f"[{right}]",
        "No.",
    )
    return [*found, rng.choice([*forms, right[:-1], right.replace(" ", "-"), f"the-{right}", '["' + right + '"]', ""])]


def response(functions: Sequence[Mapping[str, Any]], rng: random.Random) -> str:
    called = []
    for function in rng.choices(functions, k=rng.choice([1, 1, 2])):
        parameters = function["parameters"]
        chosen = [name for name in parameters["properties"] if name in parameters["required"] or rng.random() < 0.4]
        chosen = [name for name in chosen if rng.random() < 0.97]
        made = ", ".join(f"{name}={value(name, parameters['properties'][name], rng)!r}" for name in chosen)
        called.append(f"{function['name']}({made})" if "clear" not in function["name"] or rng.random() < 0.1 else "memory()")
    text = f"[{', '.join(called)}]"
    return rng.choices([text, text[1:-1], f"```{text}```", f"I call {text}"], [20, 2, 1, 1])[0]


def value(name: str, part: Mapping[str, Any], rng: random.Random) -> object:
    if rng.random() < 0.04:
        return rng.choice([3, "x" * 400, "", ["a"], {"a": 1}, -1])
    if part["type"] == "integer":
        return rng.randrange(6)
    texts: dict[str, Sequence[object]] = {
        "key": ("name", "first_name", "home_town", "Bad Key", "job"),
        "url": ("https://tea.org/", "https://tea.org/", "ftp://tea.org", "tea.org"),
        "mode": ("raw", "markdown", "truncate", "pdf"),
        "region": ("wt-wt", "de-de"),
        "keywords": ("tea",),
    }
    return rng.choice(texts.get(name, ("Ann lives in York", "my name is Ann", "Ann", "name", "It's a dog's life", "x" * 290)))


def official(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    script = Path(__file__).with_name("official_agentic.py")
    run = subprocess.run([sys.executable, script], input=json.dumps(given), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return {row["id"]: row for row in map(json.loads, run.stdout.splitlines())}


def played(folder: Path, pattern: str) -> dict[str, Any]:
    """Returns the stored episodes of a run by problem id."""
    (file,) = folder.glob(pattern)
    rows = map(json.loads, file.read_text().splitlines()[1:])
    return {row["problem_id"]: row for row in rows}


@pytest.mark.parametrize(("backend", "name"), BACKENDS)
def test_memory(backend: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_services, "encoder", StandIn)
    rng = random.Random(backend)
    problems = [*agentic_problems.memory(backend, "notetaker")]
    told = [each for each in agentic_problems.conversations(backend) if each.answer["scenario"] == "notetaker"]  # type: ignore[index]
    responses = {problem.id: responses_to(problem, rng) for problem in [*told, *problems]}
    theirs = official({"category": f"memory_{backend}", "responses": responses, "folder": str(tmp_path / "official")})
    uri = f"{agentic_problems.URI}:memory?backend={backend}&scenarios=notetaker"
    measured(f"env:tenfold/BFCLMemory{name}-v0", responses, uri, tmp_path)
    ours = played(tmp_path, "*.conversations.jsonl") | played(tmp_path, "*.samples.jsonl")
    assert_equal(ours, theirs)


@needs("bs4", "html2text")
@pytest.mark.parametrize("category", agentic_problems.WEB_SEARCH)
def test_web_search(category: str, tmp_path: Path) -> None:
    rng = random.Random(category)
    problems = [*agentic_problems.web_search(category)][:40]
    responses = {problem.id: responses_to(problem, rng) for problem in problems}
    theirs = official({"category": category, "responses": responses, "folder": str(tmp_path / "official"), "search": SEARCH})
    (tmp_path / "search.jsonl").write_text("\n".join(map(json.dumps, SEARCH)))
    uri = f"{agentic_problems.URI}:web_search?categories={category}"
    measured(f"env:tenfold/BFCLWebSearch-v0?search={tmp_path}/search.jsonl", responses, uri, tmp_path, limit=40)
    assert_equal(played(tmp_path, "*.samples.jsonl"), theirs)


def measured(task: str, responses: Mapping[str, Sequence[str]], uri: str, folder: Path, limit: int | None = None) -> None:
    """Plays the responses."""
    settings = {"policy": "given"}
    policy = ByKeyPolicy(responses)
    evaluate.evaluate(task, policy, samples=1, problems=uri, limit=limit, folder=folder, store_settings=settings)


def assert_equal(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    passing = 0
    for id, row in ours.items():
        expected = theirs[id]["messages"]
        last = max(place for place, message in enumerate(expected) if message["role"] == "assistant")
        expected = expected[: last + 1]  # after the last response, the leaderboard adds results of calls
        assert [*map(rounded, row["messages"])] == [*map(rounded, expected)], id
        passing += bool(row["verdict"]["score"])
        assert row["verdict"]["score"] == theirs[id]["valid"], id
    assert 3 < passing < len(ours) - 3


def rounded(message: Mapping[str, str]) -> dict[str, str]:
    """Returns a message with similarities of four digits, because faiss rounds sums in another way."""
    content = re.sub(r'(?<="similarity_score": )[-\d.e]+', lambda found: f"{float(found[0]):.4f}", message["content"])
    return {**message, "content": content}
