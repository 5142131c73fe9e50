import re
import shlex
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tenfold.core import Problem, Status, UserError
from tenfold.verifiers import code
from tenfold.verifiers.sandbox import Limits, RunStatus, SandboxFault, languages, toolchains

from .language_programs import BOMBS, BROKEN, COPIES, FAILS, FLOODS, LOOPS, REVERSE

pytestmark = pytest.mark.usefixtures("sandboxed")

LIMITS = Limits(cpu_seconds=0.3, wall_seconds=2, memory=256 << 20, processes=64, output=1 << 16)
"""Limits for programs that must be ended."""
AMPLE = replace(LIMITS, cpu_seconds=120, wall_seconds=600)
"""Limits for programs that end by themselves, even on a slow machine."""


@pytest.fixture(params=languages.LANGUAGES)
def language(request: pytest.FixtureRequest, skip_or_fail: Callable[[str], NoReturn]) -> str:
    if missing := languages.lacks(request.param):
        if request.param not in IN_CI:
            pytest.skip(missing)
        skip_or_fail(missing)
    return request.param


IN_CI = {"bash", "c", "cpp", "javascript", "perl"}
"""Languages that continuous integration installs. The toolchains of the others are large."""


def test_a_program_reads_and_prints(language: str) -> None:
    if language not in REVERSE:
        pytest.skip("it is no program that reads")
    outcome = languages.run(language, REVERSE[language], "abc\n", AMPLE)
    assert (outcome.status, outcome.stdout) == (RunStatus.FINISHED, "cba\n"), outcome


def test_a_syntax_error_is_an_error(language: str) -> None:
    outcome = languages.run(language, BROKEN.get(language, "this is ( no program"), limits=AMPLE)
    assert outcome.status == RunStatus.ERROR, outcome
    assert "status" in outcome.reason


def test_an_assertion_that_fails_is_an_error(language: str) -> None:
    outcome = languages.run(language, FAILS[language], limits=AMPLE)
    assert outcome.status in (RunStatus.ERROR, RunStatus.KILLED), outcome  # in C, `abort` sends a signal


def test_a_program_that_never_ends_is_ended(language: str) -> None:
    outcome = languages.run(language, LOOPS[language], limits=replace(AMPLE, cpu_seconds=0.7))
    assert (outcome.status, outcome.reason) == (RunStatus.TIMEOUT, "more than 0.7 s of processor time"), outcome


def test_a_program_cannot_take_more_memory_than_its_limit(language: str) -> None:
    outcome = languages.run(language, BOMBS[language], limits=replace(AMPLE, memory=384 << 20))
    assert outcome.status in (RunStatus.MEMORY, RunStatus.KILLED, RunStatus.ERROR), outcome
    # the kernel may count a few pages before it refuses them
    assert outcome.peak_memory is None or outcome.peak_memory <= (384 << 20) + 16 * 4096


def test_a_program_cannot_write_without_end(language: str) -> None:
    outcome = languages.run(language, FLOODS[language], limits=replace(AMPLE, output=LIMITS.output))
    assert outcome.status == RunStatus.OUTPUT, outcome
    assert len(outcome.stdout) <= LIMITS.output


def test_neither_a_program_nor_its_compiler_copies_a_file_of_the_machine(language: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    outcome = languages.run(language, COPIES[language].replace("SECRET", str(secret)), limits=AMPLE)
    assert "hunter2" not in outcome.stdout + outcome.stderr, outcome


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("while :; do :; done", RunStatus.TIMEOUT),
        ("sleep 100", RunStatus.TIMEOUT),
        ("exec >&- 2>&-; sleep 100", RunStatus.TIMEOUT),
        ("yes", RunStatus.OUTPUT),
        ("x=xxxxxxxx; while :; do x=$x$x; done", RunStatus.MEMORY),
        (":(){ :|:& };:; sleep 100", RunStatus.TIMEOUT),
        ("kill -SEGV $$", RunStatus.KILLED),
        ("head -c 100000000 /dev/zero > /tmp/big", RunStatus.KILLED),
        ("exit 3", RunStatus.ERROR),
        ("exit 255", RunStatus.ERROR),  # such as `return -1` in C
    ],
)
def test_a_program_that_reaches_a_limit_is_ended(program: str, status: RunStatus) -> None:
    limits = LIMITS if status == RunStatus.TIMEOUT else replace(AMPLE, output=LIMITS.output)
    outcome = languages.run("bash", program, limits=replace(limits, memory=48 << 20))
    assert outcome.status in (status, RunStatus.ERROR), outcome
    assert outcome.status == status or "big" in program or "x=" in program
    assert languages.run("bash", "echo well", limits=AMPLE).stdout == "well\n"


