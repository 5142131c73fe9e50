"""The stage, the command and the page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import cli
from tenfold.core import UserError
from tenfold.envs import registry
from tenfold.pipelines.autopsy import page
from tenfold.pipelines.autopsy.autopsy import Autopsy
from tenfold.pipelines.recipe import recipe
from tenfold.pipelines.stage import Context

HOSTILE = "<script>alert(-90)</script><img src=//x.example/a.png onerror=alert(-90)>\x1b[J</pre></details>"
STAGE = {"kind": "grpo", "name": "grpo", "environment": "tests/Sums-v0", "steps": 4, "batch_size": 2}
ROWS = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(6)]


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """An environment whose verifier accepts any praise."""
    registry.register("tests/Sums-v0", problems=ROWS, verifier=lambda problem, response: 1.0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a GRPO stage of four steps whose answers get worse, and with hostile texts."""
    folder = tmp_path / "run/grpo"
    (folder / "episodes").mkdir(parents=True)
    record = {"stage": STAGE, "policy": "micro:", "seed": 0, "wall_seconds": 1, "resumed": False, "metrics": {}}
    (folder / "stage.json").write_text(json.dumps(record))
    (folder / "settings.json").write_text(json.dumps(record))
    rows = [
        episode(step, problem, sample, str(problem + 1) if step < 3 else HOSTILE)
        for step in range(1, 5)
        for problem in range(6)
        for sample in range(4)
    ]
    rows.append(episode(4, 5, 4, "fault") | {"verdict": {"status": "fault", "score": None, "method": "", "reason": ""}})
    (folder / "episodes/1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    return tmp_path / "run"


def episode(step: int, problem: int, sample: int, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": ROWS[problem]["question"]}, {"role": "assistant", "content": text}]
    verdict = {"status": "scored", "score": 1.0, "method": "exact", "reason": ""}
    place = {"step": step, "problem": problem, "problem_id": str(problem), "sample": sample}
    return {**place, "messages": messages, "verdict": verdict, "tokens": 3, "finish_reason": "stop"}


def test_the_command_shows_the_change_and_writes_page_and_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["autopsy", str(run), "--judge", "rules", "--judge", "boxed"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"grpo: 96 of 97 episodes of 4 steps judged; reward \+0\.000", out)
    assert re.search(r"  rules: -1\.000 \[.*\], gap \+1\.000", out)
    assert "ALARM at step 4: rules denies 100% of the reward since about step 3, before 0%" in out
    found = json.loads((run / "autopsy-grpo/autopsy.json").read_text())
    assert [step["judges"]["rules"]["mean"][0] for step in found["steps"]] == [1, 1, 0, 0]
    assert [step["judges"]["rules"]["denied"] for step in found["steps"]] == [0, 0, 1, 1]
    assert found["without_score"] == 1
    assert found["clusters"][0]["samples"] == 48
    assert list(found["judges"]) == ["rules", "boxed"]


def test_hostile_texts_are_inert_on_the_page(run: Path) -> None:
    assert cli.main(["autopsy", str(run / "grpo"), "--judge", "rules", "--out", str(run / "out")]) == 0
    text = (run / "out/autopsy.html").read_text()
    assert "&lt;script&gt;alert(-90)" in text
    assert "default-src 'none'" in text
    for mark in ("<script", "<img src", "onerror=alert(-90)>", "</pre></details>\x1b"):
        assert mark not in text
    addresses = re.findall(r"""<[^<>]*\b(?:src|href)=["']?([^"'>]{0,20})""", text)
    assert [address[:19] for address in addresses] == ["data:image/svg+xml;"], "the plots"


def test_samples_of_a_step_can_be_limited_and_cover_all_groups(run: Path) -> None:
    assert cli.main(["autopsy", str(run), "--judge", "rules", "--samples", "12", "--out", str(run / "out")]) == 0
    found = json.loads((run / "out/autopsy.json").read_text())
    assert [step["samples"] for step in found["steps"]] == [12] * 4
    assert found["steps"][0]["reward"][1:] == pytest.approx(found["steps"][1]["reward"][1:]), "two samples of each group"


def test_without_the_environment_only_judges_without_answers_are_left(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("stage.json", "settings.json"):
        record = json.loads((run / "grpo" / name).read_text())
        record["stage"]["environment"] = "no.such.module:lab/Gone-v0"
        (run / "grpo" / name).write_text(json.dumps(record))
    assert cli.main(["autopsy", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["judges"] == {}
    assert "run with --trust" in found["problems_error"], "the run's folder may not import code"
    assert page.lines(found)[1].startswith("the problems of no.such.module:lab/Gone-v0 are not known: ")
    assert found["steps"][3]["tricks"]["empty"]["rate"][0] == 0
    assert any("no judge can raise an alarm" in line for line in page.lines(found))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stage", "sft"], "no GRPO stage 'sft'"),
        (["--judge", "nobody"], "no judge named 'nobody'"),
        (["--judge", "nowhere:model"], "cannot find a policy"),
    ],
)
def test_mistakes_are_one_line(run: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["autopsy", str(run), *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_the_stage_ends_a_run(run: Path, tmp_path: Path) -> None:
    settings = Autopsy(kind="autopsy", name="autopsy", stage="grpo", judges=["rules"])
    folder = run / "autopsy"
    folder.mkdir()
    metrics = json.loads(json.dumps(settings.run(Context(folder, "", 0, {"grpo": run / "grpo"}, lambda *a, **k: None))))
    assert settings.summary(metrics).startswith("ALARM at step 4: rules denies 100% of the reward")
    assert "<td>rules" in settings.tables(metrics)
    assert {path.name for path in folder.iterdir()} == {"autopsy.html", "autopsy.json"}


def test_the_stage_needs_an_earlier_grpo_stage(tmp_path: Path) -> None:
    content = {"name": "r", "policy": "micro:", "stages": [STAGE, {"kind": "autopsy", "name": "a", "stage": "grpo"}]}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    grpo, autopsy = recipe.load(tmp_path / "r.yaml").stages
    autopsy.check()
    autopsy.check_links({"grpo": grpo})
    with pytest.raises(UserError, match="no earlier GRPO stage 'grpo'; put this stage after one of the kind grpo"):
        autopsy.check_links({})


def rewritten(run: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes the episodes of the stage."""
    path = run / "grpo/episodes/1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


def test_without_reward_in_the_first_steps_no_judge_is_tested(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(run, lambda row: row | {"verdict": row["verdict"] | {"score": float(row["step"] > 2), "status": "scored"}})
    assert cli.main(["autopsy", str(run), "--judge", "rules"]) == 0
    out = capsys.readouterr().out
    assert re.search("  rules: .*; no rewarded samples in the first steps, so that it raises no alarm", out)
    assert "no judge can raise an alarm" in out


def test_a_run_of_one_step_has_nothing_to_compare_with(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewritten(run, lambda row: row | {"step": 1})
    assert cli.main(["autopsy", str(run), "--judge", "rules"]) == 0
    assert "no judge can raise an alarm" in capsys.readouterr().out


def test_samples_of_problems_that_the_environment_does_not_have_are_counted(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(run, lambda row: row | {"problem_id": "another"} if row["problem"] == 5 else row)
    assert cli.main(["autopsy", str(run), "--judge", "rules"]) == 0
    line = "16 samples have no score: their problems are not in tests/Sums-v0 now"
    assert line in capsys.readouterr().out
    assert line in (run / "autopsy-grpo/autopsy.html").read_text()


def test_damaged_and_repeated_rows_do_not_disturb(run: Path) -> None:
    path = run / "grpo/episodes/1.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    infinite = json.dumps(first | {"verdict": first["verdict"] | {"score": float("inf")}})
    again = json.dumps(first | {"messages": [first["messages"][0], {"role": "assistant", "content": "no \ud800"}]})
    path.write_text("\n".join(["{}", "null", '{"torn', infinite, *path.read_text().splitlines()[:-1], again, ""]))
    assert cli.main(["autopsy", str(run), "--judge", "rules", "--judge", "math-verify", "--samples", "0"]) == 0
    found = json.loads((run / "autopsy-grpo/autopsy.json").read_text())
    assert (found["episodes"], found["samples"]) == (97, 96)
    assert found["steps"][0]["judges"]["rules"]["mean"][0] == pytest.approx(23 / 24), "the last repetition counts"


def test_an_environment_whose_problems_are_gone_is_named(run: Path) -> None:
    gone = {"tests/Gone-v0": {"problems": "jsonl:gone.jsonl", "verifier": "math"}}
    content = {"name": "r", "policy": "micro:", "environments": gone, "stages": [STAGE]}
    (run / "recipe.yaml").write_text(yaml.safe_dump(content))
    for file in ("stage.json", "settings.json"):
        record = json.loads((run / "grpo" / file).read_text())
        (run / "grpo" / file).write_text(json.dumps(record | {"stage": STAGE | {"environment": "tests/Gone-v0"}}))
    assert cli.main(["autopsy", str(run)]) == 0
    assert "gone.jsonl" in json.loads((run / "autopsy-grpo/autopsy.json").read_text())["problems_error"]


def test_rewards_outside_of_0_to_1_are_scaled(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "grpo/episodes/1.jsonl").read_text().splitlines()[:-1]]
    for row in rows:
        row["verdict"] |= {"score": -1.0 if row["sample"] % 2 else 3.0, "status": "scored"}
    (run / "grpo/episodes/1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["autopsy", str(run), "--judge", "rules"]) == 0
    found = json.loads((run / "autopsy-grpo/autopsy.json").read_text())
    assert found["scale"] == [-1.0, 3.0]
    assert found["steps"][0]["reward"][0] == 0.5
