"""Sweeps over seeds and settings."""

import json
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import UserError, cli
from tenfold.pipelines.recipe.content import changes
from tenfold.pipelines.recipe.recipe import load
from tenfold.pipelines.recipe.sweep import table
from tenfold.pipelines.recipe.sweep.runs import Run, recipe_of, runs_of

LAB = """
def right(conversation, seed):
    terms = conversation[-1]["content"].rpartition(": ")[2].removesuffix(" =").replace("- ", "-").replace("+ ", "").split()
    return str(sum(map(int, terms)))

def wrong(conversation, seed):
    return "1000"
"""
RIGHT, WRONG = "policy=call-lab_sums-right,seed=2", "policy=call-lab_sums-wrong,seed=2"


@pytest.fixture
def sums(lab: Path) -> Path:
    """A recipe with one benchmark, and two policies that are always right and always wrong."""
    (lab / "lab_sums.py").write_text(LAB)
    (lab / "sums.yaml").write_text(json.dumps({"name": "sums", "policy": "call:lab_sums:right", "stages": STAGES}))
    return lab


def runs(**content: Any) -> list[Run]:
    Path("r.yaml").write_text(json.dumps({"name": "r", "policy": "micro:", "stages": STAGES} | content))
    return runs_of(load("r.yaml"))


STAGES = [{"kind": "bench", "name": "bench", "tasks": ["chain_sum"], "limit": 2}]


def test_there_is_a_run_for_each_combination_and_seed(lab: Path) -> None:
    found = runs(seeds=[1, 2], sweep={"bench.limit": [3, 4], "policy": ["micro:", "micro:?seed=1"]})
    assert [run.name for run in found][:3] == [
        "bench.limit=3,policy=micro-,seed=1",
        "bench.limit=3,policy=micro-,seed=2",
        "bench.limit=3,policy=micro-seed=1,seed=1",
    ]
    assert len(found) == 8
    assert found[-1].settings == {"bench.limit": 4, "policy": "micro:?seed=1", "seed": 2}
    assert [run.name for run in runs(seed=5, sweep={"bench.limit": [3]})] == ["bench.limit=3,seed=5"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"sweep": {"seed": [1, 2]}}, "sweep: seed cannot be swept; use settings of stages, and seeds"),
        ({"seeds": [1, 1]}, "two runs of the sweep have the name seed=1"),
        ({"sweep": {"bench.limit": [3, 3]}}, "two runs of the sweep have the name bench.limit=3,seed=0"),
        ({"sweep": {"bench.limit": []}}, "sweep: bench.limit: expected at least one value"),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0"),
        ({"sweep": {"bench.limit": 3}}, "sweep: bench.limit: expected a list of values, or groups of settings by name"),
        ({"sweep": {"size": {"small": 3}}}, "sweep: size: expected a list of values, or groups of settings by name"),
        ({"sweep": {"size": {"small": {"seed": 3}}}}, "sweep: seed cannot be swept"),
        ({"sweep": {"size": {"a": {"bench.limit": 3}}, "bench.limit": [4]}}, "sweep: bench.limit has values in two parts"),
        ({"seeds": [*range(2000)]}, "the sweep has 2,000 runs, more than 1,000"),
        ({"sweep": {f"bench.{n}": [*range(10)] for n in range(12)}}, "the sweep has 1,000,000,000,000 runs, more than 1,000"),
        (
            {"sweep": {"policy": ["path:a/b", "path:a-b"]}},
            "have the name policy=path-a-b,seed=0; .*, or name groups of settings",
        ),
    ],
)
def test_a_malformed_sweep_is_one_line(lab: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs(**content)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("bench.limits", 3, "unknown setting 'limits'"), ("bench.limit", "many", "limit: Input should be a valid integer")],
)
def test_a_wrong_value_is_found_before_the_first_run(lab: Path, name: str, value: object, message: str) -> None:
    (lab / "r.yaml").write_text(json.dumps({"name": "r", "policy": "micro:", "stages": STAGES, "sweep": {name: [value]}}))
    with pytest.raises(UserError, match=message):
        tenfold.run("r.yaml", out="out")
    assert not (lab / "out").exists()


