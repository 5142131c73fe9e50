"""The scoreboard of a run's bench stages."""

from pathlib import Path
from typing import Any

from rich.console import Console

from tenfold.benchmarks.result import result_of, save
from tenfold.benchmarks.stats import pooled
from tenfold.pipelines.bench import scoreboard
from tenfold.pipelines.bench.bench import Bench
from tenfold.pipelines.recipe.report import page


def bench(folder: Path, name: str, task: str, correct: list[int], strata: str = "") -> dict[str, Any]:
    """Writes a result of 10 problems with 2 samples each and returns the stage's record.

    `correct` counts correct samples. If `strata` names the categories, the score is the mean over these.
    """
    verdict = {"status": "scored", "method": "exact", "reason": "", "judge_messages": (), "tokens": 1, "finish_reason": "stop"}
    rows: list[Any] = [
        {
            **{"problem": str(n), "prompt": [], "gold": "", "meta": {"category": strata[n : n + 1]}, "request": "r"},
            "samples": [{"score": float(sample < count), **verdict} for sample in range(2)],
        }
        for n, count in enumerate(correct)
    ]
    (folder / name).mkdir(exist_ok=True)
    settings = {"task": task} | ({"mean_over": "category"} if strata else {})
    save(folder / name, result_of(f"{task}_avg2", rows, settings, hashed={}), rows)
    scored = [[sample["score"] for sample in row["samples"]] for row in rows]
    mean = pooled.score_over([*strata] or ["all"] * 10, scored).mean
    score = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "samples": 2, "problems": 10}
    return {
        "stage": {"kind": "bench"},
        "metrics": {"scores": {f"{task}_avg2": score}},
        "wall_seconds": 1.0,
        "resumed": False,
    }


def test_each_bench_stage_is_a_row_with_its_paired_change(tmp_path: Path) -> None:
    records = {
        "start": bench(tmp_path, "start", "sums", [0, 0, 1, 1, 1, 0, 0, 1, 1, 0]),
        "after": bench(tmp_path, "after", "sums", [2, 2, 2, 2, 1, 2, 2, 2, 1, 2]),
    }
    board = scoreboard.board(tmp_path, records)
    assert board["start"]["sums_avg2"].change is None
    change = board["after"]["sums_avg2"].change
    assert change is not None
    assert (round(change.mean, 3), change.low > 0, change.problems) == (0.65, True, 10)
    console = Console(width=120)
    with console.capture() as output:
        console.print(scoreboard.table(board))
    assert "90.0 [80.0, 100.0]  +65.0 [" in output.get()
    stages = [Bench(kind="bench", name=name, tasks=["sums"]) for name in records]
    page.write(tmp_path, "run", "", stages, records)
    assert "<b>+65.0 [" in (tmp_path / "report.html").read_text()


def test_the_change_of_a_mean_over_categories_is_that_of_its_score(tmp_path: Path) -> None:
    strata = "aabbbbbbbb"
    records = {
        "start": bench(tmp_path, "start", "strata", [0] * 10, strata),
        "after": bench(tmp_path, "after", "strata", [2, 2, *[0] * 8], strata),
    }
    board = scoreboard.board(tmp_path, records)
    change = board["after"]["strata_avg2"].change
    assert change is not None
    assert (change.mean, change.low > 0, change.problems) == (0.5, True, 10)
    (line,) = scoreboard.learned(tmp_path, board)
    assert line.startswith("strata_avg2: 0.0 (start) to 50.0 (after), +50.0 [")


def test_a_single_bench_stage_gives_no_scoreboard(tmp_path: Path) -> None:
    assert scoreboard.board(tmp_path, {"start": bench(tmp_path, "start", "sums", [1] * 10)}) == {}
    two = {"start": bench(tmp_path, "start", "sums", [1] * 10), "after": bench(tmp_path, "after", "other", [1] * 10)}
    assert scoreboard.board(tmp_path, two) == {}


def test_the_summary_says_how_the_samples_were_sampled(tmp_path: Path) -> None:
    hot = {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 20, "max_gen_toks": 64}
    greedy = {"do_sample": False, "temperature": 0.0, "top_p": 0.95, "max_gen_toks": 64}
    record = bench(tmp_path, "start", "sums", [1] * 10)
    (score,) = record["metrics"]["scores"].values()
    stage = Bench(kind="bench", name="start", tasks=["sums"])
    plain = "50.0 [40.0, 60.0] avg@2 on 10 problems"
    sampled = "sampled with temperature 1, top_p 0.95, top_k 20, max_tokens 64"
    assert stage.summary({"scores": {"a": score}}) == f"a: {plain}", "a result of an earlier version"
    assert stage.summary({"scores": {"a": score | {"sampling": hot}}}) == f"a: {plain}, {sampled}"
    same = {name: score | {"sampling": hot} for name in ("a", "b")}
    assert stage.summary({"scores": same}) == f"a: {plain}; b: {plain}, {sampled}", "once, if all tasks have the same"
    different = {"a": score | {"sampling": hot}, "b": score | {"sampling": greedy}}
    assert (
        stage.summary({"scores": different})
        == f"a: {plain}, {sampled}; b: {plain}, sampled with greedy decoding, max_tokens 64"
    )
