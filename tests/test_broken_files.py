"""Benchmarks and rollouts with broken files, with files of the wrong kind, and with signals."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenfold import cli, disk

BENCH = ["bench", "chain_sum", "--policy", "scripted:7", "--limit", "2", "--samples", "2", "--max-tokens", "16", "--out", "b"]
ROLLOUT = ["rollout", "tenfold/ChainSum-v0", "--policy", "scripted:7", "--samples", "2", "--problems", "2", "--out", "e.jsonl"]


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


@pytest.mark.parametrize(("command", "place"), [(BENCH, "b"), (ROLLOUT, "e.jsonl")])
def test_two_commands_cannot_write_to_one_folder(
    lab: Path, capsys: pytest.CaptureFixture[str], command: list[str], place: str
) -> None:
    status: list[int] = []
    with disk.locked(place) if place == "b" else disk.locked_file(place):
        thread = threading.Thread(target=lambda: status.append(run(*command)))
        thread.start()
        thread.join()
    assert status == [2]
    output = capsys.readouterr().err
    assert output.startswith(f"error: another process uses {place} (process {os.getpid()} on ")
    assert output.count("\n") == 1


@pytest.mark.parametrize(("command", "store"), [(BENCH, "b/chain_sum.samples.jsonl"), (ROLLOUT, "e.jsonl")])
def test_broken_lines_of_a_store_are_logged_and_sampled_again(
    lab: Path, caplog: pytest.LogCaptureFixture, command: list[str], store: str
) -> None:
    assert run(*command) == 0
    whole = Path(store).read_bytes().splitlines(keepends=True)
    Path(store).write_bytes(b"".join([whole[0], b"{}\n", whole[2][:9] + b"\n", *whole[3:-1], whole[-1][:-9]]))
    assert run(*command) == 0
    assert f"{store}: 3 lines cannot be read and are skipped" in caplog.text
    assert set(Path(store).read_bytes().splitlines(keepends=True)) >= set(whole)


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["bench", "compare", "b"], "b/chain_sum_avg2.result.json"),
        (["bench", "rescore", "b"], "b/chain_sum_avg2.result.json"),
        (["bench", "compare", "b", "b"], "b/chain_sum_avg2.result.json"),
        (BENCH, "b/chain_sum.samples.jsonl"),
        (ROLLOUT, "e.jsonl"),
    ],
)
@pytest.mark.parametrize("content", [b'{"a"', b"[]\n", b"{}\n", b'{"settings": []}\n', b"\x80\x00\n"])
def test_a_broken_file_gives_a_one_line_error_that_names_it(
    lab: Path, capsys: pytest.CaptureFixture[str], command: list[str], file: str, content: bytes
) -> None:
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_bytes(content)
    assert run(*command) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"error: {file}")
    assert output.count("\n") == 1
    assert Path(file).read_bytes() == content


@pytest.mark.parametrize("command", ["compare", "rescore", "leaderboard"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("task", "../sum_avg2"), ("store", "../b.samples.jsonl"), ("store", "/b.samples.jsonl"), ("settings", {})],
)
def test_a_result_names_only_files_of_its_own_folder(
    lab: Path, capsys: pytest.CaptureFixture[str], command: str, name: str, value: object
) -> None:
    assert run(*BENCH) == 0
    result = json.loads(Path("b/chain_sum_avg2.result.json").read_text())
    Path("b/chain_sum_avg2.result.json").write_text(json.dumps({**result, name: value}))
    before = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run("bench", command, "b") == 2
    assert capsys.readouterr().err.startswith("error: b/chain_sum_avg2.result.json has an unexpected form")
    assert before == {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("prepare", "command", "words"),
    [
        (lambda: Path("x").write_text(""), [*BENCH[:-1], "x"], "cannot create the folder x: a file has that name"),
        (lambda: Path("x").write_text(""), [*ROLLOUT[:-1], "x/e.jsonl"], "cannot create the folder x: a file has that name"),
        (lambda: Path("b").mkdir(), [*ROLLOUT[:-1], "b"], "b is not a regular file"),
        (lambda: os.makedirs("b/chain_sum.samples.jsonl"), BENCH, "b/chain_sum.samples.jsonl is not a regular file"),
        (lambda: os.makedirs("b/chain_sum_avg2.scores.jsonl"), BENCH, "b/chain_sum_avg2.scores.jsonl: a folder exists where"),
        (lambda: os.makedirs("b/index.html"), BENCH, "b/index.html: a folder exists where a file is needed"),
        (lambda: (Path("b").mkdir(), Path("b/page").write_text("")), BENCH, "a file exists where a folder is needed"),
        (lambda: None, [*ROLLOUT[:-1], "/proc/e.jsonl"], "cannot write to /proc"),
        (lambda: None, [*BENCH[:-1], "l" * 300], "File name too long"),
        (lambda: Path("r.yaml").write_bytes(b"name: \x80"), ["run", "r.yaml"], "r.yaml is not YAML"),
        (lambda: Path("r.yaml").write_text("name: 2024-13-45"), ["run", "r.yaml"], "r.yaml is not YAML"),
        (lambda: Path("r.yaml").write_text(f"seed: 1{':00' * 200}.0"), ["run", "r.yaml"], "r.yaml is not YAML"),
    ],
)
def test_a_file_or_folder_of_the_wrong_kind_gives_a_one_line_error(
    lab: Path, capsys: pytest.CaptureFixture[str], prepare: Callable[[], object], command: list[str], words: str
) -> None:
    prepare()
    assert run(*command) == 2
    error = capsys.readouterr().err.splitlines()[-1]  # a progress bar of lm-eval may come before it
    assert error.startswith("error: ")
    assert words in error


def test_file_names_and_responses_may_contain_invalid_utf8(lab: Path) -> None:
    assert run(*BENCH[:3], "scripted:7\udcff\ud800", *BENCH[4:-1], "b\udcff\n") == 0
    assert run(*ROLLOUT[:3], "scripted:7\udcff\ud800", *ROLLOUT[4:-1], "e\udcff\n.jsonl") == 0
    assert Path("b\udcff\n/index.html").is_file()


ENDS = """
import os
import gymnasium
import tenfold
from tenfold.envs.text import Text

