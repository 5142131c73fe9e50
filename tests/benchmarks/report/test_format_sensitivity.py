"""The statistics of BFCL-V4's format sensitivity."""

import importlib.util
import json
from pathlib import Path
from statistics import stdev

import pytest

from tenfold import cli

GOLD = """
from tenfold.envs.bfcl import problems

texts = {}
for problem in problems.format_sensitivity(each=1):
    texts[problem.prompt[0]["content"], problem.prompt[-1]["content"]] = problem

def xml_only(conversation, seed):
    problem = texts[conversation[0]["content"], conversation[-1]["content"]]
    return str(problem.meta["solution"]) if "xml" in problem.answer["format"] else "I do not know."
"""


@pytest.mark.skipif(importlib.util.find_spec("bfcl_eval") is None, reason="needs bfcl-eval")
def test_a_policy_that_calls_in_xml_alone_differs_by_the_whole_score(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "lab_formats.py").write_text(GOLD)
    uri = "generate:tenfold.envs.bfcl.problems:format_sensitivity?each=1"
    command = ["bench", "bfcl_v4_format_sensitivity", "--problems", uri, "--policy", "call:lab_formats:xml_only", "--json"]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    (row,) = map(json.loads, printed.out.splitlines())
    accuracies = {name.removeprefix("category "): value for name, value in row["figures"].items()}
    assert len(accuracies) == 26
    assert all(accuracy == ("_xml" in name) for name, accuracy in accuracies.items())
    assert row["max_delta"] == 1
    assert row["standard_deviation"] == pytest.approx(stdev([1] * 12 + [0] * 14))
    assert "max delta 100.00, standard deviation 50.84" in " ".join(printed.err.split())
    assert "concise_xml" in printed.err
    assert "overall" not in printed.err
