"""The tables of results are those of the run's own files."""

import importlib.util
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from tenfold import cli
from tenfold.core import UserError
from tenfold.pipelines.recipe import runner

ROOT = Path(__file__).parents[2]
RECIPE = """
name: small
seed: 1
policy: "micro:?hidden=32&layers=1&heads=1"
stages:
  - kind: sft
    name: sft
    problems: "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=50"
    steps: 2
    batch_size: 4
  - {kind: bench, name: before, tasks: [chain_sum_avg2], limit: 8, max_tokens: 4}
  - {kind: bench, name: after, tasks: [chain_sum_avg2], limit: 8, max_tokens: 4}
"""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_program", ROOT / "docs" / "results.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "small.yaml").write_text(RECIPE)
    runner.run(folder / "small.yaml", folder / "run", quiet=True)
    return folder / "run"


def test_a_runs_tables_say_what_its_records_say(program: ModuleType, run: Path) -> None:
    text = program.written(run, "abc1234")
    record = json.loads((run / "after" / "stage.json").read_text())
    score = record["metrics"]["scores"]["chain_sum_avg2"]
    interval = f"{100 * score['mean']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"
    assert f"| after | bench | {record['wall_seconds']:.0f} | chain_sum_avg2: {interval} avg@2 on 8 problems, " in text
    assert "avg@2 on 8 problems, sampled with temperature 0.6, top_p 0.95, max_tokens 4 |" in text
    assert f"`tenfold run {run}/recipe.yaml --out {run}`" in text  # no recipe of the package
    assert "| sft | sft | " in text
    assert re.search(r"^\| after \| .*\+0\.0 \[", text, re.MULTILINE)  # the same policy on the same problems
    assert "commit abc1234" in text
    assert f"{len(os.sched_getaffinity(0))} cores" in text
    assert f"torch {record['versions']['torch']}" in text


def test_the_tables_of_tag_stages_have_a_row_for_each_dimension(program: ModuleType, tmp_path: Path) -> None:
    source = "generate:tenfold.pipelines.corpus.planted.documents:bad?size=60"
    stages = [
        {"kind": "documents", "name": "documents", "sources": [source]},
        {"kind": "tag", "name": "rules", "documents": "{stage:documents}", "sample": 60},
        {
            **{"kind": "tag", "name": "binary", "documents": "{stage:documents}", "sample": 60},
            **{"scale": "binary", "compare": ["{stage:rules}"]},
        },
    ]
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "policy": "micro:", "stages": stages}))
    runner.run(tmp_path / "r.yaml", tmp_path / "run", quiet=True)
    text = program.written(tmp_path / "run", "abc1234")
    found = json.loads((tmp_path / "run/binary/stage.json").read_text())["metrics"]["agreement"]["rules"]
    (row,) = (row for row in found["dimensions"] if row["name"] == "clean_markup")
    assert "Rank correlations by dimension, stage rules:" in text
    assert "| dimension | kind | tagger, labels | labels, labels of rules | tagger, labels of rules |" in text
    assert re.search(rf"^\| clean_markup \| format \| [^|]* \| {row['labels']:.2f} \| ", text, re.MULTILINE)
    assert re.search(rf"^\| mean of all \| .* \| {found['means']['labels']['all']:.2f} \| ", text, re.MULTILINE)
    assert f"- Mean rank correlation with the labels of rules on 60 documents: {found['means']['labels']['all']:.2f}." in text


def test_another_result_makes_another_table(program: ModuleType, run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "after" / "stage.json"
    record = json.loads(path.read_text())
    record["metrics"]["scores"]["chain_sum_avg2"]["mean"] = 0.777
    path.write_text(json.dumps(record))
    assert "chain_sum_avg2: 77.7 [" in program.written(tmp_path / "run", "abc1234")


def test_a_folder_of_results_is_a_table_of_tasks(program: ModuleType, run: Path) -> None:
    text = program.written(run / "after", "abc1234")
    result = json.loads((run / "after" / "chain_sum_avg2.result.json").read_text())
    assert f"| chain_sum_avg2 | {100 * result['score']['mean']:.1f} |" in text
    assert f"| 8 x 2 | {result['truncated']:.0%} | 0 | `{result['hash']}` |" in text
    policy = result["settings"]["policy"]
    command = f"tenfold bench chain_sum_avg2 --policy {policy} --limit 8 --max-tokens 4 --seed 1 --out {run / 'after'}"
    assert f"`{command}`" in text


def test_results_of_several_commands_name_each_command(program: ModuleType, tmp_path: Path) -> None:
    common = ["--policy", "scripted:7", "--out", str(tmp_path / "out")]
    assert cli.main(["bench", "chain_sum", *common, "--limit", "3", "--max-tokens", "4", "--samples", "2"]) == 0
    assert cli.main(["bench", "chain_sum", *common, "--limit", "2", "--greedy", "--seed", "5", "--system", "Be brief."]) == 0
    text = program.written(tmp_path / "out", "abc1234")
    out = tmp_path / "out"
    assert f"`tenfold bench chain_sum_avg2 --policy scripted:7 --limit 3 --max-tokens 4 --out {out}`" in text
    options = "--limit 2 --temperature 0.0 --system 'Be brief.' --seed 5"
    assert f"`tenfold bench chain_sum_avg1 --policy scripted:7 {options} --out {out}`" in text


def test_the_page_of_a_run_is_written_anew_between_its_marks(program: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    rest = "<!-- /results -->\nmore\n<!-- results: runs/b -->\nb\n<!-- /results -->\n"
    page.write_text(f"# Title\n<!-- results: runs/a -->\nold\n{rest}")
    assert program.put(Path("runs/a"), "new", tmp_path) == [page]
    assert page.read_text() == f"# Title\n<!-- results: runs/a -->\n\nnew\n\n{rest}"
    assert program.put(Path("runs/none"), "new", tmp_path) == []


def test_commit_and_machine_are_those_that_the_stages_recorded(program: ModuleType, run: Path) -> None:
    record = json.loads((run / "after" / "stage.json").read_text())
    assert f"commit {record['commit']}, {program.machine_text(record['machine'])}" in program.written(run)


def test_a_run_without_a_commit_that_is_older_than_the_checkout_needs_one(
    program: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(run, tmp_path / "run")
    for path in tmp_path.glob("run/*/stage.json"):
        path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "commit"}))
        os.utime(path.with_name("settings.json"), (0, 0))
    with pytest.raises(UserError, match=r"was made before the commit .*--commit"):
        program.written(tmp_path / "run")
    monkeypatch.setattr(program, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"git cannot read .*--commit"):
        program.written(tmp_path / "run")


def test_an_unfinished_stage_is_refused(program: ModuleType, run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "after" / "stage.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        program.written(tmp_path / "run", "abc1234")
