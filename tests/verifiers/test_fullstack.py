import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Problem, Status
from tenfold.envs.gold import gold_response
from tenfold.envs.problems import sources
from tenfold.verifiers import fullstack, load

pytestmark = pytest.mark.usefixtures("sandboxed")

PYTHON = {"language": "python", "runs_as": "python", "files": {}}
AROUND = PYTHON | {"tests": "import math\n#<INSERT>\n\nassert area(2) == 4 * math.pi\n"}
BEHIND = PYTHON | {"tests": "assert area(2) == 12\n"}
THRICE = "```python\ndef area(r): return 3 * r * r\n```"
CPP = {
    "language": "cpp",
    "runs_as": "cpp",
    "files": {},
    "tests": "#include <cassert>\n#<INSERT>\nint main() { assert(twice(2) == 4); return 0; }\n",
}


def judge(answer: dict[str, Any], response: str) -> Any:
    return load("fullstack")(Problem("1", (), answer, ""), response)


@pytest.mark.parametrize(
    ("answer", "response", "score"),
    [
        (AROUND, "```python\ndef area(r): return math.pi * r ** 2\n```", 1),
        (AROUND, "```python\ndef area(r): return math.pi * r\n```", 0),
        (
            BEHIND,
            "Here:\n```python\ndef area(r): return 3 * r * r\n```\nand a second:\n```python\ndef area(r): return 0\n```",
            1,
        ),
        (BEHIND, "```python\nimport math\n```\nthen\n```python\ndef area(r): return 3 * math.pow(r, 2)\n```", 1),
        (BEHIND, "```python\nTHREE = 3\n```\nthen\n```python\ndef area(r): return THREE * r * r\n```", 1),
        (BEHIND, "```python\nTHREE = 2\n```\nthen\n```python\ndef area(r): return THREE * r * r\n```", 0),
        (BEHIND, "```\n12\n```\nis what this gives:\n```Python\ndef area(r): return 3 * r * r\n```", 1),
        (AROUND, "```python\nfrom __future__ import annotations\ndef area(r: Radius): return math.pi * r ** 2\n```", 1),
        (BEHIND, "```python\ndef area(r): return 3 * r * r\n\nif __name__ == '__main__':\n    raise SystemExit(1)\n```", 1),
        (
            BEHIND,
            "```python\ndef three(): return 3\n\nif __name__ == '__main__':\n    print(three())\n```\nand\n"
            "```python\ndef area(r): return three() * r * r\n```",
            1,
        ),
        (BEHIND, "```python\nif __name__ == '__main__':\n    print(area(2))\n\ndef area(r): return 3 * r * r\n```", 1),
        (BEHIND, "```python\ndef print(*words): pass\n\ndef area(r): return 3 * r * r\n```", 1),
        (BEHIND | {"tests": f"import io, sys\nsys.stdout = io.StringIO()\n{BEHIND['tests']}"}, THRICE, 1),
        (BEHIND | {"tests": f"import io, sys\nsys.stdout = io.StringIO()\n{BEHIND['tests']}"}, "```python\nquit()\n```", 0),
        (BEHIND | {"tests": f"from __future__ import annotations\n{BEHIND['tests']}"}, THRICE, 1),
        (
            BEHIND | {"tests": f"{BEHIND['tests']}assert open('data/a.txt').read() == 'x'", "files": {"data/a.txt": "eA=="}},
            THRICE,
            1,
        ),
        (BEHIND | {"files": {"a.txt": "eA=="}}, "```python\ndef area(r): return len(base64.b64encode(b'123456789'))\n```", 0),
        (BEHIND, "<think>```python\ndef area(r): return 12\n```</think>no code", 0),
        (BEHIND, "```python\nraise SystemExit(0)\n```", 0),
        (BEHIND, "```python\nimport os\nos._exit(0)\n```", 0),
        (CPP, "```cpp\nint twice(int n) { return 2 * n; }\nint main() { return 1; }\n```", 1),
        (CPP, "```cpp\nint twice(int n) { return n; }\n```", 0),
        (CPP, "```cpp\nint twice(int n) { return\n```", 0),
    ],
)
def test_the_complete_program_must_end_without_an_error(answer: dict[str, Any], response: str, score: float) -> None:
    assert judge(answer, response).score == score


def test_an_endless_loop_is_a_timeout_of_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullstack, "LIMITS", fullstack.Limits(cpu_seconds=0.5, wall_seconds=5))
    assert judge(BEHIND, "```python\nwhile True: pass\n```").status == Status.TIMEOUT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs_as": "scala"}, "scala does not run here"),
        ({"tests": "import no_such_package\n#<INSERT>"}, "the package no_such_package"),
        ({"imports": ["no_such_package.part"]}, "the package no_such_package.part"),
        ({"tests": None}, "no tests"),
        ({"runs_as": "bash", "files": {"a": "YQ=="}}, "only Python programs"),
    ],
)
def test_tests_that_cannot_run_here_are_undecided(change: dict[str, Any], words: str) -> None:
    verdict = judge(AROUND | change, "```python\npass\n```")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert words in verdict.reason


@pytest.mark.parametrize("packed", [dict, json.dumps])
def test_rows_of_the_benchmark_are_problems(packed: Any, tmp_path: Path) -> None:
    data = base64.b64encode(b"1,2,3").decode()
    test = {"code": "#<INSERT>\n\nassert total('data.csv') == 6\n", "asset": packed({"data.csv": data, "other.csv": None})}
    row = {
        "id": 7,
        "content": "Add up.",
        "canonical_solution": "def total(name): return sum(map(int, open(name).read().split(',')))",
        "labels": packed(
            {"programming_language": "python", "execution_language": "python", "category": "Basic", "difficulty": "easy"}
        ),
        "test": packed(test),
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    [problem] = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert (problem.id, problem.meta["category"]) == ("7", "Basic")
    assert load("fullstack")(problem, gold_response(problem)).score == 1
    assert load("fullstack")(problem, "```python\ndef total(name): return 5\n```").score == 0
