"""The code that a recipe may name, with and without the user's trust."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

import tenfold
from tenfold import cli, named_code
from tenfold.benchmarks import catalogue
from tenfold.core import UserError
from tenfold.envs import registry
from tenfold.envs.problems import sources
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import preparation, trust
from tenfold.pipelines.recipe import recipe as recipes
from tenfold.verifiers.pool import Pool

EVIL = """
import pathlib
from os import system
import os, functools
pathlib.Path("hit").touch()
def rows(n=1):
    pathlib.Path("hit").touch()
    return [{"question": f"{i}?", "answer": str(i)} for i in range(n)]
def judge(problem, response):
    return response == problem.answer
def says(conversation, seed):
    return str(seed % 2)
class Held:
    def rows(self):
        return rows(2)
held = Held()
"""
TINY = "micro:?hidden=16&layers=1&heads=2"
SFT = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 1}
FILTER = {"kind": "filter", "name": "filter", "environment": "lab/Alien-v0", "samples": 2, "problems": 2, "max_tokens": 4}
GRPO = {"kind": "grpo", "name": "grpo", "environment": "tenfold/ChainSum-v0", "steps": 1}
COMMAND = "touch%20hit"


@pytest.fixture
def folder(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrusted folder. Code that runs from it creates the file `hit`."""
    (lab / "evil.py").write_text(EVIL)
    (lab / "rows.jsonl").write_text("".join(json.dumps({"question": f"{n}?", "answer": str(n)}) + "\n" for n in range(4)))
    monkeypatch.setenv("TENFOLD_CONFIG", str(lab / "config"))
    sys.modules.pop("evil", None)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(lab)])  # like in the command
    return lab


def write(*stages: Any, **fields: Any) -> str:
    content = {"name": "stranger", "policy": TINY, "stages": list(stages)} | fields
    Path("stranger.yaml").write_text(yaml.safe_dump(content))
    return "stranger.yaml"


def own(**declaration: Any) -> dict[str, Any]:
    return {"environments": {"lab/Alien-v0": {"problems": "jsonl:rows.jsonl", "verifier": "math"} | declaration}}


def getoutput(before: str = "") -> str:
    return f"{before}generate:subprocess:getoutput?cmd={COMMAND}"