def test_the_table_has_intervals_and_paired_differences_over_seeds(lab: Path) -> None:
    found = runs(seeds=[1, 2, 3], sweep={"bench.limit": [3, 4]})
    values = {run.name: {"a": run.seed * 0.1 + 0.2 * (run.settings["bench.limit"] == 4)} for run in found}
    first, second = table.table(found, values)
    assert (first.combination, first.metric, first.seeds, first.difference) == ("bench.limit=3", "a", 3, None)
    assert first.mean == pytest.approx((0.2, 0.2 - 4.3027 * 0.1 / 3**0.5, 0.2 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)
    assert second.difference == pytest.approx((0.2, 0.2, 0.2))
    (single,) = table.table(found[:1], values)
    assert single.mean == (0.1, None, None)


def test_a_metric_that_some_runs_lack(lab: Path) -> None:
    found = runs(seeds=[1, 2], sweep={"bench.limit": [3, 4]})
    values = {run.name: {} if run.seed == 1 and run.settings["bench.limit"] == 4 else {"a": float(run.seed)} for run in found}
    first, second = table.table(found, values)
    assert (first.seeds, second.seeds) == (2, 1)
    assert second.difference == (0.0, None, None)


@pytest.mark.usefixtures("sums")
def test_a_sweep_runs_resumes_and_ends_with_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "run",
        "sums.yaml",
        "--seeds",
        "1,2",
        "--sweep",
        "policy=call:lab_sums:right,call:lab_sums:wrong",
        "--out",
        "out",
    ]
    Path("out", WRONG).mkdir(parents=True)
    Path("out", WRONG, "bench").touch()  # a file instead of the stage's folder: this run fails
    assert cli.main(command) == 2
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("stage.json")}
    assert len(before) == 3
    Path("out", WRONG, "bench").unlink()
    capsys.readouterr()
    assert cli.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert f"run 4 of 4: {WRONG}" in " ".join(capsys.readouterr().out.split())
    stored = json.loads(Path("out/sweep.json").read_text())
    assert (stored["runs"][RIGHT], stored["runs"][WRONG]) == ({"bench chain_sum_avg8": 1.0}, {"bench chain_sum_avg8": 0.0})
    assert stored["table"][1]["difference"] == [-1.0, -1.0, -1.0]
    assert "-1 [-1, -1]" in Path("out/report.html").read_text()


def test_equal_stages_are_shared_between_runs(lab: Path) -> None:
    first = {"kind": "bench", "name": "first", "seed": 0, "tasks": ["chain_sum"], "limit": 2}
    stages = [first, first | {"name": "second", "seed": None}, first | {"name": "third", "seed": None}]
    (lab / "r.yaml").write_text(json.dumps({"name": "r", "policy": "scripted:7", "stages": stages, "seeds": [1, 2]}))
    tenfold.run("r.yaml", out="out", settings={"sweep": {"second.limit": [2, 3]}}, quiet=True)

    def inodes(name: str) -> set[int]:
        return {path.stat().st_ino for path in Path("out").glob(f"*/{name}/*.result.json")}

    # One has a seed of its own, one differs in each run, one has the run's seed.
    assert [len(inodes(name)) for name in ("first", "second", "third")] == [1, 4, 2]
    before = {path: path.read_bytes() for path in Path("out").rglob("*.json")}
    tenfold.run("r.yaml", out="out", settings={"sweep": {"second.limit": [2, 3]}}, quiet=True)
    assert {path: path.read_bytes() for path in Path("out").rglob("*.json")} == before


