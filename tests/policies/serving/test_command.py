"""`tenfold policy serve`: the line that it prints, the token, its end, and mistakes."""

import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from tenfold import cli


def test_the_command_prints_the_url_and_the_key_and_ends_at_an_interrupt() -> None:
    command = [sys.executable, "-m", "tenfold.cli", "policy", "serve", "scripted:Seven.", "--name", "small", "--token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line, key = process.stdout.readline(), process.stdout.readline()
        url = line.split()[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1  model small  \(Ctrl-C ends\)\n", line)
        assert httpx.get(f"{url}/models").status_code == 401
        headers = {"authorization": f"Bearer {key.removeprefix('API key: ').strip()}"}
        assert httpx.get(f"{url}/models", headers=headers).json()["data"][0]["id"] == "small"
        os.kill(process.pid, signal.SIGTERM)
        rest = process.stdout.read()
    assert (process.returncode, rest) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "a policy URI starts with one of"),
        (["scripted:x", "--port", "70000"], "--port: expected 0 to 65535"),
        (["scripted:x", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["scripted:x", "--vllm=--a"], "only a policy vllm+… is served by vLLM"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policy", "serve", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_users_own_token_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.policies.serving import access

    assert access.token("127.0.0.1", False) == ("", False)
    assert access.token("0.0.0.0", False)[1]
    monkeypatch.setenv(access.VARIABLE, "mine")
    assert access.token("127.0.0.1", False) == ("mine", False)