NESTED = "generate:tenfold.pipelines.refine.chains:chain_examples?problems=generate%3Aevil%3Arows"
UNTRUSTED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "problems": ([SFT | {"problems": getoutput()}], {}, r"subprocess.*\(.*subprocess\.py\).*--trust"),
    "problems of a user's module": ([SFT | {"problems": "generate:evil:rows"}], {}, r"evil.*\(.*evil\.py\).*--trust"),
    "problems within problems": ([SFT | {"problems": NESTED}], {}, "evil"),
    "documents": ([{"kind": "documents", "name": "d", "sources": [getoutput()]}], {}, "subprocess"),
    "problems as documents": ([{"kind": "documents", "name": "d", "sources": [getoutput("problems:")]}], {}, "subprocess"),
    "pairs": ([{"kind": "reward_model", "name": "r", "pairs": getoutput(), "steps": 1}], {}, "subprocess"),
    "an environment's problems": ([FILTER], own(problems=getoutput()), "subprocess"),
    "a verifier": ([FILTER], own(verifier="evil:judge"), "evil"),
    "a verifier with options": ([FILTER], own(verifier={"name": "subprocess:Popen", "args": COMMAND}), "subprocess"),
    "a judge's policy": ([FILTER], own(verifier={"name": "judge", "policy": "call:evil:says"}), "evil"),
    "a judge's rules": ([FILTER], own(verifier={"name": "judge", "policy": "scripted:x", "rules": "evil:judge"}), "evil"),
    "an environment's class": ([FILTER], own(entry_point="subprocess:Popen", args=["touch", "hit"]), "subprocess"),
    "an environment's module": ([FILTER | {"environment": "evil:lab/Alien-v0"}], {}, "evil"),
    "a mixture": (
        [FILTER],
        {"environments": {"lab/Alien-v0": {"entry_point": "tenfold.envs.mixture:Mixture", "environments": ["evil:lab/Y-v0"]}}},
        "evil",
    ),
    "the verifier of a stage": (
        [
            {
                "kind": "refine",
                "name": "r",
                "problems": "jsonl:rows.jsonl",
                "verifier": "evil:judge",
                "chain_writer": "scripted:x",
            }
        ],
        {"policy": "scripted:x"},
        "evil",
    ),
    "problems of a benchmark": (
        [{"kind": "bench", "name": "b", "tasks": ["gsm8k_avg2"], "problems": getoutput()}],
        {"policy": "scripted:x"},
        "subprocess",
    ),
    "a benchmark by its path": (
        [{"kind": "bench", "name": "b", "tasks": ["./evil.yaml"]}],
        {"policy": "scripted:x"},
        "no task",
    ),
    "functions of tenfold that are not sources": (
        [SFT | {"problems": "generate:tenfold.pipelines.launch.supervise:follow"}],
        {},
        "a recipe may not name .*; it may name .*chain_sums_with_solutions",
    ),
    "modules": ([SFT], {"modules": ["evil"]}, r"modules: evil, which is .*evil\.py.*--trust"),
    "a module that is installed": ([SFT], {"modules": ["this"]}, r"this\.py.*--trust"),
    "verl's libraries": ([GRPO | {"verl": {"actor_rollout_ref.model.external_lib": "evil"}}], {}, "external_lib"),
    "verl's nested libraries": (
        [GRPO | {"verl": {"actor_rollout_ref": {"model": {"external_lib": "evil"}}}}],
        {},
        "external_lib",
    ),
    "verl's reward": ([GRPO | {"verl": {"custom_reward_function.path": "evil.py"}}], {}, "custom_reward_function"),
    "verl's targets": ([GRPO | {"verl": {"+trainer.mine": {"_target_": "evil"}}}], {}, "trainer.mine"),
    "verl's remote code": ([GRPO | {"verl": {"data.trust_remote_code": True}}], {}, "trust_remote_code"),
    "verl's references": ([GRPO | {"verl": {"trainer.project_name": "${oc.env:HOME}"}}], {}, "project_name"),
    "Ray's surroundings": ([GRPO | {"verl": {"ray_kwargs.ray_init.runtime_env.pip": ["evil"]}}], {}, "ray_kwargs"),
    "hydra": ([GRPO | {"verl": {"hydra.sweeper": 1}}], {}, "hydra"),
    "another machine's Ray": ([SFT], {"cluster": {"ray_address": "ray://10.0.0.1:10001"}}, "ray_address"),
    "a tracker": ([GRPO | {"loggers": ["${oc.env:HOME}"]}], {}, "loggers"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_an_untrusted_recipe_runs_no_code(folder: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    stages, fields, words = UNTRUSTED[case]
    path = write(*stages, **fields)
    assert cli.main(["run", path, "--out", "out", "--quiet"]) == 2
    printed = capsys.readouterr().err.splitlines()
    (error,) = [line for line in printed if not line.startswith(("Loading", "Writing"))]
    assert re.match(f"error: .*{words}", error), error
    cli.main(["run", path, "--out", "out", "--dry-run"])
    assert not (folder / "hit").exists()
    assert "evil" not in sys.modules
    assert not list(folder.glob("out/*/stage.json"))


@pytest.mark.parametrize(
    "name",
    ["evil:os.system", "evil:system", "evil:functools.partial", "evil:rows.__call__", "evil:held.rows.__func__", "os:system"],
)
def test_a_trusted_module_provides_only_names_that_it_defines(folder: Path, name: str) -> None:
    path = write(SFT | {"problems": f"generate:{name}?command={COMMAND}&n=2"}, modules=["evil"])
    with pytest.raises(UserError, match=name.partition(":")[2].rpartition(".")[2]):
        tenfold.run(path, "out", quiet=True, trust=True)
    assert not list(folder.glob("out/*/stage.json"))


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        *(
            (address, True)
            for address in ("auto", "local", "localhost:6379", "127.0.0.1:6379", "[::1]:6379", "ray://localhost")
        ),
        *(
            (address, False)
            for address in ("10.0.0.1:6379", "ray://auto:10001", "localhost://x", "auto://x", "evil://localhost:1")
        ),
    ],
)
def test_addresses_on_this_machine_need_no_trust(address: str, is_local: bool) -> None:
    assert trust.is_local_address(address) == is_local


def test_a_cluster_from_the_user_needs_no_trust(folder: Path) -> None:
    remote = {"ray_address": "ray://10.0.0.1:10001"}
    assert trust.trust_reasons(recipes.load(write(SFT, cluster=remote)))
    for cluster in (remote, Cluster.model_validate(remote)):
        assert not trust.trust_reasons(recipes.load(write(SFT), {"cluster": cluster}))


