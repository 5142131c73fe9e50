"""A run is resumed only if everything that affects its results is equal. A refusal writes nothing."""

import copy
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold.core import UserError
from tenfold.envs.problems import sources as problem_sources

Recipe = dict[str, Any]

GOLDS = "".join(json.dumps({"question": f"{n} or {n + 1}?", "answer": str(n)}) + "\n" for n in range(4))
WORDS = "".join(json.dumps({"question": f"A or B? ({n})", "answer": "A"}) + "\n" for n in range(2))
POLICY = """
import pathlib

calls = []

def guess(conversation, seed):
    calls.append(seed)
    if len(calls) % 7 == 0 and pathlib.Path("stop").exists():
        raise KeyboardInterrupt
    numbers = [word.strip("?") for word in conversation[-1]["content"].split() if word.strip("?").isdigit()]
    return f"The answer is {(numbers or ['A', 'B'])[seed % 2]}."
"""
VERIFIER = """
from lab_rules import equal

def verify(problem, response, slack=0):
    return equal(problem.answer, response.rstrip(".").split()[-1], slack)
"""
RULES = """
def equal(gold, answer, slack):
    return gold == answer or (gold.isdigit() and answer.isdigit() and abs(int(gold) - int(answer)) <= slack)
"""
ENVIRONMENT = """
from tenfold.envs.text import TextEnv

class Own(TextEnv):
    bonus = 0
"""
MODULES = {"lab_policy": POLICY, "lab_verifier": VERIFIER, "lab_rules": RULES, "lab_environment": ENVIRONMENT}


@pytest.fixture
def files(lab: Path) -> Iterator[Path]:
    """A folder with the data and the modules of a recipe."""
    (lab / "golds.jsonl").write_text(GOLDS)
    (lab / "words.jsonl").write_text(WORDS)
    for name, source in MODULES.items():
        (lab / f"{name}.py").write_text(source)
        sys.modules.pop(name, None)
    yield lab
    for name in MODULES:
        sys.modules.pop(name, None)


def filtered(**environment: Any) -> Recipe:
    """Returns a recipe that filters the problems of one environment."""
    declared = {"problems": "jsonl:golds.jsonl", "verifier": "math", "template": "{prompt} Say one."} | environment
    stage = {"kind": "filter", "name": "filter", "environment": "lab/Own-v0", "samples": 8, "band": [0, 1], "max_tokens": 9}
    return {
        "name": "r",
        "seed": 1,
        "policy": "call:lab_policy:guess",
        "modules": [*MODULES],
        "environments": {"lab/Own-v0": declared},
        "stages": [stage],
    }


