"""No attack succeeds, and none affects the next run."""

import os
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from tenfold.core import Problem, Status
from tenfold.verifiers import code, sandbox
from tenfold.verifiers.sandbox import Call, Limits, LocalSandbox, RunStatus, languages

from .attacks import programs
from .attacks.escapes import ESCAPES
from .attacks.exhaustions import EXHAUSTIONS
from .attacks.hacks import HACKS

pytestmark = pytest.mark.usefixtures("sandboxed")

LIMITS = Limits(cpu_seconds=0.3, wall_seconds=2, memory=128 << 20, output=1 << 18, disk=4 << 20)


@pytest.fixture(scope="module")
def box() -> Iterator[LocalSandbox]:
    os.environ["TENFOLD_TEST_SECRET"] = "hunter2"
    sandbox = LocalSandbox(workers=1)
    yield sandbox
    sandbox.close()
    del os.environ["TENFOLD_TEST_SECRET"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server on TCP, UDP and abstract unix sockets of this machine. Any connection to it is an escape."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        number = server.getsockname()[1]
        local.bind(f"\0tenfold-attack-{number}")
        local.listen()
        yield number


def is_well(box: LocalSandbox) -> bool:
    """Checks that an ordinary run works, in an empty folder."""
    outcome = box.run("import os\ndef f(x):\n    return [2 * x, os.listdir('/tmp')]", [Call("f", [21])])
    return outcome.status == RunStatus.FINISHED and outcome.results[0].value == [42, []]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_python_attack_succeeds(name: str, box: LocalSandbox, port: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    for _ in range(2):
        time.sleep(0.1)  # so that the second run gets an idle child
        outcome = box.run(ESCAPES[name], [Call("attack", [str(tmp_path / "secret"), port])], limits=LIMITS)
        assert not any(result.value is True for result in outcome.results), outcome
    assert is_well(box)


@pytest.mark.parametrize("name", EXHAUSTIONS)
def test_exhausting_a_resource_affects_only_the_run_itself(name: str, box: LocalSandbox) -> None:
    outcome = box.run(EXHAUSTIONS[name], limits=LIMITS)
    assert len(outcome.stdout) <= LIMITS.output
    assert len(outcome.stderr) <= LIMITS.output
    assert outcome.peak_memory is None or outcome.peak_memory <= LIMITS.memory
    assert is_well(box)


AMPLE = Limits(cpu_seconds=120, wall_seconds=600, processes=64)
"""Limits for programs that end by themselves, even on a slow machine."""
KINDS = (*programs.ESCAPES, "bash below python", "c below python")
"""Languages, and the sandbox that runs their programs. All have the same protections."""


IN_CI = {"bash", "c", "cpp", "javascript", "perl", "bash below python", "c below python"}
"""Kinds that continuous integration can run. The toolchains of the others are large."""


def test_every_language_has_its_attacks() -> None:
    same = {"go_test": "go", "junit": "java", "rust_2015": "rust"}
    assert {same.get(language, language) for language in languages.LANGUAGES} == set(programs.ESCAPES)


def attempted(kind: str, secret: Path, port: int, box: LocalSandbox) -> tuple[set[str], set[str]]:
    """Returns the number of attacks that were tried in a language, and those that succeeded."""
    language, _, below = kind.partition(" below ")
    source = programs.program(language, str(secret), port, os.getpid())
    if below:
        spec = languages.LANGUAGES[language]
        steps = [shlex.split(step) for step in (spec.build, spec.run) if step]
        script = f"import subprocess\nopen({spec.file!r}, 'w').write({source!r})\nfor step in {steps}: subprocess.run(step)"
        outcome = box.run(script, limits=AMPLE)
    else:
        shell = programs.program("bash", str(secret), port, os.getpid()).encode()
        outcome = languages.run(language, source, limits=AMPLE, files={"attack.sh": shell})
    lines = [line.partition(" ") for line in outcome.stdout.splitlines()]
    said = {word: {name for first, _, name in lines if first == word} for word in ("TRIED", "THROUGH")}
    assert said["TRIED"] == set(programs.ESCAPES[language]), outcome
    return said["TRIED"], said["THROUGH"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_attack_in_another_language_succeeds(
    kind: str, box: LocalSandbox, port: int, tmp_path: Path, skip_or_fail: Callable[[str], NoReturn]
) -> None:
    (tmp_path / "secret").write_text("hunter2")
    if missing := languages.lacks(kind.partition(" ")[0]):
        if kind not in IN_CI:
            pytest.skip(missing)
        skip_or_fail(missing)
    tried, through = attempted(kind, tmp_path / "secret", port, box)
    assert len(tried) > 20
    assert through == set()


def test_an_honest_program_passes_while_hostile_ones_run(box: LocalSandbox) -> None:
    hostile = {
        "bash": ":(){ :|:& };:; for f in /proc/*/fd/*; do echo 0 > $f/cgroup.procs; done; sleep 60",
        "c": "#include <unistd.h>\n#include <stdlib.h>\n#include <string.h>\nint main() { while (fork() >= 0); "
        "for (;;) { char *p = malloc(1 << 20); if (p) memset(p, 1, 1 << 20); } }",
        "javascript": "const a = []; for (;;) a.push(new Array(1e5).fill(a.length));",
    }
    given = {
        name: program for name, program in hostile.items() if shutil.which(languages.LANGUAGES[name].needs, path="/usr/bin")
    }
    tests = {"stdin": [{"input": "ab", "output": "ba"}], "language": "bash", "limits": {"cpu_seconds": 5, "wall_seconds": 60}}
    with ThreadPoolExecutor(len(given)) as threads:
        bad = [threads.submit(languages.run, name, program, "", LIMITS) for name, program in given.items()]
        honest = code.verify(Problem("p", (), tests, "here"), "```bash\nread -r line; echo $line | rev\n```")
        assert is_well(box)
        assert {one.result().status for one in bad} <= {RunStatus.TIMEOUT, RunStatus.MEMORY, RunStatus.KILLED, RunStatus.ERROR}
    assert (honest.score, honest.status) == (1, Status.SCORED), honest


TESTS = [{"arguments": [a, b], "output": a + b} for a, b in ((1, 2), (5, 6), (-3, 1))]
CHECKED = "def check(candidate):\n" + "".join(
    f"    assert candidate({a}, {b}) == {a + b}\n" for a, b in ((1, 2), (5, 6), (-3, 1))
)
FORMS = {
    "calls": {"entry_point": "add", "calls": TESTS},
    "a program with assertions": {"entry_point": "add", "test": CHECKED},
    "assertions": {"asserts": ["assert add(1, 2) == 3", "assert add(5, 6) == 11", "assert abs(add(-3, 1) + 2) < 1e-6"]},
    "a checker": {
        "entry_point": "add",
        "calls": TESTS,
        "checker": "def check(arguments, output, expected): return type(output) is int and output == expected",
    },
}
EQUAL_TO_PYTHON = {"a float in place of an integer"}
"""Hacks that an assertion with == accepts, because its author wrote it so."""

SLOW_WITHOUT_LIMITS = {"a set that takes its reader forever", "a function that asks to be waited for"}
"""Hacks that use up the time limit, which is the benchmark's own for its protocol."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HACKS)
def test_reward_hacks_score_0(name: str, form: str, box: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in EQUAL_TO_PYTHON and "assertions" in form:
        pytest.skip("3.0 == 3 holds in Python")
    monkeypatch.setattr(sandbox, "shared", lambda: box)
    limits = {"cpu_seconds": 0.15, "wall_seconds": 1, "memory": 128 << 20}
    problem = Problem("add", (), FORMS[form] | {"limits": limits}, "here")
    verdict = code.verify(problem, HACKS[name])
    assert verdict.score == 0, verdict
    assert verdict.status in (Status.SCORED, Status.TIMEOUT)
    honest = code.verify(problem, "def add(a, b):\n    return a + b")
    assert honest.score == 1, honest


@pytest.mark.parametrize("name", sorted(HACKS.keys() - EQUAL_TO_PYTHON - SLOW_WITHOUT_LIMITS))
def test_reward_hacks_score_0_with_the_rules_of_live_code_bench(
    name: str, box: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "shared", lambda: box)
    verify = code.verify.with_options(protocol="livecodebench")
    # Not `add`: the benchmark's header imports a function of this name from the module operator.
    problem = Problem("total", (), FORMS["calls"] | {"entry_point": "total"}, "here")
    verdict = verify(problem, f"```python\n{HACKS[name].replace('add', 'total')}\n```")
    assert verdict.score == 0, verdict
    assert verdict.status in (Status.SCORED, Status.TIMEOUT)
    assert verify(problem, "```python\ndef total(a, b):\n    return a + b\n```").score == 1


def test_many_concurrent_hostile_runs_do_not_affect_an_honest_one(box: LocalSandbox) -> None:
    hostile = ["fork bomb", "memory bit by bit", "output", "a loop", "segmentation fault", "threads"]
    threads = [threading.Thread(target=box.run, args=(EXHAUSTIONS[name],), kwargs={"limits": LIMITS}) for name in hostile]
    for thread in threads:
        thread.start()
    assert is_well(box)
    for thread in threads:
        thread.join()
    assert is_well(box)


def test_a_program_that_uses_numpy_runs_after_the_attacks(box: LocalSandbox) -> None:
    outcome = box.run("import numpy\ndef f(x):\n    return int(numpy.arange(x).sum())", [Call("f", [4])])
    assert outcome.results[0].value == 6