def test_trust_applies_to_one_recipe_only(folder: Path) -> None:
    path = write(SFT | {"problems": "generate:evil:rows?n=3"}, modules=["evil"], **own(verifier="evil:judge"))
    assert tenfold.run(path, "out", quiet=True, trust=True)["sft"]["steps"] == 1
    assert (folder / "hit").exists()
    assert named_code.VARIABLE not in os.environ
    assert tenfold.make("lab/Alien-v0").reset(options={"problem": 0})[0] == "0?"  # the recipe's registration remains
    with pytest.raises(UserError, match="--trust"):
        tenfold.run(write(FILTER | {"name": "again"}), "other", quiet=True)


def test_code_that_the_user_names_needs_no_trust(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    assert tenfold.verify("7", "7", verifier="evil:judge").score == 1
    assert sources.load("generate:evil:rows?n=2")
    tenfold.register("lab/Mine-v0", problems="generate:evil:rows?n=2", verifier="evil:judge")
    read = recipes.load(write(FILTER | {"environment": "lab/Mine-v0"}, policy="scripted:no"), {"policy": "call:evil:says"})
    with trust.limited(read, Path("out")):
        assert preparation.prepare(read, Path("out")).recipe.policy == "call:evil:says"
        assert tenfold.load_policy(read.policy)
        with pytest.raises(UserError, match="--trust"):
            tenfold.load_policy("call:evil:Held")
    gymnasium.registry.pop("lab/Mine-v0")


def test_trust_is_remembered_until_code_or_names_change(folder: Path) -> None:
    def is_trusted(**fields: Any) -> bool:
        stage = SFT | {"problems": "generate:evil:rows?n=3"} | fields
        try:
            with trust.limited(recipes.load(write(stage, modules=["evil"])), Path("out")):
                return True
        except UserError:
            return False

    assert not is_trusted()
    assert cli.main(["run", "stranger.yaml", "--out", "out", "--quiet", "--trust"]) == 0
    assert is_trusted()
    assert is_trusted(steps=2), "a changed number needs no new trust"
    assert not is_trusted(problems="generate:evil:rows?n=2"), "a changed call needs new trust"
    (folder / "evil.py").write_text(EVIL + "import helper\n")
    (folder / "helper.py").write_text("")
    assert not is_trusted()
    trust.remember(recipes.load(write(SFT | {"problems": "generate:evil:rows?n=3"}, modules=["evil"])))
    assert is_trusted()
    (folder / "helper.py").write_text("here = 1\n")
    assert not is_trusted(), "a changed import of the module needs new trust"
    assert (folder / "config/trusted").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(("answer", "words"), [("yes", "no file"), ("y", "--trust"), ("", "--trust"), ("no", "--trust")])
def test_trust_is_asked_on_the_terminal(
    folder: Path, answer: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = write(SFT | {"problems": "jsonl:no.jsonl"}, modules=["evil"])
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli.main(["run", path, "--out", "out", "--quiet"]) == 2
    printed = capsys.readouterr()
    assert "modules: evil, which is" in printed.out
    assert words in printed.err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.main(["run", path, "--out", "again", "--quiet"]) == 2
    assert words in capsys.readouterr().err, "the answer is remembered"


def test_a_dry_run_imports_no_modules_and_lists_skipped_checks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        SFT, FILTER, SFT | {"name": "two", "problems": "generate:evil:rows?n=5"}, modules=["evil"], **own(verifier="evil:judge")
    )
    assert cli.main(["run", path, "--out", "out", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "evil" not in sys.modules
    skipped = [line for line in output.splitlines() if "is not checked" in line]
    assert [line.split()[0] for line in skipped] == ["filter", "two"]
    assert skipped[0].startswith("filter is not checked: evil:judge is in the module evil")
    assert all(line.endswith("which a dry run does not import; add --trust to check it") for line in skipped)
    assert "would run code if trusted: modules: evil" in output
    assert not (folder / "out").exists()
    assert cli.main(["run", path, "--out", "out", "--dry-run", "--trust"]) == 0
    output = capsys.readouterr().out
    assert "not checked" not in output
    assert "\nruns code: modules: evil" in output
    assert "evil" in sys.modules
    assert not trust.is_remembered(recipes.load(path)), "a dry run writes nothing"
    with pytest.raises(UserError, match="If you trust it, run it with --trust"):
        tenfold.run(path, "out")


def test_a_dry_run_without_trust_compares_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alien = FILTER | {"environment": "lab/Alien-v0", "band": [0, 1]}
    path = write(alien, policy="call:evil:says", modules=["evil"], **own(problems="jsonl:rows.jsonl", verifier="evil:judge"))
    tenfold.run(path, "out", trust=True, quiet=True)
    sys.modules.pop("evil")
    command = ["run", path, "--out", "out", "--dry-run"]
    assert cli.main(command) == 0
    assert "filter (filter): done if code and data are unchanged (not compared)" in " ".join(capsys.readouterr().out.split())
    for change, words in (("filter.samples=3", "samples=2, which is now 3"), ("seed=7", "seed=0, which is now 7")):
        assert cli.main([*command, "--set", change]) == 2
        assert f"out/filter was started with {words}" in capsys.readouterr().err
    assert "evil" not in sys.modules


def test_only_listed_modules_are_imported_from_the_folder(folder: Path) -> None:
    """Other files of the folder are not imported: not by this process, not by its children, not as a plug-in."""
    for name in ("resource", "colorsys", "other"):
        (folder / f"{name}.py").write_text("import pathlib\npathlib.Path('hit').touch()\n")
    plugin = folder / "evil-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[gymnasium.envs]\nevil = other:register\n")
    (folder / "fine.py").write_text("def rows(n):\n    return [{'question': str(i), 'answer': '1'} for i in range(n)]\n")
    read = recipes.load(write(SFT | {"problems": "generate:fine:rows?n=2"}, modules=["fine"]))
    program = (
        "from tenfold import named_code\n"
        "import colorsys, gymnasium\n"
        "from tenfold.envs import registry\n"
        "from tenfold.envs.problems import sources\n"
        "registry.load_plugins()\n"
        "print(len(sources.load('generate:fine:rows?n=2')))\n"
        "for name in ('os:system', 'other:x'):\n"
        "    try: named_code.resolve(name)\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    with trust.limited(read, Path("out"), trusted=True):
        assert len(sources.load("generate:fine:rows?n=2")) == 2
        with pytest.raises(ModuleNotFoundError):
            __import__("other")
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["2", "UserError", "UserError"]
    pool = Pool("math:sqrt", cpu_seconds=5)
    assert pool.call(9) == 3
    pool.close()
    assert not (folder / "hit").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actor_rollout_ref.actor.ppo_epochs", 2),
        ("algorithm.adv_estimator", "rloo"),
        ("actor_rollout_ref.rollout.engine_kwargs.vllm.max_num_partial_prefills", 2),
        ("+trainer.mine", [1, "two"]),
        ("algorithm.rollout_correction.rollout_is_threshold", "2.0"),
    ],
)
def test_plain_settings_of_verl_need_no_trust(name: str, value: Any) -> None:
    assert not trust.trust_reasons(
        recipes.Recipe.model_validate({"name": "r", "policy": TINY, "stages": [GRPO | {"verl": {name: value}}]})
    )


@pytest.mark.parametrize("path", sorted(recipes.RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_package_name_only_what_is_registered(path: Path) -> None:
    if path.parent.name == "clusters":
        assert trust.is_local_address(yaml.safe_load(path.read_text()).get("ray_address", "auto"))
        return
    read = recipes.load(path)
    assert not trust.trust_reasons(read)
    registered = {*sources.GENERATORS, *registry.ENTRY_POINTS, "tenfold.envs.toy.short_notes:verify"}
    named = {name for name in named_code.names_in(read.model_dump()) if name.startswith("tenfold.")}
    assert named <= registered
    for name in named:
        assert callable(named_code.resolve(name))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(policy="openai:m?base_url=http://lab:hunter2@judge/v1"),
        lambda content: content["stages"][0].update(
            problems=["jsonl:rows.jsonl", "openai:m?base_url=http://j/?api_key=hunter2"]
        ),
    ],
)
def test_a_recipe_with_an_api_key_in_a_uri_is_refused_before_anything_is_written(
    folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    content: dict[str, Any] = {"name": "r", "policy": TINY, "stages": [dict(SFT)]}
    change(content)
    Path("r.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="put the key in an environment variable") as error:
        tenfold.run("r.yaml", "out", quiet=True)
    assert "hunter2" not in str(error.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("task", catalogue.names())
def test_the_problems_of_each_task_may_stand_in_a_recipe(task: str) -> None:
    uri = catalogue.settings(task)["metadata"].get("problems") or ""
    if uri.startswith("generate:"):
        assert uri.removeprefix("generate:").partition("?")[0] in sources.GENERATORS
