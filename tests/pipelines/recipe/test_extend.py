"""A stage continues with more steps, and another stage starts from any checkpoint that a stage has kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import tenfold
from tenfold.core import UserError

TINY = "micro:?hidden=16&layers=1&heads=2"
SFT = {
    "kind": "sft",
    "name": "train",
    "problems": "jsonl:rows.jsonl",
    "steps": 4,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup_steps": 2,
}
REWARD = {
    "kind": "reward_model",
    "name": "train",
    "pairs": "jsonl:pairs.jsonl",
    "steps": 4,
    "batch_size": 2,
    "schedule": "constant",
    "held_out": 0,
}


@pytest.fixture(autouse=True)
def files(lab: Path) -> None:
    """Data of which the four steps are a whole number of passes."""
    rows = [{"question": f"{n} + 1 =", "answer": n + 1} for n in range(8)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"prompt": f"Say {n}.", "chosen": str(n), "rejected": "no"} for n in range(4)]
    (lab / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))


def run(out: str, stage: dict[str, Any], *later: dict[str, Any], **options: Any) -> dict[str, Any]:
    Path("r.yaml").write_text(yaml.safe_dump({"name": "r", "seed": 1, "policy": TINY, "stages": [stage, *later]}))
    return tenfold.run("r.yaml", out, quiet=True, **options)


def weights(out: str, stage: str = "train") -> bytes:
    return Path(out, stage, "policy/model.safetensors").read_bytes()


def record(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "train/stage.json").read_text())
    return found


@pytest.mark.parametrize(
    "stage",
    [
        SFT,
        SFT | {"problems": ["jsonl:rows.jsonl"] * 2, "shares": [0.3, 0.7]},
        REWARD,
        REWARD | {"held_out": 0.5, "learning_rate": 0.01, "perturbed_responses": 1},
    ],
)
def test_an_extended_stage_equals_a_new_run(stage: dict[str, Any]) -> None:
    whole = run("whole", stage | {"steps": 6})
    run("out", stage)
    kept = [path.name for path in Path("out/train/checkpoints").iterdir()]
    assert kept == ["checkpoint-4"]
    assert run("out", stage | {"steps": 6}) == whole
    # Equal in all bits, because the operations and their order are equal.
    assert weights("out") == weights("whole")
    assert record("out")["extended"] == [{"step": 4, "exact": True}]
    assert record("out")["stage"]["steps"] == 6
    assert [path.name for path in Path("out/train/checkpoints").iterdir()] == ["checkpoint-6"]
    with pytest.raises(
        UserError, match=r"out/train was started with steps=6, which is now 5: add --set train\.steps=6, choose another --out"
    ):
        run("out", stage | {"steps": 5})


def test_a_schedule_that_depends_on_the_steps_needs_permission() -> None:
    stage = SFT | {"schedule": "cosine"}
    run("out", stage)
    before = weights("out"), record("out")
    with pytest.raises(
        UserError, match=r"steps=4, which is now 6: going on .*, because schedule=cosine depends on .* --inexact"
    ):
        run("out", stage | {"steps": 6})
    assert (weights("out"), record("out")) == before
    run("out", stage | {"steps": 6}, inexact=True)
    assert record("out")["extended"] == [{"step": 4, "exact": False}]
    assert "extended after step 4: a new run would differ" in Path("out/report.html").read_text()
    run("whole", stage | {"steps": 6})
    assert weights("out") != weights("whole")
    assert run("out", stage | {"steps": 6})["train"]["steps"] == 6, "the finished extension needs no further permission"


def test_an_interrupted_extension_leaves_the_finished_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.pipelines.trainer import trainer

    stage = SFT | {"save_steps": 1}
    finished = run("out", stage)
    before = weights("out"), record("out")

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.stored, "new_policy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("out", stage | {"steps": 6})
    assert (weights("out"), record("out")) == before
    assert run("out", stage) == finished, "it is still finished with its earlier steps"
    run("whole", stage | {"steps": 6})
    run("out", stage | {"steps": 6})
    assert weights("out") == weights("whole")


@pytest.mark.parametrize("steps", [3, 4])
def test_a_stage_killed_after_its_last_step_makes_no_further_step(steps: int) -> None:
    """Three steps end within a pass over the data, and four steps end with one."""
    whole = run("out", SFT | {"steps": steps})
    before = weights("out")
    Path("out/train/stage.json").unlink()
    assert run("out", SFT | {"steps": steps}) == whole
    assert weights("out") == before


def test_later_stages_are_compared_before_a_stage_is_extended() -> None:
    later = SFT | {"name": "later"}
    run("out", SFT, later)
    before = weights("out")
    with pytest.raises(UserError, match="out/later was started with other settings of the stage train"):
        run("out", SFT | {"steps": 6}, later)
    assert weights("out") == before
    with pytest.raises(UserError, match="out/train was started with steps=4, which is now 6"):
        run("out", SFT | {"steps": 6}, later, only=["later"])
    assert [*run("out", SFT | {"steps": 6}, later, until="train")] == ["train"]


def test_a_stage_without_checkpoints_is_not_extended() -> None:
    stage = SFT | {"keep_checkpoints": 0}
    run("out", stage)
    assert not Path("out/train/checkpoints").exists()
    with pytest.raises(
        UserError, match=r"which is now 6, and there is no checkpoint to go on from: add --set train\.steps=4, choose"
    ):
        run("out", stage | {"steps": 6})


def test_a_stage_starts_from_the_checkpoint_of_a_step() -> None:
    first = SFT | {"save_steps": 1, "keep_checkpoints": 3}
    run("out", first, SFT | {"name": "branch", "policy": "stage:train@step=2"})
    assert sorted(path.name for path in Path("out/train/checkpoints").iterdir()) == [f"checkpoint-{n}" for n in (2, 3, 4)]
    run("short", SFT | {"steps": 2}, SFT | {"name": "branch"})
    assert weights("out", "branch") == weights("short", "branch")
    outside = SFT | {"name": "branch", "policy": "stage:out/train@step=2"}
    run("outside", outside)
    assert weights("outside", "branch") == weights("out", "branch")
    assert tenfold.load_policy("stage:out/train@step=3")
    with pytest.raises(UserError, match="has no checkpoint of step 1; steps with a checkpoint: 2, 3, 4"):
        run("none", SFT | {"policy": "stage:out/train@step=1"})
    with pytest.raises(UserError, match=r"branch\.policy: the stage train keeps the checkpoints of the steps 4, not of step 2"):
        run("none", SFT, SFT | {"name": "branch", "policy": "stage:train@step=2"})
    shutil.rmtree("out/train/checkpoints")  # to save space: the finished branch is reused
    assert run("out", first, SFT | {"name": "branch", "policy": "stage:train@step=2"})["branch"]["steps"] == 4


def test_a_refused_start_leaves_the_settings_of_the_earlier_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = SFT | {"max_tokens": 2}
    with pytest.raises(UserError, match="no usable example"):
        run("out", stage)
    assert run("out", SFT), "a start that did no work does not fix the settings"
    before = Path("out/train/settings.json").read_bytes()
    Path("out/train/stage.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("tenfold.pipelines.sft.sft.SFT.train", lambda *_: (_ for _ in ()).throw(UserError("refused")))
        with pytest.raises(UserError, match="refused"):
            run("out", SFT | {"steps": 6})
    assert Path("out/train/settings.json").read_bytes() == before
    assert run("out", SFT)["train"]["steps"] == 4