@pytest.mark.parametrize(
    "program",
    [
        "cat /etc/passwd",
        "ls /home /root /srv",
        "cat /proc/1/environ | tr '\\0' '\\n' | grep SECRET",
        "echo x > /usr/owned",
        "exec 3<>/dev/tcp/127.0.0.1/PORT",
        "unshare -r true",
        "mount -t tmpfs none /tmp",
        "chroot /tmp true",
        "for folder in /proc/self/fd/*; do echo $$ > $folder/cgroup.procs && exit; done 2> /dev/null; exit 1",
        "test $(id -u) = 0",
    ],
)
def test_a_program_cannot_reach_files_or_the_network(program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # a program that escapes could reach it
        port = server.getsockname()[1]
        outcome = languages.run("bash", program.replace("PORT", str(port)), limits=AMPLE)
    assert outcome.status == RunStatus.ERROR, outcome
    assert outcome.stdout == ""


USE = "use() { while read -r _ _ _ _ _ _ _ _ _ _ _ _ _ user _ < /proc/$BASHPID/stat; ((user < 5)); do :; done; }\n"
"""A function of bash that uses at least 0.05 s of processor time."""


def test_the_processor_time_of_all_processes_is_limited_together() -> None:
    program = f"{USE}for _ in 1 2 3 4 5 6; do (use); done; echo done"
    outcome = languages.run("bash", program, limits=replace(LIMITS, wall_seconds=60))  # on a busy machine 2 s are too few
    assert (outcome.status, outcome.stdout, outcome.reason) == (RunStatus.TIMEOUT, "", "more than 0.3 s of processor time")
    assert languages.run("bash", program, limits=AMPLE).stdout == "done\n"


def test_compiling_does_not_count_towards_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    build = shlex.join(["bash", "-c", f"{USE}for _ in 1 2 3 4 5 6; do (use); done"])
    monkeypatch.setitem(languages.LANGUAGES, "slow", toolchains.Language("main.sh", "bash", "bash main.sh", build))
    assert languages.run("slow", "echo done", limits=replace(AMPLE, cpu_seconds=0.3)).stdout == "done\n"


def test_a_build_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = toolchains.Language("main.sh", "bash", "bash main.sh", "sleep 100", build_seconds=1.5)
    monkeypatch.setitem(languages.LANGUAGES, "slow", slow)
    outcome = languages.run("slow", "echo done", limits=replace(LIMITS, wall_seconds=1))
    assert (outcome.status, outcome.reason) == (RunStatus.TIMEOUT, "more than 1.5 s of wall time")


def test_nothing_that_a_run_writes_is_there_in_the_next(tmp_path: Path) -> None:
    for _ in range(3):
        outcome = languages.run(
            "bash", "find ~ /tmp -mindepth 1; mkdir -p ~/.cache/go-build; touch ~/.cache/go-build/x", limits=AMPLE
        )
        assert set(outcome.stdout.split()) == {"/tmp/main.sh"}


def test_files_of_a_run_lie_beside_its_program() -> None:
    outcome = languages.run("bash", "cat data/a.bin; wc -c < data/a.bin", limits=AMPLE, files={"data/a.bin": b"said\n"})
    assert outcome.stdout == "said\n5\n"


def test_a_low_limit_is_raised_to_what_a_toolchain_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    count = "for i in 1 2 3 4 5 6; do sleep 1 & done; wait; echo done"
    monkeypatch.setitem(languages.LANGUAGES, "many", toolchains.Language("main.sh", "bash", "bash main.sh", processes=32))
    assert languages.run("many", count, limits=replace(AMPLE, processes=3)).stdout == "done\n"
    assert languages.run("bash", count, limits=replace(AMPLE, processes=3)).status == RunStatus.ERROR


def test_a_compiler_has_only_its_streams_as_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    look = shlex.join(["bash", "-c", "ls /proc/self/fd > seen"])
    monkeypatch.setitem(languages.LANGUAGES, "seeing", toolchains.Language("main.sh", "bash", "bash main.sh", look))
    seen = languages.run("seeing", "cat seen; ls /proc/self/fd", limits=AMPLE).stdout.split()
    assert seen == ["0", "1", "2", "3"] * 2  # the last is the folder that `ls` reads


@pytest.mark.parametrize(
    "program",
    [
        "echo said > /dev/stdout",
        "echo said | tee /dev/stderr 2> /dev/null",
        "cat <(echo said)",
        "echo said > x; cat < x",
        "cat /dev/stdin",
        "mkfifo p; echo said > p & cat p",
        "(trap 'echo said; exit' TERM; kill -TERM $BASHPID; sleep 9)",
        "exec 5>&1; echo said >&5",
        "echo said | flock lock cat",
        "awk '{print > \"/dev/stdout\"}'",
        "printf '%s\\n' said | sort -u | xargs echo",
        "yes said | head -n 1",
    ],
)
def test_shell_features_work(program: str) -> None:
    outcome = languages.run("bash", program, "said\n", AMPLE)
    assert (outcome.status, outcome.stdout) == (RunStatus.FINISHED, "said\n"), outcome


def test_the_code_verifier_judges_programs_of_any_language(language: str) -> None:
    if language not in REVERSE:
        pytest.skip("it is no program that reads")
    answer = {
        "language": language,
        "stdin": [{"input": "ab", "output": "ba"}],
        "limits": {"processes": 64, "cpu_seconds": 120, "wall_seconds": 600},
    }
    assert code.verify(Problem("p", (), answer, "here"), f"```{language}\n{REVERSE[language]}\n```").score == 1
    wrong = code.verify(Problem("p", (), answer, "here"), f"```{language}\nno program\n```")
    assert (wrong.status, wrong.score) == (Status.SCORED, 0)


def test_each_test_may_use_its_limits_although_the_build_takes_longer() -> None:
    program = "#include <bits/stdc++.h>\nint main() { int a; std::cin >> a; std::cout << a; }"
    tests = [{"input": str(number), "output": str(number)} for number in range(6)]
    answer = {"language": "cpp", "stdin": tests, "limits": {"cpu_seconds": 0.1, "wall_seconds": 60, "processes": 64}}
    assert code.verify(Problem("p", (), answer, "here"), f"```cpp\n{program}\n```").score == 1


def test_what_a_compiler_prints_is_no_output_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = replace(languages.LANGUAGES["bash"], build="bash -c 'echo warning'")
    monkeypatch.setitem(languages.LANGUAGES, "bash", noisy)
    outcome = languages.run("bash", "echo said", limits=AMPLE)
    assert (outcome.stdout, outcome.stderr) == ("said\n", "warning\n")


def test_a_compiler_that_does_not_work_here_is_not_the_programs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(languages.LANGUAGES["bash"], build="bash -c 'exit 1'")
    monkeypatch.setitem(languages.LANGUAGES, "bash", broken)
    monkeypatch.setattr(languages, "_checked", {})
    answer = {"language": "bash", "stdin": [{"input": "", "output": "said"}]}
    assert code.verify(Problem("p", (), answer, "here"), "```bash\necho said\n```").status == Status.UNDECIDED


def test_a_machine_that_is_too_busy_for_a_language_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "_checked", {})
    smallest = languages.LANGUAGES["bash"]
    monkeypatch.setitem(languages.LANGUAGES, "bash", replace(smallest, smallest="kill -9 $$"))
    with pytest.raises(SandboxFault, match="the smallest program in bash"):
        languages.lacks("bash")
    monkeypatch.setitem(languages.LANGUAGES, "bash", smallest)
    assert languages.lacks("bash") is None


@pytest.mark.parametrize("before", ["", "object Helper { val n = 1 }\n", "// The object Solution\n"])
def test_scala_starts_the_object_with_the_main_method(before: str) -> None:
    spec = languages.LANGUAGES["scala"]
    found = re.search(spec.main, f"{before}object Main extends App {{ println(1) }}")
    assert found
    assert found[1] == "Main"


def test_an_unknown_language_is_a_user_error() -> None:
    with pytest.raises(UserError, match="bash, c, cpp, csharp"):
        languages.run("cobol", "")
