"""The kinds of stages of this package and of installed packages."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from tenfold.pipelines import stages
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.launch import processes
from tenfold.pipelines.stage import Stage

ROOT = Path(__file__).parent
SERVER = """
import contextlib, io, json, pathlib, sys
from tenfold import cli
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""
Output = tuple[int, str, str]
"""Exit status, stdout and stderr."""
Tenfold = Callable[..., Output]
WORDS = {"kind": "words", "name": "count", "problems": "jsonl:rows.jsonl", "at_least": 2}
FILTER = {"kind": "filter", "name": "filter", "environment": "words/Long-v0", "samples": 4, "band": [0, 1], "max_tokens": 9}


def packages(site: Path) -> None:
    """Installs the packages of `stage_packages.py` in a folder."""
    spec = importlib.util.spec_from_file_location("stage_packages", ROOT / "stage_packages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.install(site)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with installed packages."""
    folder = tmp_path_factory.mktemp("site")
    packages(folder)
    return folder


@pytest.fixture(scope="module")
def variables(site: Path) -> dict[str, str]:
    """Environment variables of a process that finds the packages."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "120", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the commands."""
    made = tmp_path_factory.mktemp("lab")
    rows = [{"question": "one two three"[: 3 + 4 * (n % 3)], "answer": "1"} for n in range(6)]
    (made / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture(scope="module")
def started(folder: Path, variables: dict[str, str]) -> Iterator[tuple[Tenfold, str]]:
    """The command line in a process that finds the packages, and that process's warnings about them."""
    command = [sys.executable, "-P", "-c", SERVER]
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout

        def tenfold(*arguments: str) -> Output:
            stdin.write(json.dumps(arguments) + "\n")
            stdin.flush()
            status, out, err = json.loads(stdout.readline())
            return status, out, err

        status, _, err = tenfold("run", "no_such_recipe")
        assert status == 2
        yield tenfold, err
        stdin.close()


@pytest.fixture
def tenfold(started: tuple[Tenfold, str]) -> Tenfold:
    """The command line of that process."""
    return started[0]


def write(folder: Path, *content: dict[str, Any], policy: str = "scripted:long") -> str:
    recipe = {"name": "r", "policy": policy, "stages": list(content)}
    (folder / "r.yaml").write_text(yaml.safe_dump(recipe))
    return "r.yaml"


def test_each_kind_of_the_package_is_listed_once_under_its_name() -> None:
    assert Counter(map(stages.kind_of, stages.BUILT_IN_STAGES)) == Counter(
        dict.fromkeys(list(stages.KINDS)[: len(stages.BUILT_IN_STAGES)], 1)
    )
    assert set(stages.BUILT_IN_STAGES) <= set(stages.KINDS.values())
    for kind, stage in stages.KINDS.items():
        assert issubclass(stage, Stage)
        annotation = stage.model_fields["kind"].annotation
        assert get_origin(annotation) is Literal
        assert get_args(annotation) == (kind,)


def test_an_unusable_package_is_skipped_with_one_warning(started: tuple[Tenfold, str]) -> None:
    warnings = started[1]
    for package, words in {
        "broken of lab-broken": "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        "leaving of lab-leaving": "cannot be loaded: SystemExit: 3",
        "sft of lab-taken": "is skipped: another stage already has this kind",
        "other of lab-other": "is skipped: lab_other:Other is not a subclass of Stage",
        "unnamed of lab-unnamed": "is skipped: lab_unnamed:U has no field kind: Literal['unnamed']",
    }.items():
        assert warnings.count(f"the stage {package} {words}") == 1
    assert warnings.count("UserWarning") == 5


def test_other_recipes_run_despite_unusable_packages(folder: Path, tenfold: Tenfold) -> None:
    sft = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 1, "batch_size": 2}
    status, out, err = tenfold("run", write(folder, sft, policy="micro:?hidden=16&layers=1&heads=2"), "--out", "beside")
    assert (status, err) == (0, "")
    assert "1 step on 6 examples" in out


def test_an_added_kind_is_run_reported_and_resumed(folder: Path, site: Path, tenfold: Tenfold) -> None:
    status, out, _ = tenfold("run", write(folder, WORDS), "--out", "out")
    assert status == 0
    assert "count │ words │" in out
    assert "10 words" in out
    page = (folder / "out" / "report.html").read_text()
    assert "<td>words</td>" in page
    assert 'img alt="words"' in page
    assert "<th>number<th>words" in page
    assert "kind source" in json.loads((folder / "out" / "count" / "stage.json").read_text())["identity"]

    assert tenfold("run", "r.yaml", "--out", "out")[0] == 0
    assert tenfold("run", write(folder, WORDS | {"shown": 1}), "--out", "out")[0] == 0
    assert (folder / "out" / "count" / "times").read_text() == "run\n", "a finished stage is not run again"
    status, _, err = tenfold("run", write(folder, WORDS | {"at_least": 3}), "--out", "out")
    assert (status, err.count("\n")) == (2, 1)
    assert "was started with at_least=2, which is now 3" in err

    module = site / "lab_words" / "count.py"  # the class's module imports it
    before = module.read_text()
    module.write_text(before.replace(".split()", ".split(' ')"))
    status, _, err = tenfold("run", write(folder, WORDS), "--out", "out")
    module.write_text(before)
    assert status == 2
    assert "was started with kind source=" in err
    assert tenfold("run", "r.yaml", "--out", "out")[0] == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "word"}, "'contrast', 'words'"),
        ({"at_leats": 1}, "unknown setting 'at_leats'; use one of kind, name, seed, policy, problems, at_least, shown"),
        ({"problems": "jsonl:none.jsonl"}, "count: there is no file none.jsonl"),
        ({"at_least": 13}, "count: Words.run: expected a dictionary of metrics that JSON can store, got NoneType"),
        ({"at_least": 14}, "a dictionary of metrics that JSON can store (Object of type PosixPath is not JSON serializable)"),
    ],
)
def test_a_wrong_setting_is_a_one_line_error(folder: Path, tenfold: Tenfold, changed: dict[str, Any], words: str) -> None:
    status, _, err = tenfold("run", write(folder, WORDS | changed), "--out", f"wrong {changed}")
    assert (status, err.count("\n")) == (2, 1)
    assert words in err