class Ends(gymnasium.Env):
    '''Its 66th problem sends a signal to whoever plays it.'''
    problems = range(70)
    def __init__(self, number):
        self.number = number
        self.observation_space = self.action_space = Text()
    def reset(self, *, seed=None, options=None):
        self.problem = options["problem"]
        return "?", {}
    def step(self, action):
        if self.problem == 65:
            os.kill(os.getpid(), self.number)
        return "", 1.0, True, False, {}

tenfold.register("lab/Ends-v0", entry_point="lab_ends:Ends")
"""


@pytest.fixture
def heeded() -> Iterator[None]:
    """Default handlers of SIGTERM and SIGHUP, in case the tests were started with `nohup`."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "by"), [(signal.SIGTERM, " by SIGTERM"), (signal.SIGHUP, " by SIGHUP"), (signal.SIGINT, "")]
)
@pytest.mark.usefixtures("heeded")
def test_a_signal_ends_a_command_with_one_line_and_finished_episodes_are_stored(
    lab: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, by: str
) -> None:
    (lab / "lab_ends.py").write_text(ENDS)
    command = ["rollout", "lab_ends:lab/Ends-v0", "--policy", "scripted:7", "--samples", "1", "--problems", "70"]
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run(*command, "--set", f"number={number.value}", "--out", "e.jsonl") == 128 + number
    assert capsys.readouterr().err == f"stopped{by}; run the same command again to resume\n"
    stored = len(Path("e.jsonl").read_text().splitlines()) - 1
    assert 64 <= stored <= 70, "the first batch, and the episodes of the second that were played by then"
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


EPISODE = {"step": 1, "problem": 0, "problem_id": "p", "sample": 0, "tokens": 3, "finish_reason": "stop"} | {
    "messages": [{"role": "user", "content": "?"}],
    "verdict": {"status": "scored", "score": 1.0, "method": "exact", "reason": "equal"},
}


@pytest.mark.parametrize("command", ["env list", "bench --list", "--help", "show out"])
def test_a_closed_pipe_ends_a_command_without_an_error_message(lab: Path, command: str) -> None:
    (lab / "out/grpo/episodes").mkdir(parents=True)
    (lab / "out/grpo/episodes/0.jsonl").write_text(json.dumps(EPISODE) + "\n")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "tenfold.cli", *command.split()], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    status = 0 if command == "--help" else 128 + signal.SIGPIPE  # argparse ignores the error
    assert (ended.returncode, ended.stderr) == (status, "")


def test_a_closed_pipe_ends_a_table_without_an_error_message() -> None:
    program = (
        "from rich.table import Table; from tenfold.terminal import Console\n"
        "try:\n    Console().print(Table('a'))\n    print('x' * 100_000, flush=True)\n"
        "except BrokenPipeError:\n    raise SystemExit(7)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    assert (
        subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.DEVNULL, check=False).returncode == 7
    )
    os.close(writer)


def test_a_command_works_with_a_closed_standard_output() -> None:
    ended = subprocess.run(f"{sys.executable} -m tenfold.cli env list >&-", shell=True, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