def run(recipe: Recipe, out: str = "out") -> dict[str, Any]:
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tenfold.run("recipe.yaml", out, quiet=True, trust=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def edit(name: str, old: str, new: str) -> Callable[[Recipe], None]:
    """Returns a change of a file in the recipe's folder."""

    def change(recipe: Recipe) -> None:
        assert old in Path(name).read_text()
        Path(name).write_text(Path(name).read_text().replace(old, new))

    return change


def declare(**changed: Any) -> Callable[[Recipe], None]:
    """Returns a change of the environment's registration."""
    return lambda recipe: recipe["environments"]["lab/Own-v0"].update(changed)


def export(name: str, value: str) -> Callable[[Recipe], None]:
    """Returns a change of an environment variable."""
    return lambda recipe: os.environ.__setitem__(name, value)


GROUPS: list[tuple[Recipe, dict[str, tuple[Callable[[Recipe], None], str]]]] = [
    (
        {},
        {
            "gold answers": (edit("golds.jsonl", '"answer": "3"', '"answer": "4"'), "problems content="),
            "prompts": (edit("golds.jsonl", "3 or 4?", "4 or 3?"), "problems content="),
            "further problems": (edit("golds.jsonl", GOLDS, GOLDS * 2), "problems content="),
            "template": (declare(template="{prompt} Say it."), "template='{prompt} Say one.', which is now '{prompt} Say it.'"),
            "system prompt": (declare(system="Be brief."), "system=None, which is now 'Be brief.'"),
            "verifier": (
                declare(verifier="choice"),
                "verifier='tenfold.verifiers.math:verify', which is now 'tenfold.verifiers.choice:",
            ),
            "problems": (
                declare(problems="jsonl:words.jsonl"),
                "problems='jsonl:golds.jsonl', which is now 'jsonl:words.jsonl'",
            ),
            "invalid_gold": (declare(invalid_gold="drop"), "invalid_gold=None, which is now 'drop'"),
            "options of the stage": (
                lambda recipe: recipe["stages"][0].update(options={"system": "A"}),
                "options={}, which is now {'system': 'A'}",
            ),
            "policy's source": (edit("lab_policy.py", "seed % 2", "-seed % 2"), "policy source text="),
            "seed": (lambda recipe: recipe.update(seed=2), "seed=1, which is now 2"),
        },
    ),
    (
        {"verifier": "lab_verifier:verify"},
        {
            "verifier's source": (edit("lab_verifier.py", "[-1]", "[0]"), "verifier source="),
            "what the verifier imports": (edit("lab_rules.py", "<= slack", "< slack"), "verifier source="),
            "verifier's option": (
                declare(verifier={"name": "lab_verifier:verify", "slack": 1}),
                "verifier slack='0', which is now '1'",
            ),
        },
    ),
    (
        {"entry_point": "lab_environment:Own"},
        {"class's source": (edit("lab_environment.py", "0", "1"), "entry_point source=")},
    ),
    (
        {"verifier": "judge"},
        {
            "judge": (export("TENFOLD_JUDGE", "scripted:VERDICT: DIFFERENT"), "verifier policy='scripted:VERDICT: UNSURE'"),
            "setting to always ask the judge": (
                export("TENFOLD_JUDGE_ALWAYS", "1"),
                "verifier always='False', which is now 'True'",
            ),
            "judge in the registration": (
                declare(verifier={"name": "judge", "policy": "scripted:VERDICT: DIFFERENT"}),
                "verifier policy='scripted:VERDICT: UNSURE'",
            ),
            "judge's rules": (
                declare(verifier={"name": "judge", "rules": "choice"}),
                "rules='tenfold.verifiers.math:verify', which is now",
            ),
        },
    ),
    (
        {
            "entry_point": "tenfold.envs.mixture:Mixture",
            "environments": ["lab/Words-v0", {"id": "lab/Golds-v0", "template": "{prompt}"}],
        },
        {
            "member's gold answers": (
                edit("golds.jsonl", '"answer": "3"', '"answer": "4"'),
                "environments 1 problems content=",
            ),
            "member's arguments": (
                declare(environments=["lab/Words-v0", {"id": "lab/Golds-v0", "template": "Q: {prompt}"}]),
                "environments 1 template='{prompt}', which is now 'Q: {prompt}'",
            ),
            "member's registration": (
                lambda recipe: recipe["environments"]["lab/Words-v0"].update(verifier="choice"),
                "environments 0 verifier='tenfold.verifiers.math:verify', which is now 'tenfold.verifiers.choice:verify'",
            ),
        },
    ),
    (
        {"entry_point": "tenfold.envs.tools:with_python", "environment": "lab/Golds-v0"},
        {
            "wrapped environment's gold answers": (
                edit("golds.jsonl", '"answer": "3"', '"answer": "4"'),
                "environment environment problems content=",
            ),
            "wrapper's arguments": (declare(max_calls=1), "max_calls=None, which is now '1'"),
        },
    ),
]


@pytest.mark.parametrize(("declared", "changes"), GROUPS, ids=[next(iter(changes)) for _, changes in GROUPS])
def test_a_stage_is_not_resumed_if_anything_that_affects_rewards_has_changed(
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    declared: Recipe,
    changes: dict[str, tuple[Callable[[Recipe], None], str]],
) -> None:
    variables = {"TENFOLD_JUDGE": "scripted:VERDICT: UNSURE", "TENFOLD_JUDGE_ALWAYS": ""}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    recipe = filtered(**declared)
    for name in ("Golds", "Words"):
        recipe["environments"][f"lab/{name}-v0"] = {"problems": f"jsonl:{name.lower()}.jsonl", "verifier": "math"}
    if declared.get("entry_point", "").startswith("tenfold."):
        for name in ("problems", "verifier", "template"):
            del recipe["environments"]["lab/Own-v0"][name]
    run(recipe)
    before, beside = contents(Path("out")), {path: path.read_text() for path in files.glob("*.*") if path.is_file()}
    for what, (change, words) in changes.items():
        changed = copy.deepcopy(recipe)
        change(changed)
        with pytest.raises(UserError) as refused:
            run(changed)
        message = str(refused.value)
        assert message.startswith("out/filter was started with "), what
        assert words in message, what
        assert message.endswith(": choose another --out, or remove that folder and those of the later stages"), what
        assert "\n" not in message, what
        assert contents(Path("out")) == before, f"{what}: a file of the run has changed"
        for path, text in beside.items():
            path.write_text(text)
        os.environ.update(variables)
    assert run(recipe) is not None, "the unchanged recipe still reuses the result"
    Path("out/filter/stage.json").unlink()
    change(recipe)
    with pytest.raises(UserError, match="out/filter was started with"):  # the same for an unfinished stage
        run(recipe)


def test_a_stopped_stage_resumes_with_its_stored_samples(files: Path) -> None:
    recipe = filtered()
    recipe["stages"][0] |= {"batch_size": 2, "all_samples": True}
    whole = run(recipe, "whole")
    Path("stop").touch()
    with pytest.raises(KeyboardInterrupt):
        run(recipe, "stopped")
    Path("stop").unlink()
    stored = Path("stopped/filter/episodes.jsonl").read_bytes()
    assert stored.count(b"\n") > 2
    assert run(recipe, "stopped") == whole
    assert Path("stopped/filter/episodes.jsonl").read_bytes().startswith(stored)
    record, other = (json.loads(Path(out, "filter/stage.json").read_text()) for out in ("stopped", "whole"))
    assert record["resumed"]
    assert record["identity"] == other["identity"]


TINY = "micro:?hidden=16&layers=1&heads=2"
SFT = {"kind": "sft", "problems": "jsonl:golds.jsonl", "steps": 1, "batch_size": 2}


def chained() -> Recipe:
    """Returns a recipe with two SFT stages."""
    stages = [SFT | {"name": "one"}, SFT | {"name": "two"}]
    return {"name": "r", "seed": 1, "policy": TINY, "stages": stages}


def test_a_later_stage_is_not_reused_if_an_earlier_one_is_rerun_with_other_settings(files: Path) -> None:
    recipe = chained()
    run(recipe)
    (Path("out/one") / "stage.json").rename("kept.json")
    (Path("out/one") / "settings.json").unlink()
    recipe["stages"][0]["learning_rate"] = 3e-3
    before = contents(Path("out"))
    with pytest.raises(UserError, match="out/two was started with other settings of the stage one: choose another --out"):
        run(recipe)
    assert contents(Path("out")) == before


def test_a_later_stage_is_reused_if_an_earlier_one_is_rerun_with_equal_settings(files: Path) -> None:
    recipe = chained()
    run(recipe)
    before = Path("out/two/stage.json").read_bytes()
    for path in Path("out/one").rglob("*"):
        if path.is_file():
            path.unlink()
    run(recipe)
    assert Path("out/two/stage.json").read_bytes() == before


def test_a_stage_is_not_reused_if_a_file_of_its_policy_has_changed(files: Path) -> None:
    recipe = chained()
    run(recipe)
    for name in ("model.safetensors", "chat_template.jinja", "tokenizer.json", "generation_config.json"):
        file = Path("out/one/policy") / name
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        with pytest.raises(UserError, match=rf"out/two was started with (file )?policy[/ ]{name}="):
            run(recipe)
        file.write_bytes(content)


def test_a_stage_is_not_reused_if_files_or_results_of_an_earlier_stage_have_changed(files: Path) -> None:
    """An earlier stage's folder has the environment's problems."""
    recipe = filtered(problems="jsonl:{stage:one}/problems.jsonl?prompt=question")
    recipe["stages"].insert(0, SFT | {"name": "one", "policy": TINY})
    recipe["stages"][1]["policy"] = recipe["policy"]
    Path("out/one").mkdir(parents=True)
    Path("out/one/problems.jsonl").write_text(GOLDS)
    run(recipe)
    record = json.loads(Path("out/filter/stage.json").read_text())
    assert {"stage one", "stage one results", "environment problems content"} <= record["identity"].keys()
    Path("out/one/problems.jsonl").write_text(GOLDS.replace('"answer": "3"', '"answer": "4"'))
    with pytest.raises(UserError, match="out/filter was started with environment problems content="):
        run(recipe)
    Path("out/one/problems.jsonl").write_text(GOLDS)
    earlier = json.loads(Path("out/one/stage.json").read_text())
    Path("out/one/stage.json").write_text(json.dumps(earlier | {"metrics": earlier["metrics"] | {"steps": 2}}))
    with pytest.raises(UserError, match="out/filter was started with other results of the stage one"):
        run(recipe)


def test_held_out_problems_may_be_added_after_the_stages_that_do_not_use_them(files: Path) -> None:
    recipe = filtered()
    recipe["environments"]["lab/Two-v0"] = {"problems": "jsonl:{stage:filter}/problems.jsonl?prompt=question"}
    recipe["stages"].append(recipe["stages"][0] | {"name": "two", "environment": "lab/Two-v0"})
    Path("out/filter").mkdir(parents=True)
    Path("out/filter/problems.jsonl").write_text(GOLDS)
    first = run(recipe)
    declare(held_out="jsonl:words.jsonl")(recipe)
    assert run(recipe) == first


def test_the_identity_of_an_sft_stage_covers_data_of_any_source(files: Path) -> None:
    source = "def problems(size):\n    for n in range(size):\n        yield {'question': str(n), 'answer': str(n + 1)}\n"
    Path("lab_problems.py").write_text(source)
    uris = ["jsonl:golds.jsonl?limit=3", "generate:lab_problems:problems?size=3"]
    recipe = {"name": "r", "policy": TINY, "modules": ["lab_problems"], "stages": [SFT | {"name": "one", "problems": uris}]}
    run(recipe)
    edit("golds.jsonl", '"answer": "2"', '"answer": "3"')(recipe)
    with pytest.raises(UserError, match=r"out/one was started with file jsonl:golds.jsonl\?limit=3="):
        run(recipe)
    Path("golds.jsonl").write_text(GOLDS)
    edit("lab_problems.py", "n + 1", "n + 2")(recipe)
    sys.modules.pop("lab_problems")
    problem_sources._load.cache_clear()  # like in a new process
    with pytest.raises(UserError, match=r"out/one was started with problems generate:lab_problems:problems\?size=3 content="):
        run(recipe)


def test_the_identity_of_a_bench_stage_covers_problems_and_verifier(files: Path) -> None:
    bench = {"kind": "bench", "name": "bench", "tasks": ["gsm8k_avg2"], "problems": "jsonl:golds.jsonl"}
    recipe = filtered() | {"stages": [bench]}
    first = run(recipe)
    assert run(recipe) == first
    identity = json.loads(Path("out/bench/stage.json").read_text())["identity"]
    assert identity["task gsm8k verifier"] == "tenfold.verifiers.math:verify"
    edit("golds.jsonl", '"answer": "3"', '"answer": "4"')(recipe)
    with pytest.raises(UserError, match=r"out/bench was started with file jsonl:golds\.jsonl="):
        run(recipe)


def test_changed_versions_are_printed_and_recorded_but_not_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = filtered()
    run(recipe)
    settings = Path("out/filter/settings.json")
    Path("out/filter/stage.json").unlink()
    begun = json.loads(settings.read_text())
    begun["versions"]["math-verify"] = "0.1"
    settings.write_text(json.dumps(begun))
    tenfold.run("recipe.yaml", "out", trust=True)
    output = " ".join(capsys.readouterr().out.split())
    assert "have changed since the stage started: math-verify 0.1 (now 0.9.0)" in output
    record = json.loads(Path("out/filter/stage.json").read_text())
    assert (record["begun_with"]["math-verify"], record["versions"]["math-verify"]) == ("0.1", "0.9.0")


def test_a_record_of_an_older_format_is_refused(files: Path) -> None:
    recipe = filtered()
    run(recipe)
    stage = Path("out/filter/stage.json")
    stage.write_text(json.dumps({name: value for name, value in json.loads(stage.read_text()).items() if name != "identity"}))
    with pytest.raises(UserError, match=r"out/filter was started by an earlier version.*choose another --out"):
        run(recipe)


def test_a_dry_run_compares_identities_like_a_run(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tenfold.cli import main

    recipe = filtered()
    run(recipe)
    edit("golds.jsonl", '"answer": "3"', '"answer": "4"')(recipe)
    assert main(["run", "recipe.yaml", "--out", "out", "--dry-run", "--trust"]) == 2
    assert "problems content=" in capsys.readouterr().err
    assert main(["run", "recipe.yaml", "--out", "out", "--dry-run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "filter (filter): done if code and data are unchanged (not compared)" in printed
    assert "compared only by their settings, because a dry run does not import the recipe's modules; add --trust" in printed