def test_installed_packages_need_no_trust(folder: Path, tenfold: Tenfold) -> None:
    """This holds for kinds of stages, for environments, and for a verifier that only an installed environment names."""
    recipe = write(folder, WORDS, FILTER)
    status, out, err = tenfold("run", recipe, "--out", "trusted", "--dry-run")
    assert (status, err) == (0, "")
    assert "filter" in out
    assert "not checked" not in out
    assert "would run code if trusted" not in out
    assert not (folder / "trusted").exists()
    status, _, err = tenfold("run", recipe, "--out", "trusted")
    assert status == 2
    assert "none of 6 problems has a pass rate between 0 and 1 (mean 1.000)" in err, "the package's verifier was called"
    own = {"lab/Own-v0": {"problems": "jsonl:rows.jsonl", "verifier": "os.path:samefile"}}
    content = yaml.safe_load((folder / recipe).read_text()) | {"environments": own}
    content["stages"][1]["environment"] = "lab/Own-v0"
    (folder / recipe).write_text(yaml.safe_dump(content))
    status, _, err = tenfold("run", recipe, "--out", "not trusted")
    assert status == 2
    assert "the recipe names 'os.path:samefile'" in err, "a recipe may not name code itself"


@pytest.mark.slow
def test_the_processes_of_a_data_parallel_stage_load_an_added_kind(tmp_path: Path, variables: dict[str, str]) -> None:
    record = {"stage": WORDS, "policy": "", "seed": 1, "cluster": {"device": "cpu"}}
    (tmp_path / "processes.json").write_text(json.dumps(record))
    command = processes.launch(Cluster(device="cuda", gpus=2), tmp_path)
    subprocess.run(command, cwd=tmp_path, env=variables, check=True)
    assert {path.name for path in tmp_path.glob("rank-*")} == {"rank-0", "rank-1"}
    assert "words" in json.loads((tmp_path / "trained.json").read_text())
