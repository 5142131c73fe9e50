"""Programs behave in the sandbox as under `python main.py < input`; each test runs both."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.verifiers.sandbox import Call, LocalSandbox, RunStatus

pytestmark = pytest.mark.usefixtures("sandboxed")

LINES = "5\n6\nabc é\n"
PROGRAMS = {
    name: program.removesuffix("\n")
    for name, _, program in (
        part.partition("\n") for part in Path(__file__).with_name("scripts.txt").read_text(encoding="utf-8").split("=== ")[1:]
    )
}
"""Programs by the behaviour that they test."""


@pytest.fixture(scope="module")
def box() -> Iterator[LocalSandbox]:
    sandbox = LocalSandbox(workers=1)
    yield sandbox
    sandbox.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_and_exits_as_under_python(box: LocalSandbox, tmp_path: Path, name: str) -> None:
    program = PROGRAMS[name]
    (tmp_path / "main.py").write_text(program)
    flags = [] if "exit" in program or "quit" in program else ["-S"]  # starts faster, but has no `exit`
    python = subprocess.run(
        [sys.executable, *flags, "main.py"],
        input=LINES.encode(),
        capture_output=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    outcome = box.run(program, stdin=LINES)
    assert outcome.stdout == python.stdout.decode("utf-8", "replace")
    assert (outcome.status == RunStatus.FINISHED) == (python.returncode == 0), outcome.reason


def test_a_module_whose_functions_are_called_is_not_main(box: LocalSandbox) -> None:
    program = (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "def f(x): return P(x).x, __name__ == '__main__', bool(__file__)\n"
        "if __name__ == '__main__':\n    print(f(int(input())))\n    exit(1)\n"
    )
    outcome = box.run(program, [Call("f", [3])])
    assert outcome.results[0].value == {"tuple": [3, False, True]}
    assert outcome.stdout == ""


@pytest.mark.parametrize("leaving", ["exit()", "exit(0)", "quit()", "sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_an_exit_is_an_error_in_a_call_but_not_in_a_definition(box: LocalSandbox, leaving: str) -> None:
    outcome = box.run(f"import sys\ndef f(x):\n    if x: {leaving}\n    return x\n{leaving}", [Call("f", [0]), Call("f", [1])])
    assert outcome.results[0].value == 0
    assert (outcome.results[1].error or "").startswith("SystemExit")


def test_a_call_that_ends_the_process_gets_no_result(box: LocalSandbox) -> None:
    outcome = box.run("import os\ndef f(): os._exit(0)", [Call("f")])
    assert (outcome.status, outcome.results) == (RunStatus.ERROR, ())


def test_a_process_that_a_function_forks_sends_no_reply(box: LocalSandbox) -> None:
    outcome = box.run("import os\ndef f():\n    if os.fork(): os.wait()\n    return os.getpid()", [Call("f"), Call("f")])
    assert [result.value for result in outcome.results] == [1, 1]


def test_a_run_with_calls_starts_with_an_empty_folder(box: LocalSandbox) -> None:
    assert box.run("import os\ndef f(): return os.listdir('.')", [Call("f")]).results[0].value == []


def test_a_process_with_many_open_files_has_a_sandbox(many_open_files: None) -> None:
    crowded = LocalSandbox(workers=1)
    assert crowded.run("def f(): return 1", [Call("f")]).results[0].value == 1
    assert crowded.run("print(2)").stdout == "2\n"
    crowded.close()