CORPUS = [
    {"kind": "documents", "name": "texts", "seed": 0, "sources": ["python:documentation?of=stdlib&characters=60000"]},
    {"kind": "clean", "name": "clean", "seed": 0, "documents": "{stage:texts}"},
]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_shared_stage_may_read_another_shared_stage(jobs: int, lab: Path) -> None:
    content = {"name": "r", "policy": "scripted:7", "stages": [*CORPUS, *STAGES], "sweep": {"bench.limit": [2, 3]}}
    (lab / "r.yaml").write_text(json.dumps(content))
    tenfold.run("r.yaml", out="out", quiet=True, jobs=jobs)
    shards = [path for path in Path("out").glob("*/clean/documents/*") if path.is_file()]
    assert len({path.stat().st_ino for path in shards}) == len(shards) / 2 > 0
    for folder in Path("out").glob("bench.*"):
        assert json.loads((folder / "clean/stage.json").read_text())["stage"]["documents"] == str(folder.resolve() / "texts")
        assert (folder / "run.log").is_file() == (jobs > 1)
    if jobs > 1:
        return
    before = {path: path.read_bytes() for path in Path("out").glob("*/*/*.json")}
    tenfold.run("r.yaml", out="out", quiet=True)
    assert {path: path.read_bytes() for path in Path("out").glob("*/*/*.json")} == before


