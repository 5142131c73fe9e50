"""Text of models and files cannot control the terminal."""

import io
import json
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress
from rich.table import Table

from tenfold import cli, terminal
from tenfold.pipelines.recipe.report.display import Display

HOSTILE = (
    "well\x1b[31m red\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\\x1bP1$r\x1b\\\x9b2J\x9d52;c;eA==\x9c\x1bc\rover\x08\x7f"
    "\u202eturned\u2066\x00 done"
)
SEEN = "well redlinkoverturned done"


def is_inert(text: str) -> bool:
    return not any(
        (unicodedata.category(c) == "Cc" and c not in "\n\t") or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for c in text
    )


def test_escape_sequences_and_control_characters_are_removed() -> None:
    assert terminal.plain(HOSTILE) == SEEN
    assert terminal.plain("a\tb\r\nc \u00e9 \u4e2d \U0001f600 x\u0302") == "a\tb\nc \u00e9 \u4e2d \U0001f600 x\u0302"


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m\x07\x9b\x9d\x9c\\P?ac\n\u202e\ud800"), max_size=40))
def test_removed_parts_cannot_form_a_new_escape_sequence(text: str) -> None:
    assert is_inert(terminal.plain(text))


@pytest.mark.parametrize("piece", ["\x1b]", "\x9d", "\x1b[0;", "\x1b\x1b", "\x1bP", "\x1b[31m"])
def test_removal_takes_linear_time(piece: str) -> None:
    terminal.plain(piece * 300_000)  # with a quadratic pattern this takes an hour


def lines(*written: Any) -> str:
    """Returns the output of a `Console`."""
    console = terminal.Console(file=io.StringIO(), width=200, force_terminal=False)
    for one in written:
        console.print(one)
    return console.file.getvalue()


def test_a_table_prints_text_without_markup() -> None:
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row("[link=http://evil]here[/link] :smile:")
    visible = lines(table, HOSTILE)
    assert is_inert(visible)
    assert "[link=http://evil]here[/link] :smile:" in visible
    assert SEEN in visible


def test_progress_bars_contain_no_control_characters_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    with display.stage(HOSTILE) as progress:
        progress(1, 2, message=HOSTILE)
    console = terminal.Console(file=io.StringIO(), force_terminal=True, width=200)
    with Progress(console=console) as bar:
        bar.add_task("x", total=1)
        print(HOSTILE)  # rich captures this output while a progress bar is shown
    assert is_inert(capsys.readouterr().out)
    assert "evil" not in console.file.getvalue()


EPISODE = {"id": "1", "question": f"What is it? {HOSTILE}", "answer": "7"}


def test_commands_print_no_control_characters(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab / "rows.jsonl").write_text(json.dumps(EPISODE) + "\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("8\x1b[2J\n"))
    assert cli.main(["env", "play", "tenfold/GSM8K-v0", "--set", "problems=jsonl:rows.jsonl"]) == 0
    assert cli.main(["env", "play", f"lab/{HOSTILE}-v0"]) == 2
    assert cli.main(["verify", "--gold", "7", "--response", HOSTILE]) == 0
    (lab / "run/episodes").mkdir(parents=True)
    message = {"problem": 0, "problem_id": HOSTILE, "sample": 0, "step": 1, "tokens": 1, "finish_reason": "stop"}
    message |= {"verdict": {"score": 0.0, "status": "scored", "method": "exact", "reason": HOSTILE}}
    message |= {"messages": [{"role": "assistant", "content": HOSTILE}], "attempt": 0}
    (lab / "run/episodes/a.jsonl").write_text(json.dumps(message) + "\n")
    assert cli.main(["show", "run"]) == 0
    printed = capsys.readouterr()
    assert is_inert(printed.out)
    assert is_inert(printed.err)
    assert f"assistant: {SEEN}" in printed.out


def test_warnings_and_tracebacks_are_plain_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(arguments: object) -> None:
        warnings.warn(HOSTILE, stacklevel=1)
        raise ValueError(HOSTILE)

    monkeypatch.setattr("tenfold.cli.env.command.list_ids", fails)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with pytest.warns(UserWarning, match="well"), pytest.raises(ValueError, match="well") as raised:
        cli.main(["env", "list"])
    sys.excepthook(ValueError, raised.value, raised.tb)
    printed = capsys.readouterr()
    assert is_inert(printed.out + printed.err)
    assert SEEN in printed.err


def test_the_output_of_a_process_is_plain(lab: Path) -> None:
    command = [sys.executable, "-m", "tenfold.cli", "env", "check", f"lab/{HOSTILE}".replace("\0", "")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert is_inert(ended.stderr)
