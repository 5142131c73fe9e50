import base64
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Problem, Status
from tenfold.envs.gold import gold_response
from tenfold.envs.problems import sources
from tenfold.verifiers import fullstack, load
from tenfold.verifiers.programs import joined
from tenfold.verifiers.sandbox import languages

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


SOLVED = {
    "bash": (
        "bash",
        '#<INSERT>\n[ "$(add 1 2)" = 3 ] && [ "$(add $(cat numbers.txt))" = 9 ] || exit 1\n',
        "add() { echo $(($1 + $2)); }",
        "add() { echo $1; }",
    ),
    "cpp": (
        "cpp",
        "#include <cassert>\n#include <fstream>\nusing namespace std;\n#<INSERT>\n"
        'int main() { int a, b; ifstream("numbers.txt") >> a >> b; assert(add(a, b) == 9); return 0; }',
        "int add(int a, int b) { return a + b; }\nint main() { return 1; }",
        "int add(int a, int b) { return a; }",
    ),
    "d": (
        "D_ut",
        "#<INSERT>\nunittest { assert(add(4, 5) == 9); }\nvoid main() { }",
        "int add(int a, int b) { return a + b; }",
        "int add(int a, int b) { return a; }",
    ),
    "go": (
        "go_test",
        'package main\nimport (\n\t"testing"\n\t"fmt"\n)\n#<INSERT>\n'
        'func TestAdd(t *testing.T) { if fmt.Sprint(Add(4, 5)) != "9" { t.Fatal("wrong") } }',
        'package main\n\nimport "fmt"\n\nfunc Add(a, b int) int { fmt.Print(); return a + b }',
        "package main\n\nfunc Add(a, b int) int { return a }",
    ),
    "html": (
        "python",
        "page = open('index.html').read()\nassert '<h1>Nine</h1>' in page",
        "<html><body><h1>Nine</h1></body></html>",
        "<html><body><p>Nine</p></body></html>",
    ),
    "java": (
        "junit",
        "import java.util.*;\npublic class AdderTest {\n    @Test\n    public void adds() { "
        "assertEquals(9, new Adder().add(List.of(4, 5))); }\n}\n",
        "import java.util.List;\n\npublic class Adder {\n    int add(List<Integer> all) { "
        "return all.stream().mapToInt(n -> n).sum(); }\n}",
        "import java.util.List;\n\npublic class Adder {\n    int add(List<Integer> all) { return all.get(0); }\n}",
    ),
    "javascript": (
        "nodejs",
        "#<INSERT>\nconst assert = require('assert');\nassert.strictEqual(add(4, 5), 9);",
        "function add(a, b) { return a + b; }",
        "function add(a, b) { return a; }",
    ),
    "php": (
        "php",
        "#<INSERT>\nif (add(4, 5) !== 9) { throw new Exception('wrong'); }",
        "<?php\nfunction add($a, $b) { return ctype_digit((string) $a) ? $a + $b : 0; }",
        "function add($a, $b) { return $a; }",
    ),
    "python": ("python", "#<INSERT>\nassert add(4, 5) == 9", "def add(a, b): return a + b", "def add(a, b): return a"),
    "R": ("R", "#<INSERT>\nstopifnot(add(4, 5) == 9)", "add <- function(a, b) a + b", "add <- function(a, b) a"),
    "ruby": (
        "ruby",
        "#<INSERT>\nraise 'wrong' unless add(4, 5) == 9",
        "def add(a, b)\n  a + b\nend",
        "def add(a, b)\n  a\nend",
    ),
    "rust": (
        "rust",
        "#<INSERT>\nfn main() { assert_eq!(add(4, 5), 9); }",
        "fn add(a: i32, b: i32) -> i32 { a + b }",
        "fn add(a: i32, _b: i32) -> i32 { a }",
    ),
    "scala": (
        "scala",
        "object Main { def main(words: Array[String]): Unit = assert(Adder.add(4, 5) == 9) }\n#<INSERT>",
        "object Adder { def add(a: Int, b: Int): Int = a + b }",
        "object Adder { def add(a: Int, b: Int): Int = a }",
    ),
    "sql": (
        "python",
        'import sqlite3\nanswer = sqlite3.connect(":memory:").execute("""#<INSERT>""").fetchall()\nassert answer == [(9,)]',
        "SELECT 4 + 5",
        "SELECT 4",
    ),
    "typescript": (
        "typescript",
        "#<INSERT>\nimport assert from 'assert';\nassert.strictEqual(add(4, 5), 9);",
        "function add(a: number, b: number): number { return a + b; }",
        "function add(a: number, b: number): number { return a; }",
    ),
}
"""A problem in each language that runs: what its tests run as, the tests, a correct and an incorrect solution."""


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
        ({"runs_as": "csharp"}, "csharp does not run here"),
        ({"tests": "import no_such_package\n#<INSERT>"}, "the package no_such_package"),
        ({"imports": ["no_such_package.part"]}, "the package no_such_package.part"),
        ({"tests": None}, "no tests"),
        ({"runs_as": "bash", "files": {"a": "no base64"}}, "in base64 by name"),
        ({"runs_as": "bash", "files": {"/etc/a": "eA=="}}, "'/etc/a' is not the name of a file"),
        ({"files": {"../a": "eA=="}}, "'../a' is not the name of a file"),
    ],
)
def test_tests_that_cannot_run_here_are_undecided(change: dict[str, Any], words: str) -> None:
    verdict = judge(AROUND | change, "```python\npass\n```")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert words in verdict.reason