@pytest.mark.slow
def test_ray_places_the_runs_on_its_nodes(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster as Rays

    content = {"name": "r", "policy": "micro:", "stages": STAGES, "seeds": [1, 2]}
    (lab / "r.yaml").write_text(json.dumps(content))
    rays = Rays(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        monkeypatch.setenv("RAY_ADDRESS", rays.address)
        rays.add_node(num_cpus=1)
        tenfold.run("r.yaml", out="out", settings={"cluster.threads": 1}, quiet=True, jobs=2)
        (lab / "out/seed=2/bench").rename(lab / "bench")
        (lab / "out/seed=2/bench").touch()
        with pytest.raises(UserError, match=r"1 of 2 runs failed; .*; seed=2: .*got a file"):
            tenfold.run("r.yaml", out="out", settings={"cluster.threads": 1}, quiet=True, jobs=2)
    finally:
        rays.shutdown()
    assert (lab / "out/seed=1/run.log").is_file()
    tenfold.run("r.yaml", out="alone", quiet=True)
    for seed in (1, 2):
        both = [next(folder.glob("*.result.json")) for folder in (lab / f"alone/seed={seed}/bench", lab / "bench")]
        scores = [json.loads(path.read_text())["score"]["mean"] for path in both]
        assert seed == 1 or scores[0] == scores[1]


@pytest.mark.usefixtures("sums")
def test_groups_of_settings_and_a_failed_run(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(Path("sums.yaml").read_text())
    groups = {"right": {"policy": "call:lab_sums:right"}, "short": {"policy": "call:lab_sums:wrong", "bench.limit": 1}}
    sweep = {"seeds": [1, 2], "sweep": {"size": groups}, "modules": ["lab_sums"]}
    Path("sums.yaml").write_text(json.dumps(content | sweep))
    Path("out", "size=short,seed=1").mkdir(parents=True)
    Path("out", "size=short,seed=1", "bench").touch()  # a file instead of the stage's folder: this run fails
    command = ["run", "sums.yaml", "--out", "out", "--trust"]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "1 of 4 runs failed; the same command repeats them; size=short,seed=1: " in error
    assert "expected a stage's folder, got a file" in error
    assert [*json.loads(Path("out/sweep.json").read_text())["runs"].values()].count({}) == 1
    Path("out", "size=short,seed=1", "bench").unlink()
    assert cli.main(command) == 0
    means = {row["combination"]: row["mean"] for row in json.loads(Path("out/sweep.json").read_text())["table"]}
    assert means == {"size=right": [1.0, 1.0, 1.0], "size=short": [0.0, 0.0, 0.0]}


@pytest.mark.usefixtures("sums")
def test_a_sweep_in_a_recipe_and_its_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(Path("sums.yaml").read_text())
    Path("sums.yaml").write_text(json.dumps(content | {"policy": "scripted:1000", "seeds": [4, 5]}))
    assert cli.main(["run", "sums.yaml", "--dry-run"]) == 0
    assert "a sweep of 2 runs: seed=4, seed=5" in capsys.readouterr().out
    assert not Path("runs").exists()
    metrics = tenfold.run("sums.yaml", quiet=True)
    assert [*metrics] == ["seed=4/bench", "seed=5/bench"]


def test_the_word_trained_follows_a_swept_environment(lab: Path) -> None:
    grpo = {"kind": "grpo", "name": "grpo", "environment": "tenfold/ChainSum-v0", "steps": 1}
    ids = ["tenfold/ChainSum-v0", "tenfold/SmallFunctions-v0"]
    stages = [grpo, {"kind": "bench", "name": "bench", "tasks": ["trained"]}]
    content = {"name": "r", "policy": "micro:", "stages": stages, "sweep": {"grpo.environment": ids}}
    (lab / "r.yaml").write_text(json.dumps(content))
    recipe = load("r.yaml")
    tasks = [recipe_of(recipe, run).stages[1].model_dump()["tasks"] for run in runs_of(recipe)]
    assert tasks == [[f"env:{id}"] for id in ids]
    assert load(recipe, {"grpo.environment": ids[1]}).stages[1].model_dump()["tasks"] == [f"env:{ids[1]}"]


@pytest.mark.usefixtures("sums")
def test_a_sweep_of_some_stages(capsys: pytest.CaptureFixture[str]) -> None:
    second = STAGES[0] | {"name": "second"}
    content = json.loads(Path("sums.yaml").read_text())
    Path("sums.yaml").write_text(
        json.dumps(content | {"policy": "scripted:1", "stages": [*STAGES, second], "sweep": {"second.limit": [2, 3]}})
    )
    assert cli.main(["run", "sums.yaml", "--until", "bench", "--out", "out", "--trust"]) == 0
    assert not list(Path("out").glob("*/second"))
    assert cli.main(["run", "sums.yaml", "--out", "out"]) == 0
    assert len(list(Path("out").glob("*/second/stage.json"))) == 2


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("sums")
def test_a_stage_with_earlier_settings_is_not_shared(jobs: int) -> None:
    shared = STAGES[0] | {"name": "shared", "seed": 0}
    content = json.loads(Path("sums.yaml").read_text()) | {"policy": "scripted:1", "cluster": {"device": "cpu"}}
    Path("sums.yaml").write_text(json.dumps(content | {"stages": [shared]}))
    tenfold.run("sums.yaml", out="out", settings={"seeds": [1]}, quiet=True)
    with pytest.raises(UserError, match=r"1 of 2 runs failed; .*out/seed=1/shared was started with limit=2, which is now 1"):
        tenfold.run("sums.yaml", out="out", settings={"seeds": [1, 2], "shared.limit": 1}, quiet=True, jobs=jobs)
    assert json.loads(Path("out/seed=2/shared/stage.json").read_text())["stage"]["limit"] == 1


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("sums")
def test_stale_stages_are_not_in_the_table(jobs: int) -> None:
    content = json.loads(Path("sums.yaml").read_text()) | {
        "policy": "scripted:1",
        "cluster": {"device": "cpu"},
        "seeds": [1, 2],
    }
    Path("sums.yaml").write_text(json.dumps(content | {"stages": [*STAGES, STAGES[0] | {"name": "second"}]}))
    assert len(tenfold.run("sums.yaml", out="out", quiet=True)) == 4
    again = tenfold.run("sums.yaml", out="out", settings={"second.limit": 1}, only=["bench"], quiet=True, jobs=jobs)
    assert again.keys() == {"seed=1/bench", "seed=2/bench"}
    assert {row["metric"] for row in json.loads(Path("out/sweep.json").read_text())["table"]} == {"bench chain_sum_avg8"}


def test_values_of_a_sweep_are_split_at_commas_outside_brackets(lab: Path) -> None:
    found = changes.parse_sweep("1, 2", ["policy=micro:,smollm2:", "filter.band=[0.1,0.9],[0.2,0.8]", "x.y=a,null,3"])
    assert found["seeds"] == [1, 2]
    assert found["sweep"] == {"policy": ["micro:", "smollm2:"], "filter.band": [[0.1, 0.9], [0.2, 0.8]], "x.y": ["a", None, 3]}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"Yes, no","No"', ["Yes, no", "No"]),
        ("'a, b' , c", ["a, b", "c"]),
        ('["a]", b],[c]', [["a]", "b"], ["c"]]),
        ("[it's, b],it's,c", [["it's", "b"], "it's", "c"]),
        ("\"\",''", ["", ""]),
        ('5:"a,6', ['5:"a', 6]),
    ],
)
def test_a_comma_within_quotes_belongs_to_the_value(text: str, values: list[Any]) -> None:
    assert changes.parse_sweep(None, [f"x.y={text}"]) == {"sweep": {"x.y": values}}


def test_a_trusted_sweep_stays_trusted_when_it_resumes(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CONFIG", str(lab / "settings"))
    (lab / "lab_m.py").write_text("")
    content = {"name": "r", "policy": "scripted:7", "modules": ["lab_m"], "stages": STAGES, "sweep": {"bench.limit": [1, 2]}}
    (lab / "r.yaml").write_text(json.dumps(content))
    assert cli.main(["run", "r.yaml", "--out", "out"]) == 2
    assert cli.main(["run", "r.yaml", "--out", "out", "--trust"]) == 0
    assert cli.main(["run", "r.yaml", "--out", "out"]) == 0


def test_swept_values_of_a_recipe_need_trust(lab: Path) -> None:
    (lab / "evil.py").write_text("open('ran', 'w')\ndef verify(problem, response): return True\n")
    stage = {"kind": "filter", "name": "f", "environment": "tenfold/ChainSum-v0", "problems": 2, "samples": 2}
    content = {"name": "r", "policy": "scripted:7", "stages": [stage], "sweep": {"f.options": [{"verifier": "evil:verify"}]}}
    (lab / "r.yaml").write_text(json.dumps(content))
    with pytest.raises(UserError, match="evil"):
        tenfold.run("r.yaml", out="out")
    assert not (lab / "ran").exists()


def test_a_swept_value_needs_trust_also_in_place_of_a_setting_of_the_user(lab: Path) -> None:
    (lab / "evil.py").write_text("open('ran', 'w')\n")
    content = {"name": "r", "policy": "scripted:7", "stages": STAGES, "sweep": {"modules": [["evil"]]}}
    (lab / "r.yaml").write_text(json.dumps(content))
    with pytest.raises(UserError, match="modules: evil"):
        tenfold.run("r.yaml", out="out", settings={"modules": []})
    assert not (lab / "ran").exists()


@pytest.mark.usefixtures("sums")
def test_the_number_of_threads_may_be_swept(lab: Path) -> None:
    content = json.loads((lab / "sums.yaml").read_text())
    content |= {"cluster": {"device": "cpu"}, "sweep": {"cluster.threads": [1, 2]}}
    (lab / "sums.yaml").write_text(json.dumps(content))
    tenfold.run("sums.yaml", out="out", settings={"policy": "scripted:7"}, quiet=True)
    records = [json.loads(Path(f"out/cluster.threads={n},seed=0/bench/stage.json").read_text()) for n in (1, 2)]
    assert [record["machine"]["threads"] for record in records] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "²"], "--seeds: expected integers separated by commas"),
        (["--seeds", "1,x"], "--seeds: expected integers separated by commas, such as 1,2,3, got '1,x'"),
        (["--jobs", "2"], "--jobs: expected 1 or more, and a sweep"),
        (["--seeds", "1", "--jobs", "0"], "--jobs: expected 1 or more"),
        (["--sweep", "grpo.steps"], "--sweep: expected NAME=VALUE,VALUE,..., got 'grpo.steps'"),
        (["--sweep", "grpo.micro_batch_size=1,2,"], "--sweep: expected NAME=VALUE,VALUE,..., got 'grpo.micro_batch_size=1,2,'"),
        (["--sweep", "sft.template='a,b"], '--sweep sft.template: "\'a,b" is not a YAML scalar or list'),
        (
            ["--sweep", "sft.steps=1", "--sweep", "sft.steps=2"],
            "--sweep: sft.steps is given twice; give all its values at once",
        ),
        (["--seeds", "1,4294967296"], "seeds.1: Input should be less than or equal to 4294967295"),
    ],
)
def test_malformed_options(lab: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "quickstart", *arguments]) == 2
    assert message in capsys.readouterr().err
