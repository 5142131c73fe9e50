"""Running, resuming and checking recipes."""

import contextlib
import errno
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold import cli, disk
from tenfold.core import UserError
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import preparation, trust
from tenfold.pipelines.recipe import recipe as recipes
from tenfold.pipelines.rl import verl_config
from tenfold.pipelines.rl.grpo import GRPO as GRPOSettings

TINY = "micro:?hidden=16&layers=1&heads=2"


def small(lab: Path, **changes: Any) -> dict[str, Any]:
    """Returns a recipe of a few seconds: two SFT stages and a bench stage in between."""
    rows = [{"question": f"{n} + 1 =", "answer": n + 1} for n in range(40)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sft = {"kind": "sft", "problems": "jsonl:rows.jsonl", "steps": 12, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 4}
    bench = {"kind": "bench", "name": "bench", "tasks": ["chain_sum_avg8"], "limit": 3}
    stages = [sft | {"name": "first"}, bench, sft | {"name": "second"}]
    return {"name": "small", "seed": 1, "policy": TINY, "stages": stages} | changes


def write(lab: Path, content: Any) -> Path:
    path = lab / "small.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def weights(folder: Path) -> bytes:
    return (folder / "policy" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe and its finished run in `out`."""
    folder = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(folder):
        tenfold.run(write(folder, small(folder)), "out", quiet=True)
    return folder


@pytest.fixture
def finished(lab: Path, whole: Path) -> Path:
    """A copy of `whole` for one test; returns the recipe's file."""
    shutil.copytree(whole, lab, dirs_exist_ok=True)
    return lab / "small.yaml"


def test_stages_run_in_order_from_the_previous_policy(lab: Path, finished: Path) -> None:
    metrics = tenfold.run(finished, "out", quiet=True)
    assert list(metrics) == ["first", "bench", "second"]
    assert metrics["first"]["losses"][-1][1] < metrics["first"]["losses"][0][1]
    record = json.loads((lab / "out/second/stage.json").read_text())
    assert record["policy"] == "stage:out/first"
    assert record["seed"] == 1
    assert record["versions"]["verl"] == "0.9.1"
    assert set(record["inputs"]) == {"policy/model.safetensors", "jsonl:rows.jsonl"}
    assert record["wall_seconds"] > 0
    report = (lab / "out/report.html").read_text()
    assert "data:image/svg+xml" in report
    assert 'href="bench/index.html"' in report
    assert tenfold.load_policy("stage:out/second")


def test_a_finished_run_is_not_run_again(lab: Path, finished: Path) -> None:
    records = {path: (path.read_text(), path.stat().st_mtime_ns) for path in lab.glob("out/*/stage.json")}
    assert len(records) == 3
    metrics = tenfold.run(finished, "out", quiet=True)
    assert {path: (path.read_text(), path.stat().st_mtime_ns) for path in lab.glob("out/*/stage.json")} == records
    assert metrics == {path.parent.name: json.loads(text)["metrics"] for path, (text, _) in records.items()}


def test_equal_seeds_give_equal_weights_and_different_seeds_do_not(lab: Path, whole: Path) -> None:
    tenfold.run(write(lab, small(lab)), "again", quiet=True)
    assert weights(lab / "again/second") == weights(whole / "out/second")
    tenfold.run(write(lab, small(lab, seed=2, stages=small(lab)["stages"][:1])), "other", quiet=True)
    assert weights(lab / "other/first") != weights(whole / "out/first")


KILLED = """
import os, sys
from tenfold import cli
print(os.getpid(), flush=True)
sys.exit(cli.main(sys.argv[1:]))
"""


def killed(command: list[str], python: Path) -> int:
    """Runs a command in a new process and kills it; returns its exit status."""
    Path("killed.py").write_text(KILLED)
    child = subprocess.Popen([python, "killed.py", *command], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    number = int(child.stdout.readline())
    for line in child.stdout:
        if line.startswith("first: 8"):  # after the checkpoint of step 4, before the end
            os.kill(number, signal.SIGKILL)
            break
    child.stdout.read()
    return child.wait()


def interrupted(command: list[str], python: Path) -> int:
    """Runs a command in this process and interrupts it as by Ctrl-C; returns its exit status."""

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("first: 8"):
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    with contextlib.redirect_stdout(Terminal()):
        return cli.main(command)


@pytest.mark.parametrize(("ends", "status"), [(killed, -signal.SIGKILL), (interrupted, 130)])
def test_a_killed_run_resumes_and_ends_with_equal_weights(
    lab: Path, whole: Path, forked_python: Path, ends: Callable[[list[str], Path], int], status: int
) -> None:
    path = write(lab, small(lab))
    assert ends(["run", str(path), "--out", "killed"], forked_python) == status
    assert not (lab / "killed/first/stage.json").exists()
    with contextlib.redirect_stdout(io.StringIO()) as output:
        tenfold.run(path, "killed")
    assert not re.search(r"^first: [1-4]/12", output.getvalue(), re.MULTILINE), "steps before the checkpoint are repeated"
    # Equal in all bits, because the operations, their order and the number of threads are equal.
    assert weights(lab / "killed/second") == weights(whole / "out/second")
    outs = (whole / "out", lab / "killed")
    assert [json.loads((out / "first/stage.json").read_text())["resumed"] for out in outs] == [False, True]
    scores = [json.loads((out / "bench/stage.json").read_text())["metrics"] for out in outs]
    assert scores[0] == scores[1]


def test_only_one_process_runs_in_a_folder(lab: Path) -> None:
    path, errors = write(lab, small(lab)), []

    def second() -> None:
        with pytest.raises(UserError, match=rf"another process uses out \(process {os.getpid()} on ") as raised:
            tenfold.run(path, "out", quiet=True)
        errors.append(str(raised.value))

    with disk.locked(lab / "out"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(errors) == 1


FOREIGN = json.dumps({"stage": {"kind": "sft"}, "policy": "", "seed": 1, "metrics": {}, "wall_seconds": 1, "resumed": False})


@pytest.mark.parametrize("content", [b"", b'{"stage": {"kind": "sft"', b"[]", b"{}", b"\x80\x00", FOREIGN.encode()])
@pytest.mark.parametrize("name", ["first/stage.json", "bench/stage.json"])
def test_a_damaged_record_is_a_one_line_error_with_file_and_advice(
    lab: Path, finished: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (lab / "out" / name).write_bytes(content)
    assert cli.main(["run", str(finished), "--out", "out", "--quiet"]) == 2
    error = capsys.readouterr().err
    stage = Path(name).parent
    assert error.startswith(f"error: out/{name} ")
    assert f"remove the folder out/{stage} and those of the later stages, then run again" in error
    assert error.count("\n") == 1


def test_a_file_instead_of_a_folder_and_a_folder_instead_of_a_record_are_reported(
    lab: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "out/second").rename(lab / "kept")
    (lab / "out/second").write_text("")
    assert cli.main(["run", str(finished), "--out", "out", "--quiet"]) == 2
    assert "out/second: expected a stage's folder, got a file" in capsys.readouterr().err
    (lab / "out/second").unlink()
    (lab / "kept").rename(lab / "out/second")
    (lab / "out/first/stage.json").unlink()
    (lab / "out/first/stage.json").mkdir()
    assert cli.main(["run", str(finished), "--out", "out", "--quiet"]) == 2
    assert "out/first/stage.json is not a file" in capsys.readouterr().err


def test_a_stage_resumes_from_the_last_complete_checkpoint_after_a_full_disk(
    lab: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write(lab, small(lab, stages=small(lab)["stages"][:1]))

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_folder", full)
        assert cli.main(["run", str(path), "--out", "out", "--quiet"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]  # progress bars of libraries may precede it
    assert error == "error: out/first: no space left on the disk: delete files and run the same command again"
    assert not (lab / "out/first/stage.json").exists()
    last = max((lab / "out/first/checkpoints").iterdir(), key=lambda folder: int(folder.name.rpartition("-")[2]))
    for file in ("optimizer.pt", "trainer_state.json"):
        os.truncate(last / file, (last / file).stat().st_size // 2)
    assert cli.main(["run", str(path), "--out", "out", "--quiet"]) == 0
    assert f"{last.name} is skipped: optimizer.pt is incomplete" in caplog.text
    # Equal in all bits, because the machine and the number of threads are equal.
    assert weights(lab / "out/first") == weights(whole / "out/first")


def test_a_folder_is_not_resumed_with_other_settings(lab: Path, finished: Path) -> None:
    changed = small(lab)
    changed["stages"][2]["steps"] = 13
    with pytest.raises(UserError, match="started with steps=12, which is now 13"):
        tenfold.run(write(lab, changed), "out", quiet=True)


def test_settings_in_may_change_may_differ_on_resume(lab: Path, finished: Path) -> None:
    recipe = small(lab)
    (lab / "out/second/stage.json").unlink()
    recipe["stages"][0] |= {"micro_batch_size": 2}
    recipe["stages"][2] |= {"micro_batch_size": 2, "save_steps": 5}
    assert tenfold.run(write(lab, recipe), "out", quiet=True)["second"]["steps"] == 12
    assert json.loads((lab / "out/second/stage.json").read_text())["stage"]["micro_batch_size"] == 2


def test_no_stage_is_resumed_with_other_files(lab: Path, finished: Path) -> None:
    (lab / "out/second/stage.json").unlink()
    rows = (lab / "rows.jsonl").read_text()
    (lab / "rows.jsonl").write_text('{"question": "1 + 1 =", "answer": 3}\n')
    with pytest.raises(
        UserError, match=r"first was started with file jsonl:rows.jsonl=.*second was started with file jsonl:rows"
    ):
        tenfold.run(finished, "out", quiet=True)
    (lab / "rows.jsonl").write_text(rows)
    changed = small(lab)
    (lab / "other.jsonl").write_text(rows)
    changed["stages"][2]["problems"] = "jsonl:other.jsonl"
    with pytest.raises(
        UserError, match=r"second was started with problems='jsonl:rows.jsonl', which is now 'jsonl:other.jsonl'"
    ):
        tenfold.run(write(lab, changed), "out", quiet=True)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"kind": "sft", "name": "late", "problems": "jsonl:later.jsonl", "steps": 1}, "late: there is no file later.jsonl"),
        ({"kind": "filter", "name": "late", "environment": "lab/None-v0"}, "late: no environment 'lab/None-v0'"),
        (
            {"kind": "grpo", "name": "late", "environment": "tenfold/ChainSum-v0", "steps": 1, "options": {"verifer": "math"}},
            "'verifer'; the arguments are problems, verifier, template, system",
        ),
        ({"kind": "bench", "name": "late", "tasks": ["chain_sums"]}, "late: no task 'chain_sums'"),
        ({"kind": "bench", "name": "late", "tasks": ["gsm8k_avg8"]}, "late: hf:openai/gsm8k"),
        ({"kind": "bench", "name": "late", "tasks": ["chain_sum_avg8"], "policy": "path:nowhere"}, "no folder nowhere"),
    ],
)
def test_missing_inputs_of_later_stages_are_reported_before_the_first_runs(
    lab: Path, stage: dict[str, Any], words: str
) -> None:
    recipe = small(lab)
    recipe["stages"][1:] = [stage]
    with pytest.raises(UserError) as error:
        tenfold.run(write(lab, recipe), "out", quiet=True)
    assert words in str(error.value)
    assert not (lab / "out/first").exists()


def test_a_recipe_registers_its_own_environments(lab: Path) -> None:
    environments = {"lab/Own-v0": {"problems": "jsonl:rows.jsonl", "verifier": "math"}}
    stage = {"kind": "filter", "name": "filter", "environment": "lab/Own-v0", "max_tokens": 2, "samples": 2, "problems": 4}
    with pytest.raises(UserError, match=r"none of 4 problems has a pass rate between 0\.1 and 0\.9"):
        tenfold.run(write(lab, small(lab, environments=environments, stages=[stage])), "out", quiet=True)
    assert not (lab / "out/filter/stage.json").exists()


@functools.cache
def accepted_by_verl(settings: str, cluster: str) -> bool:
    """Checks each set of settings once, because stages of several recipes have equal settings."""
    verl_config.check(GRPOSettings.model_validate_json(settings), Cluster.model_validate_json(cluster))
    return True


@pytest.mark.parametrize("path", sorted([*recipes.RECIPES.glob("*.yaml"), *recipes.RECIPES.glob("ablations/*.yaml")]))
def test_the_recipes_of_the_package_are_valid_and_verl_accepts_their_settings(path: Path) -> None:
    recipe = recipes.load(path.relative_to(recipes.RECIPES).with_suffix(""))
    assert recipe.name == path.stem
    with trust.limited(recipe, Path("out")):  # raises if a recipe needs trust
        for stage in recipe.stages:
            if isinstance(stage, GRPOSettings):
                changed = {"name": "any", "environment": "any", "options": {}, "keep": None, "policy": None}
                comparable = stage.model_copy(update=changed)
                assert accepted_by_verl(comparable.model_dump_json(), recipe.cluster.model_dump_json())


STAGE = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 1}
GRPO = {"kind": "grpo", "name": "grpo", "environment": "tenfold/ChainSum-v0", "steps": 1}
PRETRAIN = {"kind": "pretrain", "name": "pretrain", "data": "tokens", "batch_tokens": 8}
PHASE = {"name": "a", "tokens": 9, "learning_rate": 1e-3, "mixture": {"*": 1}}
FILTER = {"kind": "filter", "name": "filter", "environment": "tenfold/ChainSum-v0"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("stages: [", "is not YAML"),
        ("name: r\ndescription: 2020-13-45", "is not YAML: month must be in 1..12"),
        ("just text", "small.yaml: Input should be a valid dictionary"),
        ({"sedd": 1}, "unknown setting 'sedd'; use one of name, description, seed"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0, got -1"),
        ({"seed": 2**32}, "seed: Input should be less than or equal to 4294967295, got 4294967296"),
        ({"stages": []}, "at least 1 item"),
        ({"stages": [{"name": "sft"}]}, "stages.0: expected the kind of a stage; add kind, one of documents, "),
        (
            {"stages": [PRETRAIN | {"phases": [PHASE | {"rate": 1}]}]},
            "stages.0.pretrain.phases.0.rate: unknown setting 'rate'; use one of name, tokens, learning_rate, schedule, ",
        ),
        ({"cluster": {"gpu": 1}}, "cluster.gpu: unknown setting 'gpu'; use one of device, "),
        ({"policy": "stage:first"}, "first: its policy stage:out/first is of the stage first, which is not an earlier stage"),
        ({"policy": "stage:out/second"}, "first: its policy stage:out/second is of the stage second, which is not an earlier"),
        ({"policy": "path:{stage:first}/policy"}, "is of the stage first, which is not an earlier stage of this run"),
        (
            {"stages": [{"kind": "documents", "name": "d", "sources": ["python:code"], "policy": "micro:"}]},
            "policy: this kind of stage does not start from a policy, got micro:; remove the setting",
        ),
        (
            {"stages": [STAGE | {"kind": "sfd"}]},
            "unknown kind of stage 'sfd'; use one of 'documents', ",
        ),
        ({"stages": [STAGE | {"learning_rat": 1}]}, "unknown setting 'learning_rat'; use one of kind, name, seed, policy"),
        ({"stages": [STAGE | {"steps": 0}]}, "steps: Input should be greater than or equal to 1, got 0"),
        ({"stages": [{"kind": "sft", "name": "sft", "steps": 1}]}, "stages.0.sft.problems: Field required"),
        ({"stages": [STAGE, STAGE]}, "two stages are named 'sft'"),
        ({"stages": [STAGE | {"name": "../up"}]}, "name"),
        ({"stages": [STAGE | {"policy": "stage:before"}]}, "no earlier stage 'before' trains a policy; stages that do: none"),
        ({"stages": [GRPO | {"keep": "filter"}]}, "no earlier filter stage 'filter'; earlier filter stages: none"),
        ({"stages": [GRPO | {"environment": "lab/None-v0"}]}, "no environment 'lab/None-v0'"),
        ({"stages": [STAGE | {"problems": "jsonl:missing.jsonl"}]}, "no file missing.jsonl"),
        ({"stages": [STAGE | {"problems": "jsonl:bad.jsonl"}]}, "bad.jsonl, line 2: not JSON"),
        ({"stages": [STAGE | {"problems": "jsonl:empty.jsonl"}]}, "there are no problems"),
        ({"stages": [STAGE | {"max_tokens": 2}]}, "jsonl:rows.jsonl has no usable example (40 too long; max_tokens=2)"),
        ({"policy": "path:bare"}, "bare has no tokenizer"),
        ({"modules": ["no_such_module"]}, "cannot import 'no_such_module'"),
        ({"stages": [GRPO | {"batch_size": 2000}]}, "grpo: expected at least batch_size=2000 problems, got 1000; lower"),
        ({"stages": [{"kind": "bench", "name": "b", "tasks": ["nope"]}]}, "no task 'nope'; use one of paper, bfcl_v4,"),
    ],
)
def test_a_wrong_recipe_is_a_one_line_error_and_finishes_no_stage(lab: Path, content: Any, words: str) -> None:
    (lab / "bad.jsonl").write_text('{"question": "1?", "answer": 1}\n{"question\n')
    (lab / "empty.jsonl").write_text("")
    (lab / "bare").mkdir()
    (lab / "bare/config.json").write_text("{}")
    path = write(lab, small(lab) | content if isinstance(content, dict) else content)
    with pytest.raises(UserError) as error:
        tenfold.run(path, "out", quiet=True, trust=True)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(lab.glob("out/*/stage.json"))


@pytest.mark.parametrize(
    ("stages", "problems"),
    [
        ([GRPO | {"batch_size": 2000}], 1000),
        ([GRPO | {"batch_size": 9, "problems": 8}], 8),
        ([FILTER, GRPO | {"batch_size": 2000, "keep": "filter"}], 1000),
    ],
)
def test_a_dry_run_checks_that_there_are_enough_problems_for_a_batch(lab: Path, stages: Any, problems: int) -> None:
    recipe = recipes.load(write(lab, small(lab) | {"stages": stages}))
    with pytest.raises(UserError, match=rf"^grpo: expected at least batch_size=\d+ problems, got {problems}; lower batch_size"):
        preparation.prepare(recipe, Path("out"))


def test_more_problems_than_the_environment_has_are_refused(lab: Path) -> None:
    recipe = recipes.load(write(lab, small(lab) | {"stages": [GRPO | {"problems": 100_000}]}))
    with pytest.raises(UserError, match="at most 1000, the number of problems of tenfold/ChainSum-v0, got 100000"):
        preparation.prepare(recipe, Path("out"))


def test_an_unknown_recipe_is_an_error_that_lists_the_recipes() -> None:
    with pytest.raises(UserError, match="quickstart"):
        recipes.load("quickstrat")
