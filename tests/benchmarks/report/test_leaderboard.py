"""`tenfold bench leaderboard`."""

import json
import re
from pathlib import Path

import pytest

from tenfold import cli

ZERO = r"<b>\boxed{0}"
"""A policy with the answer 0."""
FOLDERS = ("bench/two", "bench/five", "bench/zero")


def run(*arguments: str) -> int:
    return cli.main(["bench", *arguments])


@pytest.fixture
def folders(lab: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Results of three policies. The task `odd` is missing for one of them, and another has it at another temperature."""
    for name, answers in (("even", (0, 2, 2, 2)), ("odd", (1, 3, 5, 5))):
        rows = [{"question": f"{name} {number}?", "answer": answer} for number, answer in enumerate(answers)]
        (lab / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (lab / f"{name}.yaml").write_text(f"problems: 'jsonl:{name}.jsonl'\nsamples: 2\nmax_tokens: 64\n")
    for policy, out, tasks in (("2", "two", ("even", "odd")), ("5", "five", ("even", "odd")), (ZERO, "zero", ("even",))):
        for task in tasks:
            hot = ["--temperature", "1"] if (out, task) == ("five", "odd") else []
            command = ["--task", f"{task}.yaml", "--policy", f"scripted:{policy}", "--out", f"bench/{out}", *hot]
            assert run(*command) == 0
    capsys.readouterr()
    return lab


def order(printed: str) -> list[str]:
    return re.findall(r"^│ scripted:(\S+)", printed, re.MULTILINE)


def test_policies_are_sorted_by_the_mean_over_the_tasks_that_all_have(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("leaderboard", *FOLDERS) == 0
    printed = capsys.readouterr().out
    assert "mean: over even" in printed
    assert order(printed) == ["2", ZERO, "5"]
    assert re.search(r"scripted:2 +│ 75\.0 │ +75\.0 │ +0\.0 │\n│ +│ +│ \[.*\] │ +\[.*\] │\n", printed)
    assert re.search(r"scripted:<b>\S+ +│ 25\.0 │ +25\.0 │ +│\n", printed)
    assert re.search(r"scripted:5 +│ +0\.0 │ +0\.0 │ +50\.0 \* │\n", printed)
    assert "* odd, scripted:5: temperature 0.6 and 1.0 (first value: scripted:2)" in printed
    page = (folders / "leaderboard.html").read_text()
    assert "scripted:&lt;b&gt;" in page
    assert "<b>" not in page
    assert 'href="bench/two/index.html"' in page


def test_a_task_can_be_the_order(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("leaderboard", "bench/zero", "bench/two", "bench/five", "--by", "odd", "--out", "board.html") == 0
    assert order(capsys.readouterr().out) == ["5", "2", ZERO]
    assert (folders / "board.html").is_file()
    assert run("leaderboard", "bench", "--by", "none") == 2
    assert "--by: no folder has a result of 'none'; use one of even, odd" in capsys.readouterr().err


def test_json_is_one_object(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("leaderboard", *FOLDERS, "--json") == 0
    board = json.loads(capsys.readouterr().out)
    assert (board["tasks"], board["common_tasks"]) == (["even", "odd"], ["even"])
    rows = {row["policy"]: row for row in board["policies"]}
    assert rows["scripted:2"]["mean"] == 0.75
    assert rows["scripted:5"]["results"]["odd"]["comparable"] is False
    assert rows["scripted:5"]["results"]["odd"]["avg_at_k"] == 0.5
    assert "odd" not in rows[f"scripted:{ZERO}"]["results"]


def test_folders_with_the_same_policy_are_distinguished(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--task", "even.yaml", "--policy", "scripted:2", "--out", "bench/again") == 0
    capsys.readouterr()
    assert run("leaderboard", "bench") == 0
    assert {"scripted:2 (two)", "scripted:2 (again)"} <= {*re.findall(r"scripted:2 \(\w+\)", capsys.readouterr().out)}