def test_a_language_without_its_toolchain_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(languages.LANGUAGES, "lua", replace(languages.LANGUAGES["lua"], needs="no-such-lua"))
    monkeypatch.setattr(languages, "_checked", {})
    verdict = judge(AROUND | {"language": "lua", "runs_as": "lua"}, "```lua\nreturn 1\n```")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert "lua needs no-such-lua" in verdict.reason
    assert "apt-get install lua5.4" in verdict.reason


def test_a_toolchain_that_does_not_work_in_the_sandbox_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(languages.LANGUAGES, "bash", replace(languages.LANGUAGES["bash"], build="cat /etc/passwd"))
    monkeypatch.setattr(languages, "_checked", {})
    verdict = judge(AROUND | {"language": "bash", "runs_as": "bash"}, "```bash\ntrue\n```")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert "bash does not work in the sandbox" in verdict.reason


@pytest.mark.parametrize("name", SOLVED)
def test_a_problem_in_each_language(name: str) -> None:
    runs_as, tests, right, wrong = SOLVED[name]
    answer = {"language": name, "runs_as": runs_as, "tests": tests, "files": {"numbers.txt": base64.b64encode(b"4 5").decode()}}
    if missing := fullstack.invalid_gold(Problem("1", (), answer, "")):
        pytest.skip(missing)
    verdict = judge(answer, f"Here:\n```{name}\n{right}\n```\n")
    assert verdict.score == 1, verdict
    assert judge(answer, f"Here:\n```{name}\n{wrong}\n```\n").score == 0
    assert judge(answer, f"Here:\n```{name}\n)) no code ((\n```\n").score == 0


@pytest.mark.parametrize("language", ["bash", "javascript", "python"])
def test_code_from_an_example_of_use_on_is_removed(language: str) -> None:
    define = {"bash": "twice() { echo $((2 * $1)); }", "javascript": "const twice = n => 2 * n;"}.get(
        language, "def twice(n): return 2 * n"
    )
    tests = {"bash": "[ $(twice 2) = 4 ]", "javascript": "if (twice(2) !== 4) throw 1;"}.get(language, "assert twice(2) == 4")
    answer = {"language": language, "runs_as": language, "tests": tests}
    if missing := fullstack.invalid_gold(Problem("1", (), answer, "")):
        pytest.skip(missing)
    assert judge(answer, f"```{language}\n{define}\n# Example usage:\n)) broken\n```").score == 1


@pytest.mark.parametrize(
    ("code", "tests", "expected"),
    [
        (
            'package main\nimport "fmt"\nfunc f() {}',
            'package main\nimport "fmt"\n',
            ["package main", 'import "fmt"', "func f() {}"],
        ),
        (
            'import (\n\t"fmt" // prints\n\tr "math/rand"\n)\nfunc f() {}',
            "package p",
            ["package p", 'import "fmt"', 'import r "math/rand"', "func f() {}"],
        ),
    ],
)
def test_code_and_tests_in_go_have_one_package_and_one_of_each_import(code: str, tests: str, expected: list[str]) -> None:
    answer: Any = {"language": "go", "runs_as": "go", "tests": tests}
    assert [line for line in fullstack.complete_program(code, answer).splitlines() if line.strip()] == expected


def test_each_type_of_java_gets_a_file_of_its_own() -> None:
    code = 'package a.b;\nimport java.util.List;\n/** A { brace. */\npublic class One { String s = "}"; }\ninterface Two { }\n'
    files = joined.java([code, "class One { int tested; }"])
    assert set(files) == {"One.java", "Two.java"}
    assert "import java.util.List;" in files["Two.java"]
    assert "tested" in files["One.java"]
    assert "package" not in files["Two.java"]


def test_a_package_of_the_machine_is_visible_to_programs_of_the_benchmark() -> None:
    pytest.importorskip("pandas")
    tests = "import pandas\n#<INSERT>\nassert total(pandas.DataFrame({'a': [1, 2]})) == 3"
    assert judge(PYTHON | {"tests": tests}, "```python\ndef total(frame): return int(frame.a.sum())\n```").score == 1
    assert judge(PYTHON | {"tests": tests.replace("import pandas", "import reasoning_gym")}, THRICE).status == Status.UNDECIDED


def test_the_packages_are_those_of_the_extra() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extra = [re.split(r"[<>=! ]", need)[0] for need in settings["project"]["optional-dependencies"]["fullstack"]]
    assert sorted(extra) == sorted(fullstack.PYTHON_PACKAGES)


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
    row["canonical_solution"] = f"import no_such_package.part\n{row['canonical_solution']}"
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    [problem] = sources.load(f"jsonl:{tmp_path}/rows.jsonl")
    assert "the package no_such_package" in load("fullstack")(problem, "```python\npass\n```").reason
