"""Names of results: no result replaces one with other settings."""

import re
from pathlib import Path

import pytest

from tenfold import cli
from tenfold.benchmarks import evaluate
from tenfold.benchmarks.lm import PolicyLM
from tenfold.benchmarks.report import paired
from tenfold.benchmarks.result import Result, results, settings_hash
from tenfold.core import UserError
from tenfold.policies.scripted import ScriptedPolicy


def run(folder: str, text: str = "7", **options: float) -> Result:
    return evaluate.evaluate("chain_sum", ScriptedPolicy(text), folder=folder, limit=3, samples=2, **options)  # type: ignore[arg-type]


def test_the_first_result_has_the_plain_name_and_other_settings_add_a_digest(lab: Path) -> None:
    first = run("b")
    second, third = run("b", temperature=1), run("b", seed=1)
    assert first.task == "chain_sum_avg2"
    assert all(re.fullmatch(r"chain_sum_avg2-[0-9a-f]{6}", result.task) for result in (second, third))
    assert len({result.task for result in results("b")}) == 3
    assert run("b") == first
    assert run("b", temperature=1.0) == second
    assert results("b") == sorted([first, second, third], key=lambda result: f"{result.task}.result.json")


@pytest.mark.parametrize("task", ["chain_sum", "env:tenfold/ChainSum-v0"])
def test_a_folder_with_samples_of_another_policy_is_refused(lab: Path, task: str) -> None:
    first = evaluate.evaluate(task, ScriptedPolicy("7"), folder="b", limit=2, samples=1)
    with pytest.raises(UserError, match=r"samples\.jsonl was made with policy='scripted:7', not 'scripted:8'"):
        evaluate.evaluate(task, ScriptedPolicy("8"), folder="b", limit=2, samples=1)
    assert first.settings["policy"] == "scripted:7"
    named = {"policy": "mine, step 300"}
    assert (
        evaluate.evaluate(task, ScriptedPolicy("8"), folder="c", limit=2, samples=1, store_settings=named).settings["policy"]
        == "mine, step 300"
    )


@pytest.mark.parametrize("task", ["chain_sum", "env:tenfold/ChainSum-v0"])
def test_results_with_and_without_top_k_are_kept_apart(lab: Path, task: str) -> None:
    def run(**options: int) -> Result:
        return evaluate.evaluate(task, ScriptedPolicy("7"), folder="b", limit=3, samples=2, **options)  # type: ignore[arg-type]

    without = run()
    files = {path: path.read_bytes() for path in Path("b").glob("env*.samples.jsonl")}
    limited = run(top_k=3)
    assert limited.task.startswith(f"{without.task}-")
    assert limited.hash != without.hash
    assert "top_k" not in without.settings["sampling"]
    assert run() == without
    assert all(path.read_bytes() == content for path, content in files.items())
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert {result.task: result for result in results("b")} == {without.task: without, limited.task: limited}


def test_samples_without_top_k_have_the_names_of_earlier_versions() -> None:
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "max_gen_toks": 8, "until": []}
    model = PolicyLM(ScriptedPolicy("7"), seed=3)
    assert model.request(("2 + 2 =", settings)) == "cc93a52cd4593843be746cd5"
    assert model.request(("2 + 2 =", settings | {"top_k": 3})) != "cc93a52cd4593843be746cd5"


def test_a_folder_has_samples_of_one_policy(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("chain_sum", "env:tenfold/ChainSum-v0"):
        command = ["bench", task, "--limit", "2", "--samples", "2", "--out", "b"]
        assert cli.main([*command, "--policy", "scripted:7"]) == 0
        assert cli.main([*command, "--policy", "scripted:8", "--seed", "1"]) == 2
        assert "was made with policy='scripted:7', not 'scripted:8'" in capsys.readouterr().err


def test_equal_numbers_have_equal_digests() -> None:
    assert settings_hash({"temperature": 0, "top_p": [1, 0.5]}) == settings_hash({"temperature": 0.0, "top_p": [1.0, 0.5]})
    assert settings_hash({"trained": True}) != settings_hash({"trained": 1})


def test_rescore_keeps_the_names(lab: Path) -> None:
    before = [run("b"), run("b", temperature=1), run("b", seed=1)]
    assert cli.main(["bench", "rescore", "b"]) == 0
    assert {result.task: result for result in results("b")} == {result.task: result for result in before}


def test_two_runs_are_compared_by_equal_settings_whatever_the_order(lab: Path) -> None:
    run("a"), run("a", temperature=1)
    run("b", text="8", temperature=1), run("b", text="8")
    found = paired.compare_folders([Path("a"), Path("b")])
    assert len(found) == 2
    assert all(pair.first.result.hash == pair.second.result.hash for task in found for pair in task.pairs)
    names = {result.hash: result.task for result in results("b")}
    assert [names[result.hash] == result.task for result in results("a")] == [False, False]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--greedy", "--samples", "2"], "--greedy means temperature 0 and one sample; omit --temperature and --samples"),
        (["--set", "size=3"], "no task is an environment"),
    ],
)
def test_options_that_contradict_are_an_error(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "chain_sum", "--policy", "scripted:7", *options]) == 2
    assert words in capsys.readouterr().err
